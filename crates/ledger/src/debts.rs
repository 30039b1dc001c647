//! Who owes what: a payee whose payer paid and was not served, or a payer who was served and has
//! not paid.

pub(crate) mod statements;

use std::collections::BTreeMap;

use async_trait::async_trait;
use faregate_protocol::{Amount, PaymentKey};
use serde_json::{Value, json};

use crate::LedgerError;

/// Who owes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Debtor {
    /// The seller: the money moved and the answer could not be given (claim in CREDIT).
    Payee = 0,
    /// The buyer: the answer was given and the money has not moved (BAD_DEBT, NOT_CHARGED).
    Payer = 1,
}

impl Debtor {
    /// Both.
    pub const ALL: &[Self] = &[Self::Payee, Self::Payer];

    /// The number that is stored.
    #[must_use]
    pub const fn number(self) -> i64 {
        self as i64
    }

    /// The debtor with this stored number.
    #[must_use]
    pub const fn from_number(number: i64) -> Option<Self> {
        match number {
            0 => Some(Self::Payee),
            1 => Some(Self::Payer),
            _ => None,
        }
    }

    /// Name for metrics and the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Payee => "payee",
            Self::Payer => "payer",
        }
    }
}

/// One debt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Debt {
    /// The payment.
    pub key: PaymentKey,
    /// Who owes it.
    pub debtor: Debtor,
    /// Why, as a state or reason code.
    pub reason: String,
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
    /// Since when, unix milliseconds by the database's clock.
    pub opened_unix_ms: i64,
    /// When it was closed; open without.
    pub closed_unix_ms: Option<i64>,
}

/// Which debts a list holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DebtFilter {
    /// Closed ones too.
    pub closed_too: bool,
    /// Owed by these only.
    pub debtor: Option<Debtor>,
    /// Of this payer, in any letter case.
    pub payer: Option<String>,
}

/// What is owed in one asset by one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenDebts {
    /// Who owes it.
    pub debtor: Debtor,
    /// CAIP-2 id.
    pub network: String,
    /// What it is owed in, in lower case.
    pub asset: String,
    /// How many payments.
    pub count: u64,
    /// How much, in atomic units.
    pub amount: Amount,
}

/// Reads debts, and closes one for an operator. They are written with the move that makes them.
#[async_trait]
pub trait DebtRecords: Send + Sync {
    /// At most `limit` debts, the newest first.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn list_debts(&self, filter: &DebtFilter, limit: u32) -> Result<Vec<Debt>, LedgerError>;

    /// The debt of one payment, open or closed.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn find_debt(&self, key: &PaymentKey) -> Result<Option<Debt>, LedgerError>;

    /// Closes a debt that was settled in another way; `note` goes to the journal. `false`: it is
    /// not open.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn close_debt(&self, key: &PaymentKey, note: &str) -> Result<bool, LedgerError>;

    /// Sums of the open ones.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn open_debts(&self) -> Result<Vec<OpenDebts>, LedgerError>;
}

/// Sums by side and asset; one that does not fit stands at the most that does.
pub(crate) fn add_up(debts: &[Debt]) -> Vec<OpenDebts> {
    let most = Amount::from_be_bytes([u8::MAX; 32]);
    let mut sums: BTreeMap<_, (u64, Amount)> = BTreeMap::new();
    for debt in debts {
        let of = (debt.debtor, debt.network.clone(), debt.asset.to_ascii_lowercase());
        let (count, amount) = sums.entry(of).or_default();
        *count = count.saturating_add(1);
        *amount = amount.checked_add(debt.amount).unwrap_or(most);
    }
    let open = |((debtor, network, asset), (count, amount))| OpenDebts {
        debtor,
        network,
        asset,
        count,
        amount,
    };
    sums.into_iter().map(open).collect()
}

/// Who closes a debt, what is closed, from what to what, and why, for the journal.
pub(crate) fn closing(
    note: &str,
) -> ((&'static str, &'static str), (&'static str, &'static str), Value) {
    (("operator", "debt"), ("OPEN", "CLOSED"), json!({ "note": note }))
}
