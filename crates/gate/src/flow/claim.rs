//! Claims a verified payment, and gives a claim back whose payment was never sent.

use faregate_ledger::{ClaimState, NewClaim};
use faregate_protocol::Reason;
use faregate_telemetry::crash_point;
use serde_json::json;
use uuid::Uuid;

use super::known;
use super::present::Presented;
use super::verify::Seen;
use crate::answers::Refusal;
use crate::gate::{Gate, Won};
use crate::lease::{Lease, Stop};

/// A claim that was won.
pub(super) struct Held {
    pub(super) lease: Lease,
    /// Its amount counts as exposure, and its money follows the answer.
    pub(super) on_the_books: bool,
}

/// Inserts the payment key. One of any number of requests wins.
pub(super) async fn claim(
    gate: &Gate,
    presented: &Presented,
    seen: &Seen,
) -> Result<Held, Refusal> {
    let new = new_claim(gate, presented);
    let claimed = match gate.room_for(presented, seen) {
        None => {
            let claimed = gate.claim(&new).await.map(|won| (won, false));
            crash_point!("G2");
            claimed
        }
        Some((books, limits)) => {
            let claimed = gate.claim_deferred(books, &new, &presented.asked, limits).await;
            crash_point!("A1");
            claimed
        }
    };
    match claimed {
        Ok((Won::Yes(lease), on_the_books)) => {
            if on_the_books {
                crash_point!("A2");
            }
            Ok(Held { lease, on_the_books })
        }
        Ok((Won::No(claim), _)) => {
            known::judge(presented, &claim)?;
            // Somebody was faster a moment ago; a retry finds out what they came to.
            Err(Refusal::of(Reason::PaymentInProgress))
        }
        Err(error) => {
            // If it was stored after all, the lease runs out and the sweeper releases it.
            tracing::error!(%error, "the ledger did not take a claim");
            Err(Refusal::of(Reason::LedgerUnavailable))
        }
    }
}

/// VERIFIED, EXECUTED or DEFERRED to RELEASED: settle was never asked.
pub(super) async fn release(lease: &mut Lease, from: ClaimState, why: &str) -> Result<(), Stop> {
    let evidence = json!({ "reason": why });
    lease.step(from, ClaimState::Released, None, evidence).await
}

fn new_claim(gate: &Gate, presented: &Presented) -> NewClaim {
    let option = &presented.asked.payment_requirements;
    NewClaim {
        key: presented.key,
        // In the order of time, so that an index of many of them grows at one end.
        settle_id: Uuid::now_v7(),
        facilitator: gate.facilitator.name().to_owned(),
        request_fp: presented.request_fp,
        requirements_hash: presented.requirements_hash,
        payload_hash: presented.payload_hash,
        route: presented.route.name.clone(),
        network: option.network.to_string(),
        payer: presented.payer.clone(),
        pay_to: option.pay_to.clone(),
        asset: option.asset.clone(),
        amount: option.amount,
        valid_before: presented.valid_before,
    }
}
