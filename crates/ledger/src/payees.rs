//! Enrolment: a payee belongs to one ledger of claims. Two ledgers that have payments to one payee
//! settled would each count the same transfer, and one payment would buy twice.

use async_trait::async_trait;
use uuid::Uuid;

use crate::LedgerError;

/// A payee and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayToOwner {
    /// CAIP-2 id.
    pub network: String,
    /// The payee, in the chain's usual spelling.
    pub pay_to: String,
    /// The ledger that the payee's gates claim payments in.
    pub deployment: Uuid,
    /// Since when, unix milliseconds by the database's clock.
    pub since_unix_ms: i64,
}

/// Who may have payments to whom settled.
#[async_trait]
pub trait PayeeStore: Send + Sync {
    /// The owner of a payee: `deployment`, if it had none.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn enrol(
        &self,
        network: &str,
        pay_to: &str,
        deployment: Uuid,
    ) -> Result<Uuid, LedgerError>;

    /// An operator frees a payee: the next deployment that settles for it owns it. `false`: it had
    /// no owner.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn release_payee(&self, network: &str, pay_to: &str) -> Result<bool, LedgerError>;

    /// Every payee that has an owner, by network and address.
    ///
    /// # Errors
    /// [`LedgerError`].
    async fn payees(&self) -> Result<Vec<PayToOwner>, LedgerError>;
}
