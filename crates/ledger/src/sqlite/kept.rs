//! What a claim keeps besides its row, sealed: the answer it buys and the payment as it is asked
//! to be settled.

use std::sync::Arc;

use faregate_protocol::{PaymentKey, PaymentRequest};
use rusqlite::{Connection, params};
use serde_json::json;
use uuid::Uuid;

use super::asking::Turn;
use super::statements::{blob, bytes32, column, journal, now_ms, one, run, signed};
use super::{SqliteLedger, claims, parts};
use crate::sealing::Sealed;
use crate::{BodyParts, ClaimState, Hold, LedgerError, StoredAnswer, StoredBody};

const KEEP: &str = concat!(
    "insert into kept (settle_id, request, answer, kept_at_ms) values (?, ?, ?, ",
    now_ms!(),
    ") on conflict (settle_id) do update set request = excluded.request, ",
    "answer = excluded.answer, kept_at_ms = excluded.kept_at_ms"
);

/// Of claims at an end whose authorization can move nothing any more.
const FORGET: &str = concat!(
    "delete from kept where settle_id in (select k.settle_id from kept k join claims c ",
    "using (settle_id) where c.state in (4, 5, 7) and c.valid_before * 1000 <= ",
    now_ms!(),
    " - ? limit ?)"
);

const PUT_REQUEST: &str = concat!(
    "insert into kept_requests (settle_id, request, kept_at_ms) values (?, ?, ",
    now_ms!(),
    ") on conflict (settle_id) do update set request = excluded.request, ",
    "kept_at_ms = excluded.kept_at_ms"
);

/// The same for payments that were kept before there was an answer, once their money is proven
/// either way.
const FORGET_REQUESTS: &str = concat!(
    "delete from kept_requests where settle_id in (select k.settle_id from kept_requests k ",
    "join claims c using (settle_id) left join deferrals d using (settle_id) ",
    "where c.state in (4, 5, 7) and (d.state is null or d.state in (3, 5)) ",
    "and c.valid_before * 1000 <= ",
    now_ms!(),
    " - ? limit ?)"
);

const AWAITS: &str = "select state, exists (select 1 from deferrals d where d.settle_id = \
     c.settle_id and d.state = 0) as deferred from claims c where payment_key = ? \
     and lease_token = ?";

/// The answer's expected row: where the claim stands, and where it will.
fn awaited(tx: &Connection, hold: &Hold) -> Result<Option<(ClaimState, ClaimState)>, LedgerError> {
    let found = one(tx, AWAITS, params![hold.key.0.as_slice(), hold.token], |row| {
        Ok((column(row, "state")?, column::<i64>(row, "deferred")? != 0))
    })?;
    let Some((from, deferred)) = found else { return Ok(None) };
    let from = ClaimState::from_number(from);
    let from = from.ok_or(LedgerError::Corrupt { what: "claims.state" })?;
    Ok(from.with_answer(deferred).map(|to| (from, to)))
}

pub(super) fn sealed_request(
    ledger: &SqliteLedger,
    key: &PaymentKey,
    request: &PaymentRequest,
) -> Result<Vec<u8>, LedgerError> {
    let request =
        serde_json::to_vec(request).map_err(|_| LedgerError::Corrupt { what: "kept.request" })?;
    ledger.sealer.seal(Sealed::Request, &key.0, &request)
}

/// A payment without an answer, in the caller's turn.
pub(super) fn put_request(
    tx: &Connection,
    settle_id: Uuid,
    sealed: &[u8],
) -> Result<(), LedgerError> {
    run(tx, PUT_REQUEST, params![settle_id.to_string(), sealed]).map(|_| ())
}

/// VERIFIED to SETTLING, before anything ran.
pub(super) async fn settle_first(
    ledger: &SqliteLedger,
    hold: &Hold,
    request: &PaymentRequest,
) -> Result<bool, LedgerError> {
    let sealed = sealed_request(ledger, &hold.key, request)?;
    let (from, to) = (ClaimState::Verified, ClaimState::Settling);
    let hold = *hold;
    ledger
        .write(move |tx| {
            if !claims::step(tx, &hold, from, to, None)? {
                return Ok(Turn::TakenBack(false));
            }
            put_request(tx, hold.settle_id, &sealed)?;
            let evidence = json!({ "first": true });
            journal(tx, "gate", "claim", &hold, (from.name(), to.name()), &evidence)?;
            Ok(Turn::Kept(true))
        })
        .await
}

/// An answer that is about to be kept.
pub(super) struct Keeping {
    sealed: Vec<u8>,
    size: u64,
    in_parts: Option<BodyParts>,
}

