//! The money moves, then the handler runs, then the answer leaves: for handlers whose work is dear
//! or cannot be taken back. Whatever goes wrong after the money moved is owed by the payee.

use std::sync::Arc;

use faregate_ledger::ClaimState;
use faregate_protocol::{Reason, SettleResponse};
use faregate_telemetry::crash_point;
use serde_json::json;

use super::held_back::Room;
use super::present::Presented;
use super::run::{self, Ran};
use super::{End, Ready, Run, owe, settle};
use crate::answers::Refusal;
use crate::gate::Gate;
use crate::lease::Lease;

/// Settles what was just claimed, and serves it.
pub(super) async fn fresh(
    gate: &Arc<Gate>,
    presented: Presented,
    run: Run,
    mut lease: Lease,
) -> Result<End, Refusal> {
    let receipt = settle::before_run(gate, &mut lease, &presented.asked, &presented.payer).await?;
    serve(gate, presented, run, (lease, ClaimState::Settled), receipt).await
}

/// Runs the handler for money that has moved. `from` is SETTLED, or EXECUTING where a handler that
/// may run again was interrupted.
pub(super) async fn serve(
    gate: &Arc<Gate>,
    presented: Presented,
    run: Run,
    (mut lease, from): (Lease, ClaimState),
    receipt: SettleResponse,
) -> Result<End, Refusal> {
    let unproven = |_| Refusal::pending(settle::unproven(&receipt));
    if from == ClaimState::Settled {
        let (to, evidence) = (ClaimState::Executing, json!({}));
        lease.step(from, to, None, evidence).await.map_err(unproven)?;
    }
    let (asked, version) = (presented.asked.clone(), presented.version);
    let ran = run::run(gate, presented, run, Room::MemoryAndLedger, &lease).await;
    match ran.map_err(unproven)? {
        Ran::Good(answer) => {
            crash_point!("G6");
            lease.keep(&answer, &asked).await.map_err(unproven)?;
            crash_point!("G7");
            Ok(End::Ready(Ready::kept(lease, answer, receipt, version, None)))
        }
        Ran::Failed(mut answer) => {
            let owed = owe(lease, ClaimState::Executing, &receipt, "handler_failed").await;
            if owed.code() != Reason::PaymentOwed.code() {
                return Err(owed);
            }
            // The application's own words, and the receipt that says not to pay again.
            version.put_receipt(answer.headers_mut(), &receipt);
            Ok(End::Failed(answer))
        }
        Ran::Broken(reason) => {
            let owed = owe(lease, ClaimState::Executing, &receipt, reason.code()).await;
            Err(owed.with_receipt_if_owed(receipt))
        }
    }
}
