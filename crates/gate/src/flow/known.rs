//! A payment that was presented before: what its claim says, and how a retry goes on from a claim
//! whose holder is gone.

use faregate_ledger::{Claim, ClaimState, LedgerError};
use faregate_protocol::{PaymentRequest, Reason, SettleResponse};
use serde_json::json;

use super::present::Presented;
use super::settle;
use crate::answers::Refusal;
use crate::gate::Gate;
use crate::lease::Lease;
use crate::receipt;

/// Where a payment stands for the request that presents it.
pub(super) enum Standing {
    /// Nothing was ever sent for it: verify and claim.
    Fresh,
    /// It is paid, and this request holds the claim in a new epoch.
    Paid {
        /// The claim, SETTLED.
        lease: Lease,
        /// What the buyer gets for it.
        receipt: Box<SettleResponse>,
    },
}

/// Looks the payment up and takes an abandoned claim over.
pub(super) async fn standing(gate: &Gate, presented: &Presented) -> Result<Standing, Refusal> {
    let found = gate.store.find_claim(&presented.key).await.map_err(|error| {
        tracing::error!(%error, "the ledger could not be read");
        Refusal::of(Reason::LedgerUnavailable)
    })?;
    let Some(claim) = found else { return Ok(Standing::Fresh) };
    judge(presented, &claim)?;
    match claim.state {
        ClaimState::Verified | ClaimState::Executed => release(gate, presented, &claim).await,
        ClaimState::Settling | ClaimState::Unresolved => {
            ask_again(gate, presented, &claim).await?;
            run_again(gate, presented).await
        }
        ClaimState::Settled => run_again(gate, presented).await,
        // `judge` has answered for every other state but this one.
        _ => Ok(Standing::Fresh),
    }
}

/// The answer that a claim gives by itself. `Ok`: nobody holds it and it is not at an end.
pub(super) fn judge(presented: &Presented, claim: &Claim) -> Result<(), Refusal> {
    let same_payment = claim.new.payload_hash == presented.payload_hash;
    let same_request = claim.new.request_fp == presented.request_fp;
    if !same_payment || !same_request {
        return Err(Refusal::of(Reason::PaymentAlreadyClaimed));
    }
    match claim.state {
        ClaimState::Granted | ClaimState::Credit => {
            Err(Refusal::of(Reason::PaymentAlreadyUsed).with_transaction(&claim.transaction))
        }
        ClaimState::NotCharged => Err(Refusal::of(Reason::PaymentNotCharged)),
        ClaimState::Released if claim.new.requirements_hash != presented.requirements_hash => {
            Err(Refusal::of(presented.unfit.unwrap_or(Reason::RequirementsChanged)))
        }
        ClaimState::Released => Ok(()),
        _ if claim.held => Err(Refusal::of(Reason::PaymentInProgress)),
        _ => Ok(()),
    }
}

/// Settle was never asked: give the claim back, so that it is verified and claimed anew.
async fn release(gate: &Gate, presented: &Presented, claim: &Claim) -> Result<Standing, Refusal> {
    let mut lease = gate
        .take_over(&presented.key, claim.state)
        .await
        .map_err(|error| nothing_sent(&error))?
        .ok_or_else(in_progress)?;
    let evidence = json!({ "reason": "holder gone" });
    match lease.step(claim.state, ClaimState::Released, None, evidence).await {
        Ok(()) => Ok(Standing::Fresh),
        Err(stop) => Err(super::nothing_sent(stop)),
    }
}

/// Settle was asked and the outcome is not known: ask the same facilitator again, under the same
/// settle id.
async fn ask_again(gate: &Gate, presented: &Presented, claim: &Claim) -> Result<(), Refusal> {
    let request = request_as_sent(gate, presented, claim)
        .ok_or_else(|| Refusal::pending(unproven(presented, claim)))?;
    let mut lease = gate
        .take_over(&presented.key, claim.state)
        .await
        .map_err(|_| Refusal::pending(unproven(presented, claim)))?
        .ok_or_else(in_progress)?;
    settle::again(gate, &mut lease, claim, request).await?;
    // The handler has to run again, which is a new epoch: hand the claim back first.
    lease.let_go().await.map_err(|_| Refusal::pending(unproven(presented, claim)))
}

/// The payment under the requirements it was sent with; none if they have changed and this process
/// does not remember them.
fn request_as_sent(gate: &Gate, presented: &Presented, claim: &Claim) -> Option<PaymentRequest> {
    if claim.new.requirements_hash == presented.requirements_hash {
        return Some(presented.asked.clone());
    }
    gate.remembered.get(&presented.key).map(|asked| asked.request)
}

/// It is paid: take it over in a new epoch.
async fn run_again(gate: &Gate, presented: &Presented) -> Result<Standing, Refusal> {
    let network = &presented.asked.payment_requirements.network;
    let pending = |transaction: &str| {
        Refusal::pending(receipt::pending(network, transaction, &presented.payer))
    };
    let lease = gate
        .take_over(&presented.key, ClaimState::Settled)
        .await
        .map_err(|_| pending(""))?
        .ok_or_else(in_progress)?;
    let claim = gate.store.find_claim(&presented.key).await.map_err(|_| pending(""))?;
    let transaction = claim.map(|claim| claim.transaction).unwrap_or_default();
    let receipt = SettleResponse::paid(network, transaction, presented.payer.clone());
    Ok(Standing::Paid { lease, receipt: Box::new(receipt) })
}

fn unproven(presented: &Presented, claim: &Claim) -> SettleResponse {
    let network = &presented.asked.payment_requirements.network;
    receipt::pending(network, &claim.transaction, &presented.payer)
}

fn in_progress() -> Refusal {
    Refusal::of(Reason::PaymentInProgress)
}

fn nothing_sent(error: &LedgerError) -> Refusal {
    tracing::error!(%error, "the ledger failed before settlement");
    Refusal::of(Reason::LedgerUnavailable)
}
