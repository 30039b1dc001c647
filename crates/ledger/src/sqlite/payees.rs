//! Owners of payees on SQLite.

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::{SqliteLedger, column, now_ms, unavailable, uuid};
use crate::{LedgerError, PayToOwner, PayeeStore};

const OWNER: &str = "select * from pay_to_owners where network = ? and pay_to = ?";

const INSERT: &str = concat!(
    "insert into pay_to_owners (network, pay_to, deployment, since_ms) values (?, ?, ?, ",
    now_ms!(),
    ")"
);

#[async_trait]
impl PayeeStore for SqliteLedger {
    async fn enrol(
        &self,
        network: &str,
        pay_to: &str,
        deployment: Uuid,
    ) -> Result<Uuid, LedgerError> {
        let owner = || sqlx::query(OWNER).bind(network).bind(pay_to);
        if let Some(row) = owner().fetch_optional(&self.reader).await.map_err(unavailable)? {
            return uuid(&row, "deployment");
        }
        let mut tx = self.begin().await?;
        // Somebody may have been faster.
        if let Some(row) = owner().fetch_optional(&mut *tx).await.map_err(unavailable)? {
            return uuid(&row, "deployment");
        }
        let query = sqlx::query(INSERT).bind(network).bind(pay_to).bind(deployment.to_string());
        query.execute(&mut *tx).await.map_err(unavailable)?;
        tx.commit().await.map_err(unavailable)?;
        Ok(deployment)
    }

    async fn release_payee(&self, network: &str, pay_to: &str) -> Result<bool, LedgerError> {
        let mut tx = self.begin().await?;
        let done = sqlx::query("delete from pay_to_owners where network = ? and pay_to = ?")
            .bind(network)
            .bind(pay_to)
            .execute(&mut *tx)
            .await
            .map_err(unavailable)?;
        tx.commit().await.map_err(unavailable)?;
        Ok(done.rows_affected() == 1)
    }

    async fn payees(&self) -> Result<Vec<PayToOwner>, LedgerError> {
        let rows = sqlx::query("select * from pay_to_owners order by network, pay_to")
            .fetch_all(&self.reader)
            .await
            .map_err(unavailable)?;
        rows.iter().map(read).collect()
    }
}

fn read(row: &SqliteRow) -> Result<PayToOwner, LedgerError> {
    Ok(PayToOwner {
        network: column(row, "network")?,
        pay_to: column(row, "pay_to")?,
        deployment: uuid(row, "deployment")?,
        since_unix_ms: column(row, "since_ms")?,
    })
}
