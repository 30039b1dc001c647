//! The protocol version in which a seller asks and is paid. Choice, limits and signature are the
//! same in both; the shape of the payment and the names of the headers are not.

use faregate_protocol::header::{PAYMENT_SIGNATURE, X_PAYMENT};
use faregate_protocol::{X402_VERSION, v1};
use reqwest::header::HeaderName;
use serde::{Deserialize, Serialize};

/// A version of x402; in JSON its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub enum Version {
    /// The challenge is a body, the payment goes in `X-PAYMENT`.
    V1,
    /// The challenge is a header, the payment goes in `PAYMENT-SIGNATURE`.
    V2,
}

impl Version {
    /// The header that carries a payment.
    pub(crate) const fn payment_header(self) -> HeaderName {
        match self {
            Self::V1 => HeaderName::from_static(X_PAYMENT),
            Self::V2 => HeaderName::from_static(PAYMENT_SIGNATURE),
        }
    }

    /// What a record that does not say is of.
    pub(crate) const fn unsaid() -> Self {
        Self::V2
    }
}

impl From<Version> for u32 {
    fn from(version: Version) -> Self {
        match version {
            Version::V1 => v1::X402_VERSION,
            Version::V2 => X402_VERSION,
        }
    }
}

impl TryFrom<u32> for Version {
    type Error = &'static str;

    fn try_from(number: u32) -> Result<Self, Self::Error> {
        match number {
            v1::X402_VERSION => Ok(Self::V1),
            X402_VERSION => Ok(Self::V2),
            _ => Err("no version of x402 that is spoken here"),
        }
    }
}
