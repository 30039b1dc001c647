//! Owners of payees on PostgreSQL.

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::rows::{column, text, uuid};
use super::{PostgresLedger, now_ms, refused};
use crate::{LedgerError, PayToOwner, PayeeStore};

const OWNER: &str = "select * from pay_to_owners where network = $1 and pay_to = $2";

const INSERT: &str = concat!(
    "insert into pay_to_owners (network, pay_to, deployment, since_ms) values ($1, $2, $3, ",
    now_ms!(),
    ") on conflict do nothing"
);

const RELEASE: &str = "delete from pay_to_owners where network = $1 and pay_to = $2";

#[async_trait]
impl PayeeStore for PostgresLedger {
    async fn enrol(
        &self,
        network: &str,
        pay_to: &str,
        deployment: Uuid,
    ) -> Result<Uuid, LedgerError> {
        let (network, pay_to) = (text(network), text(pay_to));
        let enrol = || async {
            let owner = || sqlx::query(OWNER).bind(&*network).bind(&*pay_to);
            if let Some(row) = owner().fetch_optional(&self.pool).await? {
                return Ok(uuid(&row, "deployment")?);
            }
            let query = sqlx::query(INSERT).bind(&*network).bind(&*pay_to);
            query.bind(deployment.to_string()).execute(&self.pool).await?;
            // Of two that enrol at once, one stands there now; or an operator was faster still.
            let row = owner().fetch_optional(&self.pool).await?;
            let row = row.ok_or_else(|| refused("pay_to_owners"))?;
            Ok(uuid(&row, "deployment")?)
        };
        self.retried(enrol).await
    }

    async fn release_payee(&self, network: &str, pay_to: &str) -> Result<bool, LedgerError> {
        let (network, pay_to) = (text(network), text(pay_to));
        let release = || async {
            let query = sqlx::query(RELEASE).bind(&*network).bind(&*pay_to);
            Ok(query.execute(&self.pool).await?.rows_affected() == 1)
        };
        self.retried(release).await
    }

    async fn payees(&self) -> Result<Vec<PayToOwner>, LedgerError> {
        let list = || async {
            let query = sqlx::query("select * from pay_to_owners order by network, pay_to");
            let rows = query.fetch_all(&self.pool).await?;
            Ok(rows.iter().map(read).collect::<Result<_, LedgerError>>()?)
        };
        self.retried(list).await
    }
}

fn read(row: &PgRow) -> Result<PayToOwner, LedgerError> {
    Ok(PayToOwner {
        network: column(row, "network")?,
        pay_to: column(row, "pay_to")?,
        deployment: uuid(row, "deployment")?,
        since_unix_ms: column(row, "since_ms")?,
    })
}
