//! Chain-neutral facts of one payment.

use faregate_protocol::{Amount, Network, PaymentKey};

/// What a payment says once it is decoded; nothing here is verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// Names the on-chain single-use token.
    pub key: PaymentKey,
    /// Where the money moves.
    pub network: Network,
    /// Who pays, in the chain's usual spelling.
    pub payer: String,
    /// Who is paid, in the chain's usual spelling.
    pub pay_to: String,
    /// What is paid with, in the chain's usual spelling.
    pub asset: String,
    /// How much, in atomic units.
    pub amount: Amount,
    /// Valid strictly after this unix second.
    pub valid_after: u64,
    /// Valid strictly before this unix second; `u64::MAX` for anything later.
    pub valid_before: u64,
}
