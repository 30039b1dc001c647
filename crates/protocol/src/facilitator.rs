//! The port to a facilitator: in process or over HTTP, the gate cannot tell.

use std::future::Future;
use std::pin::Pin;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    PaymentPayload, PaymentRequirements, SettleResponse, SupportedResponse, VerifyResponse,
};

/// A boxed future: the port must be a trait object, and this crate has no async runtime.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A payment with the seller's **own** requirements; the body of `/verify` and `/settle`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequest {
    /// Version of the payload.
    pub x402_version: u32,
    /// What the buyer signed.
    pub payment_payload: PaymentPayload,
    /// What the seller asks for; never the buyer's copy.
    pub payment_requirements: PaymentRequirements,
}

impl PaymentRequest {
    /// Pairs a payload with the seller's requirements.
    #[must_use]
    pub fn new(payment_payload: PaymentPayload, payment_requirements: PaymentRequirements) -> Self {
        Self { x402_version: payment_payload.x402_version, payment_payload, payment_requirements }
    }
}

/// What our own parts tell each other besides the protocol. Foreign callers send none of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SettleTerms {
    /// Idempotency key: replies for one settle id never change.
    pub settle_id: Option<Uuid>,
    /// When the caller stops waiting, in unix milliseconds.
    pub deadline_unix_ms: Option<u64>,
    /// The caller's ledger, made by its first migration.
    pub deployment: Option<Uuid>,
    /// Nobody waits for the money: it may be moved later, when gas is cheap, if the operator says
    /// so and the authorization lives long enough.
    pub patient: bool,
}

/// Why a facilitator gave no verdict. For a settlement every one of these means *unknown*, except
/// [`FacilitatorError::Unavailable`], which promises that nothing was taken up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FacilitatorError {
    /// It refused to take the work up: its own store or chain is down. Nothing was begun.
    #[error("the facilitator cannot take up work: {0}")]
    Unavailable(&'static str),
    /// It could not be reached, or broke off.
    #[error("the facilitator could not be reached")]
    Unreachable,
    /// It did not answer in time.
    #[error("the facilitator did not answer in time")]
    TimedOut,
    /// It answered something that is not the protocol.
    #[error("the facilitator's answer is not the protocol: {0}")]
    Nonsense(&'static str),
}

/// Verifies and settles payments.
pub trait Facilitator: Send + Sync {
    /// Would this payment settle now?
    fn verify<'a>(
        &'a self,
        request: &'a PaymentRequest,
    ) -> BoxFuture<'a, Result<VerifyResponse, FacilitatorError>>;

    /// Move the money. May be called again with the same `settle_id`, at any time, to learn the
    /// outcome.
    fn settle<'a>(
        &'a self,
        request: &'a PaymentRequest,
        terms: &'a SettleTerms,
    ) -> BoxFuture<'a, Result<SettleResponse, FacilitatorError>>;

    /// What it can do.
    fn supported(&self) -> BoxFuture<'_, Result<SupportedResponse, FacilitatorError>>;

    /// A stable name: settlements are sticky to it. The URL of a remote one, `local` in process.
    fn name(&self) -> &str;
}
