//! The body of an answer that waited in the ledger: read part by part as the buyer takes it, so that
//! a slow buyer costs the memory of one part.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use faregate_ledger::{BodyParts, ClaimStore, LedgerError};
use faregate_protocol::PaymentKey;
use http_body::{Body, Frame, SizeHint};
use tokio::task::JoinHandle;
use tracing::Instrument;

use crate::body::{BoxError, GateBody};

/// It ended early or went on: what was kept is not what was promised.
const CHANGED: LedgerError = LedgerError::Corrupt { what: "kept_parts" };

/// The body, with its first part read.
pub(crate) async fn open(
    store: Arc<dyn ClaimStore>,
    key: PaymentKey,
    parts: BodyParts,
) -> Result<GateBody, LedgerError> {
    let first = store.find_part(&key, &parts, 0).await?.ok_or(CHANGED)?;
    let body = KeptBody {
        store,
        key,
        parts,
        left: parts.bytes,
        next: 1,
        held: Some(first.into()),
        reading: None,
    };
    Ok(GateBody::new(body))
}

type Reading = JoinHandle<Result<Option<Vec<u8>>, LedgerError>>;

struct KeptBody {
    store: Arc<dyn ClaimStore>,
    key: PaymentKey,
    parts: BodyParts,
    /// Bytes that were not sent yet.
    left: u64,
    /// Number of the next part.
    next: u32,
    /// A part that was read and not sent.
    held: Option<Bytes>,
    reading: Option<Reading>,
}

impl KeptBody {
    /// In a task of its own: a buyer that hangs up does not break it off, since a statement that is
    /// dropped half-way costs the ledger its connection.
    fn read(&self) -> Reading {
        let (store, key, parts, number) =
            (Arc::clone(&self.store), self.key, self.parts, self.next);
        let reading = async move { store.find_part(&key, &parts, number).await };
        tokio::spawn(reading.in_current_span())
    }

    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, BoxError>> {
        if let Some(held) = self.held.take() {
            return Poll::Ready(Ok(held));
        }
        if self.next >= self.parts.count {
            return Poll::Ready(Err(CHANGED.into()));
        }
        let mut reading = self.reading.take().unwrap_or_else(|| self.read());
        let Poll::Ready(read) = Pin::new(&mut reading).poll(cx) else {
            self.reading = Some(reading);
            return Poll::Pending;
        };
        self.next += 1;
        Poll::Ready(Ok(read??.ok_or(CHANGED)?.into()))
    }
}

impl Body for KeptBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let part = ready!(self.poll_part(cx)).and_then(|part| {
            let length = u64::try_from(part.len())?;
            self.left = self.left.checked_sub(length).ok_or(CHANGED)?;
            Ok(part)
        });
        if let Err(error) = &part {
            tracing::error!(%error, payment = self.key.short(), "a kept answer broke off");
            self.left = 0;
        }
        Poll::Ready(Some(part.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
