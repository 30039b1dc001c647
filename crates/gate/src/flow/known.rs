//! A payment that was presented before: what its claim says, and how a retry goes on from a claim
//! whose holder is gone.

use faregate_ledger::{Claim, ClaimState, DeferralState, LedgerError, StoredAnswer};
use faregate_protocol::{PaymentRequest, Reason, SettleResponse};

use super::present::Presented;
use super::{claim, nothing_sent, settle};
use crate::answers::Refusal;
use crate::gate::Gate;
use crate::lease::{Lease, Stop};
use crate::receipt;

/// Where a payment stands for the request that presents it.
pub(super) enum Standing {
    /// Nothing was ever sent for it: verify and claim.
    Fresh,
    /// Its answer is kept, and this request holds the claim: it is to be granted.
    Ready {
        /// The claim, SETTLED, ANSWERED or DEFERRED.
        lease: Lease,
        /// What the buyer gets for it.
        receipt: Box<SettleResponse>,
        /// What it bought.
        answer: StoredAnswer,
    },
    /// It is paid, no answer was kept, and this request holds the claim.
    Unserved {
        /// The claim, in a new epoch.
        lease: Lease,
        /// What the buyer gets for it.
        receipt: Box<SettleResponse>,
        /// SETTLED, or EXECUTING.
        from: ClaimState,
    },
    /// It has bought its answer before.
    Granted {
        /// What the buyer gets for it.
        receipt: Box<SettleResponse>,
        /// What it bought.
        answer: StoredAnswer,
    },
}

/// Looks the payment up and takes an abandoned claim over.
pub(super) async fn standing(gate: &Gate, presented: &Presented) -> Result<Standing, Refusal> {
    let found = gate.store.find_claim(&presented.key).await.map_err(unread)?;
    let Some(claim) = found else { return Ok(Standing::Fresh) };
    judge(presented, &claim)?;
    match claim.state {
        ClaimState::Verified => verified(gate, presented, &claim).await,
        ClaimState::Executed => executed(gate, presented, &claim).await,
        ClaimState::Settling | ClaimState::Unresolved => asked(gate, presented, &claim).await,
        ClaimState::Settled => settled(gate, presented, paid(presented, &claim)).await,
        ClaimState::Executing => interrupted(gate, presented, &claim).await,
        ClaimState::Answered => answered(gate, presented, &claim).await,
        ClaimState::Deferred => deferred(gate, presented, &claim).await,
        ClaimState::Granted => granted(gate, presented, &claim).await,
        // `judge` has answered for every other state but RELEASED.
        _ => Ok(Standing::Fresh),
    }
}

/// The answer that a claim gives by itself. `Ok`: it was granted, or nobody holds it and it is not
/// at an end.
pub(super) fn judge(presented: &Presented, claim: &Claim) -> Result<(), Refusal> {
    let same_payment = claim.new.payload_hash == presented.payload_hash;
    let same_request = claim.new.request_fp == presented.request_fp;
    if !same_payment || !same_request {
        return Err(Refusal::of(Reason::PaymentAlreadyClaimed));
    }
    match claim.state {
        ClaimState::Granted => Ok(()),
        ClaimState::Credit => {
            let owed = Refusal::of(Reason::PaymentOwed);
            Err(owed.with_transaction(&claim.transaction))
        }
        ClaimState::NotCharged => Err(Refusal::of(Reason::PaymentNotCharged)),
        ClaimState::Released if claim.new.requirements_hash != presented.requirements_hash => {
            Err(Refusal::of(presented.unfit.unwrap_or(Reason::RequirementsChanged)))
        }
        ClaimState::Released if claim.handler_started && !presented.route.rerun => {
            Err(Refusal::of(Reason::HandlerInterrupted))
        }
        ClaimState::Released => Ok(()),
        _ if claim.held => Err(Refusal::of(Reason::PaymentInProgress)),
        _ => Ok(()),
    }
}

