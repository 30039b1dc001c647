//! What people read: lists of payments, and how one of them was sent. Nothing here decides
//! anything, and nothing that is sealed is opened.

pub(crate) mod statements;

use async_trait::async_trait;
use faregate_protocol::{Amount, PaymentKey};

use crate::{ClaimState, LedgerError, SettlementState, SlotKind, SlotState};

/// Which payments a list holds. The default is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PaymentFilter {
    /// Claims in one of these states. A payment is listed if either its claim or its settlement
    /// fits; with no state on both sides, every payment is.
    pub claims: Vec<ClaimState>,
    /// Settlements in one of these states.
    pub settlements: Vec<SettlementState>,
    /// CAIP-2 id.
    pub network: Option<String>,
    /// Who pays, in any letter case.
    pub payer: Option<String>,
    /// Who is paid, in any letter case.
    pub pay_to: Option<String>,
}

impl PaymentFilter {
    /// The states as sets of bits, for the stores.
    pub(crate) fn masks(&self) -> (i64, i64) {
        let bits = |numbers: &mut dyn Iterator<Item = i64>| numbers.fold(0, |set, n| set | 1 << n);
        (
            bits(&mut self.claims.iter().map(|state| state.number())),
            bits(&mut self.settlements.iter().map(|state| state.number())),
        )
    }
}

/// One line of a list. A gate with a foreign facilitator has claims only, a facilitator without a
/// gate has settlements only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentSummary {
    /// Names the payment.
    pub key: PaymentKey,
    /// Where the gate's claim stands.
    pub claim: Option<ClaimState>,
    /// Where the settlement stands.
    pub settlement: Option<SettlementState>,
    /// CAIP-2 id.
    pub network: String,
    /// Who pays.
    pub payer: String,
    /// Who is paid.
    pub pay_to: String,
    /// What is paid with.
    pub asset: String,
    /// How much, in atomic units.
    pub amount: Amount,
    /// The transaction that proves it, else the one that is known; empty if none is.
    pub transaction: String,
    /// When it last moved, unix milliseconds by the database's clock.
    pub updated_unix_ms: i64,
}

/// One signed transaction that carries a payment. Its bytes stay sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentTransaction {
    /// Transaction hash.
    pub transaction: String,
    /// CAIP-2 id.
    pub network: String,
    /// Signer.
    pub signer: String,
    /// Transaction nonce.
    pub nonce: u64,
    /// What the nonce is for.
    pub kind: SlotKind,
    /// Where the nonce stands.
    pub slot: SlotState,
    /// The payment still lives in that nonce.
    pub live: bool,
    /// Most it pays for one unit of gas, in wei.
    pub max_fee_wei: u128,
    /// Tip for one unit of gas, in wei.
    pub tip_wei: u128,
    /// When it was signed, unix milliseconds by the database's clock.
    pub signed_unix_ms: i64,
}

/// Part of a payment key, or a transaction hash, as people copy it from a log or an explorer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentName {
    low: [u8; 32],
    high: [u8; 32],
    transaction: Option<String>,
}

/// The text names no payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a payment is named by its key (64 hex digits, or the first {MIN_DIGITS} or more of them), \
     or by the hash of its transaction"
)]
pub struct PaymentNameError;

/// Fewest digits of a key.
const MIN_DIGITS: usize = 4;
const KEY_DIGITS: usize = 64;
const DIGITS_PER_BYTE: usize = 2;
const RADIX: u32 = 16;

impl std::str::FromStr for PaymentName {
    type Err = PaymentNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("0x").unwrap_or(text).to_ascii_lowercase();
        if !(MIN_DIGITS..=KEY_DIGITS).contains(&digits.len()) {
            return Err(PaymentNameError);
        }
        let (mut low, mut high) = ([0; 32], [u8::MAX; 32]);
        for (at, digit) in digits.chars().enumerate() {
            let value = digit.to_digit(RADIX).and_then(|value| u8::try_from(value).ok());
            let value = value.ok_or(PaymentNameError)?;
            let (byte, shift) =
                (at / DIGITS_PER_BYTE, if at % DIGITS_PER_BYTE == 0 { 4 } else { 0 });
            low[byte] |= value << shift;
            high[byte] &= !(0xf << shift) | value << shift;
        }
        let transaction = (digits.len() == KEY_DIGITS).then(|| format!("0x{digits}"));
        Ok(Self { low, high, transaction })
    }
}

impl From<&PaymentKey> for PaymentName {
    fn from(key: &PaymentKey) -> Self {
        Self { low: key.0, high: key.0, transaction: None }
    }
}

impl PaymentName {
    /// The lowest and the highest key that it can mean.
    pub(crate) const fn range(&self) -> (&[u8; 32], &[u8; 32]) {
        (&self.low, &self.high)
    }

    /// The transaction that it can mean; empty if none.
    pub(crate) fn transaction(&self) -> &str {
        self.transaction.as_deref().unwrap_or_default()
    }
}

/// The operator's view of a ledger: read-only.
#[async_trait]
pub trait PaymentRecords: Send + Sync {
    /// At most `limit` payments, those that moved last first.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn list_payments(
        &self,
        filter: &PaymentFilter,
        limit: u32,
    ) -> Result<Vec<PaymentSummary>, LedgerError>;

    /// Keys of at most `limit` payments that `name` can mean, in their order.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn find_payments(
        &self,
        name: &PaymentName,
        limit: u32,
    ) -> Result<Vec<PaymentKey>, LedgerError>;

    /// Own transactions that carry a payment, oldest first.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn sent_transactions(
        &self,
        key: &PaymentKey,
    ) -> Result<Vec<SentTransaction>, LedgerError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_means_every_key_that_begins_so() {
        let name: PaymentName = "0xAb12c".parse().unwrap();
        let (low, high) = name.range();
        assert_eq!(low[..4], [0xab, 0x12, 0xc0, 0x00]);
        assert_eq!(high[..4], [0xab, 0x12, 0xcf, 0xff]);
        assert_eq!(name.transaction(), "");
    }

    #[test]
    fn a_whole_one_is_a_key_or_a_transaction() {
        let key = PaymentKey([0xa7; 32]);
        let name: PaymentName = key.to_string().to_uppercase().parse().unwrap();
        assert_eq!(name.range(), (&key.0, &key.0));
        assert_eq!(name.transaction(), format!("0x{key}"));
    }

    #[test]
    fn what_names_nothing_is_refused() {
        let long = "a".repeat(KEY_DIGITS + 1);
        for text in ["", "0x", "abc", "0xabc", "wxyz", "0x0xabcd", "ab cd", "äääää", &long] {
            assert_eq!(text.parse::<PaymentName>(), Err(PaymentNameError), "{text}");
        }
    }
}