impl Keeping {
    pub(super) fn of(
        ledger: &SqliteLedger,
        hold: &Hold,
        answer: &StoredAnswer,
    ) -> Result<Self, LedgerError> {
        let sealed = ledger.sealer.seal(Sealed::Answer, &hold.key.0, &answer.to_bytes()?)?;
        let in_parts = match &answer.body {
            StoredBody::Parts(body) => Some(*body),
            StoredBody::Whole(_) => None,
        };
        Ok(Self { sealed, size: answer.body.size(), in_parts })
    }

    /// Keeps it with the sealed request, which is empty where that is kept already. Returns the
    /// size of the body.
    pub(super) fn put(
        &self,
        tx: &Connection,
        hold: &Hold,
        request: &[u8],
    ) -> Result<u64, LedgerError> {
        if let Some(body) = &self.in_parts
            && !parts::are_all_there(tx, &hold.key, body)?
        {
            return Err(LedgerError::Corrupt { what: "kept_parts" });
        }
        run(tx, KEEP, params![hold.settle_id.to_string(), request, self.sealed])?;
        Ok(self.size)
    }
}

pub(super) async fn keep(
    ledger: &SqliteLedger,
    hold: &Hold,
    answer: &StoredAnswer,
    request: &PaymentRequest,
) -> Result<bool, LedgerError> {
    let request = sealed_request(ledger, &hold.key, request)?;
    let keeping = Keeping::of(ledger, hold, answer)?;
    let hold = *hold;
    ledger
        .write(move |tx| {
            let Some((from, to)) = awaited(tx, &hold)? else { return Ok(Turn::TakenBack(false)) };
            if !claims::step(tx, &hold, from, to, None)? {
                return Ok(Turn::TakenBack(false));
            }
            let size = keeping.put(tx, &hold, &request)?;
            let evidence = json!({ "answer_bytes": size });
            journal(tx, "gate", "claim", &hold, (from.name(), to.name()), &evidence)?;
            Ok(Turn::Kept(true))
        })
        .await
}

pub(super) async fn answer(
    ledger: &SqliteLedger,
    key: &PaymentKey,
) -> Result<Option<StoredAnswer>, LedgerError> {
    const KEPT: &str = "select payment_key, answer as it from claims \
         join kept using (settle_id) where payment_key = ?";
    let (key, sealer) = (*key, Arc::clone(&ledger.sealer));
    ledger
        .read(move |on| {
            let Some(sealed) = sealed(on, KEPT, &key)? else { return Ok(None) };
            let bytes = sealer.open(Sealed::Answer, &key.0, &sealed)?;
            let answer = StoredAnswer::from_bytes(&bytes)?;
            if let StoredBody::Parts(body) = &answer.body
                && !parts::are_all_there(on, &key, body)?
            {
                return Ok(None);
            }
            Ok(Some(answer))
        })
        .await
}

pub(super) async fn request(
    ledger: &SqliteLedger,
    key: &PaymentKey,
) -> Result<Option<PaymentRequest>, LedgerError> {
    const KEPT: &str = "select payment_key, request as it from claims \
         join kept using (settle_id) where payment_key = ?1 and length(request) > 0 \
         union all select payment_key, request as it from claims \
         join kept_requests using (settle_id) where payment_key = ?1 limit 1";
    let (key, sealer) = (*key, Arc::clone(&ledger.sealer));
    ledger
        .read(move |on| {
            let Some(sealed) = sealed(on, KEPT, &key)? else { return Ok(None) };
            let bytes = sealer.open(Sealed::Request, &key.0, &sealed)?;
            let request = serde_json::from_slice(&bytes);
            request.map(Some).map_err(|_| LedgerError::Corrupt { what: "kept.request" })
        })
        .await
}

fn sealed(
    on: &Connection,
    sql: &'static str,
    key: &PaymentKey,
) -> Result<Option<Vec<u8>>, LedgerError> {
    one(on, sql, params![key.0.as_slice()], |row| {
        // Of the claim that was asked for, whatever the index says. What is sealed names its payment.
        if bytes32(row, "payment_key")? != key.0 {
            return Err(LedgerError::Corrupt { what: "kept.payment_key" });
        }
        Ok(blob(row, "it")?.to_vec())
    })
}

pub(super) async fn forget(
    ledger: &SqliteLedger,
    older_than_ms: u64,
    limit: u32,
) -> Result<u64, LedgerError> {
    ledger
        .write(move |tx| {
            let done = run(tx, FORGET, params![signed(older_than_ms), limit])?;
            run(tx, FORGET_REQUESTS, params![signed(older_than_ms), limit])?;
            let of_bodies = parts::forget(tx, limit)?;
            Ok(Turn::Kept(done.saturating_add(of_bodies)))
        })
        .await
        .map(|forgotten| u64::try_from(forgotten).unwrap_or(u64::MAX))
}
