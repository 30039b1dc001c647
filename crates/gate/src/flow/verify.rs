//! Asks the facilitator whether the payment would settle now. Nothing is claimed before it says so:
//! no stranger without the payer's signature can block a payment.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use faregate_protocol::Reason;
use futures::FutureExt;

use super::present::Presented;
use crate::answers::Refusal;
use crate::facilitator_calls;
use crate::gate::Gate;

/// Ok: it would settle.
pub(super) async fn verify(gate: &Gate, presented: &Presented) -> Result<(), Refusal> {
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
        Some(Ok(verdict)) if verdict.is_valid => Ok(()),
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
