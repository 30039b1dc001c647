//! Owners of payees in memory.

use async_trait::async_trait;
use uuid::Uuid;

use super::MemoryLedger;
use crate::{LedgerError, PayToOwner, PayeeStore};

#[async_trait]
impl PayeeStore for MemoryLedger {
    async fn enrol(
        &self,
        network: &str,
        pay_to: &str,
        deployment: Uuid,
    ) -> Result<Uuid, LedgerError> {
        let (mut rows, now) = self.open();
        let name = (network.to_owned(), pay_to.to_owned());
        Ok(rows.payees.entry(name).or_insert((deployment, now)).0)
    }

    async fn release_payee(&self, network: &str, pay_to: &str) -> Result<bool, LedgerError> {
        let (mut rows, _) = self.open();
        Ok(rows.payees.remove(&(network.to_owned(), pay_to.to_owned())).is_some())
    }

    async fn payees(&self) -> Result<Vec<PayToOwner>, LedgerError> {
        let (rows, _) = self.open();
        let read = |((network, pay_to), (deployment, since)): (&(String, String), &(Uuid, i64))| {
            PayToOwner {
                network: network.clone(),
                pay_to: pay_to.clone(),
                deployment: *deployment,
                since_unix_ms: *since,
            }
        };
        Ok(rows.payees.iter().map(read).collect())
    }
}
