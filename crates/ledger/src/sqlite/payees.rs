//! Owners of payees on SQLite.

use async_trait::async_trait;
use rusqlite::{Row, params};
use uuid::Uuid;

use super::SqliteLedger;
use super::asking::Turn;
use super::statements::{all, column, now_ms, one, run, uuid};
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
        let names = (network.to_owned(), pay_to.to_owned());
        let asked = names.clone();
        let owner = |row: &Row<'_>| uuid(row, "deployment");
        let found = self.read(move |on| one(on, OWNER, params![asked.0, asked.1], owner));
        if let Some(owner) = found.await? {
            return Ok(owner);
        }
        self.write(move |tx| {
            let (network, pay_to) = &names;
            // Somebody may have been faster.
            if let Some(owner) = one(tx, OWNER, params![network, pay_to], owner)? {
                return Ok(Turn::TakenBack(owner));
            }
            run(tx, INSERT, params![network, pay_to, deployment.to_string()])?;
            Ok(Turn::Kept(deployment))
        })
        .await
    }

    async fn release_payee(&self, network: &str, pay_to: &str) -> Result<bool, LedgerError> {
        const RELEASE: &str = "delete from pay_to_owners where network = ? and pay_to = ?";
        let (network, pay_to) = (network.to_owned(), pay_to.to_owned());
        self.write(move |tx| Ok(Turn::Kept(run(tx, RELEASE, params![network, pay_to])? == 1))).await
    }

    async fn payees(&self) -> Result<Vec<PayToOwner>, LedgerError> {
        const ALL: &str = "select * from pay_to_owners order by network, pay_to";
        self.read(|on| all(on, ALL, (), read)).await
    }
}

fn read(row: &Row<'_>) -> Result<PayToOwner, LedgerError> {
    Ok(PayToOwner {
        network: column(row, "network")?,
        pay_to: column(row, "pay_to")?,
        deployment: uuid(row, "deployment")?,
        since_unix_ms: column(row, "since_ms")?,
    })
}