/// The resource has not answered: give the claim back, so that it is verified and claimed anew.
async fn verified(gate: &Gate, presented: &Presented, claim: &Claim) -> Result<Standing, Refusal> {
    let lease = take_over_unsent(gate, presented, claim).await?;
    release(lease, claim).await
}

/// The resource has answered and nobody was asked for the money: ask now, for what was answered.
async fn executed(gate: &Gate, presented: &Presented, claim: &Claim) -> Result<Standing, Refusal> {
    let mut lease = take_over_unsent(gate, presented, claim).await?;
    let key = &presented.key;
    let is_offered = claim.new.requirements_hash == presented.requirements_hash;
    if !is_offered || settle::is_too_late(claim) {
        return release(lease, claim).await;
    }
    let answer = gate.store.find_answer(key).await.map_err(unread)?;
    let request = gate.store.find_request(key).await.map_err(unread)?;
    let (Some(answer), Some(request)) = (answer, request) else {
        return release(lease, claim).await;
    };
    let receipt = settle::first(gate, &mut lease, &request, &presented.payer).await?;
    Ok(Standing::Ready { lease, receipt: Box::new(receipt), answer })
}

async fn take_over_unsent(
    gate: &Gate,
    presented: &Presented,
    claim: &Claim,
) -> Result<Lease, Refusal> {
    let taken = gate.take_over(&presented.key, claim.state).await;
    taken.map_err(unread)?.ok_or_else(in_progress)
}

async fn release(mut lease: Lease, claim: &Claim) -> Result<Standing, Refusal> {
    let released = claim::release(&mut lease, claim.state, "holder gone").await;
    released.map(|()| Standing::Fresh).map_err(nothing_sent)
}

/// Settle was asked and the outcome is not known: ask the same facilitator again, under the same
/// settle id.
async fn asked(gate: &Gate, presented: &Presented, claim: &Claim) -> Result<Standing, Refusal> {
    let pending = || Refusal::pending(settle::unproven(&paid(presented, claim)));
    let request = request_as_sent(gate, presented, claim).await.ok_or_else(pending)?;
    let taken = gate.take_over(&presented.key, claim.state).await;
    let mut lease = taken.map_err(|_| pending())?.ok_or_else(in_progress)?;
    let receipt = settle::again(gate, &mut lease, claim, &request).await?;
    if let Some(answer) = kept(gate, presented, &receipt).await? {
        return Ok(Standing::Ready { lease, receipt: Box::new(receipt), answer });
    }
    // The handler has to run again, which is a new epoch: hand the claim back first.
    let unproven = || Refusal::pending(settle::unproven(&receipt));
    lease.let_go().await.map_err(|_| unproven())?;
    settled(gate, presented, receipt).await
}

/// The payment as it was sent: as it was kept or, by a process that kept nothing, as it is
/// presented, unless the requirements have changed since.
async fn request_as_sent(
    gate: &Gate,
    presented: &Presented,
    claim: &Claim,
) -> Option<PaymentRequest> {
    let is_same = claim.new.requirements_hash == presented.requirements_hash;
    match gate.store.find_request(&presented.key).await {
        Ok(Some(request)) => Some(request),
        Ok(None) => is_same.then(|| presented.asked.clone()),
        Err(error) => {
            tracing::error!(%error, "a kept payment could not be read");
            None
        }
    }
}

/// It is paid: take it over.
async fn settled(
    gate: &Gate,
    presented: &Presented,
    receipt: SettleResponse,
) -> Result<Standing, Refusal> {
    let taken = gate.take_over(&presented.key, ClaimState::Settled).await;
    let pending = |_| Refusal::pending(settle::unproven(&receipt));
    let lease = taken.map_err(pending)?.ok_or_else(in_progress)?;
    let answer = kept(gate, presented, &receipt).await?;
    let receipt = Box::new(receipt);
    Ok(match answer {
        Some(answer) => Standing::Ready { lease, receipt, answer },
        None => Standing::Unserved { lease, receipt, from: ClaimState::Settled },
    })
}

