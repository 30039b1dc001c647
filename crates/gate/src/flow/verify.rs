//! Asks the facilitator whether the payment would settle now. Nothing is claimed before it says so:
//! no stranger without the payer's signature can block a payment.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use faregate_protocol::{Amount, Reason, VerifyResponse};
use futures::FutureExt;

use super::present::Presented;
use crate::answers::Refusal;
use crate::facilitator_calls;
use crate::gate::Gate;

/// Where a facilitator that knows it says what the payer has, in atomic units of the asset.
const PAYER_BALANCE: &str = "payerBalance";

/// What the verification saw.
pub(crate) struct Seen {
    /// What the payer had, if the facilitator says so.
    pub(crate) balance: Option<Amount>,
}

impl Seen {
    fn of(verdict: &VerifyResponse) -> Self {
        let balance = verdict.extra.as_ref().and_then(|extra| extra.get(PAYER_BALANCE)?.as_str());
        Self { balance: balance.and_then(|text| text.parse().ok()) }
    }
}

/// Ok: it would settle.
pub(super) async fn verify(gate: &Gate, presented: &Presented) -> Result<Seen, Refusal> {
    let started = Instant::now();
    let asking = AssertUnwindSafe(gate.facilitator.verify(&presented.asked)).catch_unwind();
    let answer = tokio::time::timeout(gate.limits.verify_timeout, asking).await;
    // Neither a panic nor silence is a verdict.
    let answer = answer.ok().and_then(Result::ok);
    let option = &presented.asked.payment_requirements;
    let elapsed = started.elapsed();
    gate.metrics.payment_duration(option.network.as_str(), &option.scheme, "verify", elapsed);
    gate.metrics.facilitator_request("verify", facilitator_calls::verified(answer.as_ref()));
    match answer {
        Some(Ok(verdict)) if verdict.is_valid => Ok(Seen::of(&verdict)),
        Some(Ok(verdict)) => {
            Err(Refusal::of_verdict(verdict.invalid_reason.as_deref(), &presented.payer))
        }
        Some(Err(error)) => {
            tracing::warn!(%error, "no verdict");
            Err(Refusal::of(Reason::FacilitatorUnavailable))
        }
        None => Err(Refusal::of(Reason::FacilitatorUnavailable)),
    }
}
