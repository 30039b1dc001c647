//! Why a chain gave no answer. None of these says anything about a payment.

/// A question to a chain was not answered. Texts are ours: the words of an endpoint, which may
/// hold its URL and key, never travel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// No endpoint could be reached, or it broke off.
    #[error("no endpoint of {network} answers")]
    Unreachable {
        /// CAIP-2 id.
        network: String,
    },
    /// The endpoint did not answer in time.
    #[error("the endpoint of {network} did not answer in time")]
    TimedOut {
        /// CAIP-2 id.
        network: String,
    },
    /// The endpoint refused for its own reasons (rate limit, authentication).
    #[error("the endpoint of {network} refused the call (HTTP {status})")]
    Refused {
        /// CAIP-2 id.
        network: String,
        /// HTTP status.
        status: u16,
    },
    /// The answer is not what the method returns, or larger than the limit.
    #[error("the endpoint of {network} answered nonsense to {method}")]
    Nonsense {
        /// CAIP-2 id.
        network: String,
        /// JSON-RPC method.
        method: &'static str,
    },
    /// The endpoint serves another chain.
    #[error("the endpoint serves chain {found}, configured is {configured}")]
    WrongChain {
        /// Configured chain id.
        configured: u64,
        /// Chain id that was answered.
        found: u64,
    },
    /// A check at start-up failed for an asset.
    #[error("asset {asset}: {detail}")]
    Asset {
        /// Token address.
        asset: String,
        /// What is wrong.
        detail: String,
    },
    /// The signer gave no signature.
    #[error("the signer gave no signature: {detail}")]
    Signer {
        /// What is wrong, without key material.
        detail: &'static str,
    },
    /// The fee the chain asks is above the configured ceiling.
    #[error("the fee of {network} is above the configured ceiling")]
    FeeCeiling {
        /// CAIP-2 id.
        network: String,
    },
    /// The work is not for this adapter.
    #[error("this adapter does not do that: {detail}")]
    Unsupported {
        /// What was asked.
        detail: &'static str,
    },
}

impl ChainError {
    /// Nobody answered, for now: a smaller question would not be answered either.
    #[must_use]
    pub const fn is_silence(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::TimedOut { .. }
                | Self::Refused { status: 429 | 500..=599, .. }
        )
    }
}
