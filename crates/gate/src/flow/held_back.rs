//! The body of an answer until it is paid: a small one in memory, a large one in the ledger, part by
//! part as it arrives.

use faregate_ledger::{BodyParts, StoredBody};
use http_body::Body as _;
use http_body_util::BodyExt as _;

use crate::body::GateBody;
use crate::config::GateLimits;
use crate::lease::{Lease, Stop};
use crate::limits;

/// What became of the body.
pub(super) enum Held {
    /// All of it is held.
    Whole(StoredBody),
    /// It has more bytes than an answer may.
    TooLarge,
    /// It broke off.
    Broken,
}

/// Where a body may wait.
#[derive(Clone, Copy)]
pub(super) enum Room {
    /// In memory, or in the ledger if it is large: the claim is VERIFIED or EXECUTING.
    MemoryAndLedger,
    /// In memory only: the claim is past the state in which answers are kept.
    Memory,
}

/// Reads the body to its end. Trailers are dropped.
pub(super) async fn take(
    body: GateBody,
    limits: &GateLimits,
    room: Room,
    lease: &Lease,
) -> Result<Held, Stop> {
    let most = u64::try_from(limits.max_answer_bytes).unwrap_or(u64::MAX);
    // It says so itself: nothing of it is read.
    if body.size_hint().lower() > most {
        return Ok(Held::TooLarge);
    }
    let in_memory = match room {
        Room::MemoryAndLedger => limits.max_answer_in_memory_bytes,
        Room::Memory => limits.max_answer_bytes,
    };
    let mut parts = Parts { lease, count: 0, bytes: 0 };
    let (mut body, mut held) = (body, Vec::new());
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Ok(Held::Broken) };
        let data = frame.into_data().unwrap_or_default();
        let room = limits.max_answer_bytes.saturating_sub(parts.bytes);
        if data.len() > room.saturating_sub(held.len()) {
            return Ok(Held::TooLarge);
        }
        if parts.count == 0 && held.len().saturating_add(data.len()) <= in_memory {
            held.extend_from_slice(&data);
        } else {
            parts.take(&mut held, &data).await?;
        }
    }
    if parts.count == 0 && held.len() <= in_memory {
        return Ok(Held::Whole(held.into()));
    }
    if !held.is_empty() {
        parts.keep(held).await?;
    }
    Ok(Held::Whole(StoredBody::Parts(parts.named())))
}

/// What of a body is in the ledger.
struct Parts<'a> {
    lease: &'a Lease,
    count: u32,
    bytes: usize,
}

impl Parts<'_> {
    /// Adds `data` to what is held and stores as many full parts as there are.
    async fn take(&mut self, held: &mut Vec<u8>, mut data: &[u8]) -> Result<(), Stop> {
        const PART: usize = limits::ANSWER_PART_BYTES;
        while held.len() > PART {
            let rest = held.split_off(PART);
            self.keep(std::mem::replace(held, rest)).await?;
        }
        while !data.is_empty() {
            let (now, later) = data.split_at(data.len().min(PART.saturating_sub(held.len())));
            held.reserve_exact(PART.saturating_sub(held.len()));
            held.extend_from_slice(now);
            data = later;
            if held.len() == PART {
                self.keep(std::mem::take(held)).await?;
            }
        }
        Ok(())
    }

    async fn keep(&mut self, part: Vec<u8>) -> Result<(), Stop> {
        let bytes = part.len();
        self.lease.keep_part(self.count, part).await?;
        self.count = self.count.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
        Ok(())
    }

    fn named(&self) -> BodyParts {
        let bytes = u64::try_from(self.bytes).unwrap_or(u64::MAX);
        BodyParts { epoch: self.lease.epoch(), count: self.count, bytes }
    }
}
