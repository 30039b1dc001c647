//! The protocol version a caller speaks. Behind this door everything is version 2; a caller of
//! version 1 is answered with the names it knows.

use faregate_protocol::{SettleResponse, VerifyResponse, v1};

/// The version of a message, by its decoded payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Networks by name, the price as `maxAmountRequired`.
    V1,
    /// Networks by CAIP-2 id.
    V2,
}

impl Version {
    /// The verdict in the caller's names.
    #[must_use]
    pub fn verdict(self, verdict: VerifyResponse) -> VerifyResponse {
        match self {
            Self::V1 => v1::verdict(verdict),
            Self::V2 => verdict,
        }
    }

    /// The outcome in the caller's names.
    #[must_use]
    pub fn outcome(self, outcome: SettleResponse) -> SettleResponse {
        match self {
            Self::V1 => v1::outcome(outcome),
            Self::V2 => outcome,
        }
    }
}