/// It is paid, and nobody is left who runs the handler.
async fn interrupted(
    gate: &Gate,
    presented: &Presented,
    claim: &Claim,
) -> Result<Standing, Refusal> {
    let receipt = Box::new(paid(presented, claim));
    let taken = gate.take_over(&presented.key, claim.state).await;
    let pending = |_| Refusal::pending(settle::unproven(&receipt));
    let lease = taken.map_err(pending)?.ok_or_else(in_progress)?;
    Ok(Standing::Unserved { lease, receipt, from: claim.state })
}

/// It is paid, and the handler has answered.
async fn answered(gate: &Gate, presented: &Presented, claim: &Claim) -> Result<Standing, Refusal> {
    let receipt = Box::new(paid(presented, claim));
    let pending = || Refusal::pending(settle::unproven(&receipt));
    let taken = gate.take_over(&presented.key, claim.state).await;
    let lease = taken.map_err(|_| pending())?.ok_or_else(in_progress)?;
    let answer = kept(gate, presented, &receipt).await?.ok_or_else(pending)?;
    Ok(Standing::Ready { lease, receipt, answer })
}

/// The handler has answered, and the money is on the books: the answer may leave as long as there
/// is time to ask for it.
async fn deferred(gate: &Gate, presented: &Presented, claim: &Claim) -> Result<Standing, Refusal> {
    let lease = take_over_unsent(gate, presented, claim).await?;
    let is_offered = claim.new.requirements_hash == presented.requirements_hash;
    if !is_offered || settle::is_too_late(claim) {
        return release(lease, claim).await;
    }
    let answer = gate.store.find_answer(&presented.key).await.map_err(unread)?;
    let Some(answer) = answer else { return release(lease, claim).await };
    let network = &presented.asked.payment_requirements.network;
    let receipt = Box::new(receipt::pending(network, "", &presented.payer));
    Ok(Standing::Ready { lease, receipt, answer })
}

/// It has bought its answer: the same again, as long as it is kept.
async fn granted(gate: &Gate, presented: &Presented, claim: &Claim) -> Result<Standing, Refusal> {
    let receipt = Box::new(told(presented, claim));
    let answer = kept(gate, presented, &receipt).await?.ok_or_else(|| used(claim))?;
    Ok(Standing::Granted { receipt, answer })
}

/// What a payment that has moved its money bought. One that cannot be read now is not lost.
async fn kept(
    gate: &Gate,
    presented: &Presented,
    receipt: &SettleResponse,
) -> Result<Option<StoredAnswer>, Refusal> {
    gate.store.find_answer(&presented.key).await.map_err(|error| {
        tracing::error!(%error, "a kept answer could not be read");
        Refusal::pending(settle::unproven(receipt))
    })
}

/// The receipt of an answer that left, wherever its money stands.
fn told(presented: &Presented, claim: &Claim) -> SettleResponse {
    let network = &presented.asked.payment_requirements.network;
    match claim.deferral {
        None | Some(DeferralState::Settled) => paid(presented, claim),
        Some(DeferralState::NotCharged) => {
            let payer = Some(presented.payer.clone());
            SettleResponse::failed(Reason::PaymentNotCharged, network, None, payer)
        }
        Some(_) => receipt::pending(network, &claim.transaction, &presented.payer),
    }
}

/// The receipt, as the ledger has it.
fn paid(presented: &Presented, claim: &Claim) -> SettleResponse {
    let network = &presented.asked.payment_requirements.network;
    SettleResponse::paid(network, claim.transaction.clone(), presented.payer.clone())
}

fn unread(error: LedgerError) -> Refusal {
    nothing_sent(Stop::Ledger(error))
}

fn used(claim: &Claim) -> Refusal {
    Refusal::of(Reason::PaymentAlreadyUsed).with_transaction(&claim.transaction)
}

fn in_progress() -> Refusal {
    Refusal::of(Reason::PaymentInProgress)
}
