//! The schema of a SQLite ledger and its changes. They are numbered and recorded as sqlx does it,
//! which made the first ledgers.

use std::time::Instant;

use rusqlite::{Connection, params};

use super::statements::{all, blob, column, exactly_one, run, unavailable};
use crate::LedgerError;
use crate::migrations::{self, Change};

const CHANGES: &[Change] = &[
    (
        1,
        "claims and settlements",
        include_str!("../../migrations/sqlite/0001_claims_and_settlements.sql"),
    ),
    (2, "owners of payees", include_str!("../../migrations/sqlite/0002_pay_to_owners.sql")),
    (3, "handlers started", include_str!("../../migrations/sqlite/0003_handler_started.sql")),
    (5, "parts of answers", include_str!("../../migrations/sqlite/0005_kept_parts.sql")),
    (6, "deferred money", include_str!("../../migrations/sqlite/0006_deferred.sql")),
];

const RECORDS: &str = "create table if not exists _sqlx_migrations (version bigint primary key, \
     description text not null, installed_on timestamp not null default current_timestamp, \
     success boolean not null, checksum blob not null, execution_time bigint not null)";

const RECORDED: &str = "select version, success, checksum from _sqlx_migrations order by version";

const RECORD: &str = "insert into _sqlx_migrations (version, description, success, checksum, \
     execution_time) values (?, ?, 1, ?, ?)";

/// A reader changes no schema, so it needs the one it knows.
pub(super) fn expect_current(connection: &Connection) -> Result<(), LedgerError> {
    let version =
        exactly_one(connection, migrations::LAST_CHANGE, (), |row| column(row, "version"))?;
    migrations::expect_current(CHANGES, version)
}

/// Makes the changes that a ledger does not have yet, each in a transaction of its own.
pub(super) fn migrate(connection: &Connection) -> Result<(), LedgerError> {
    run(connection, RECORDS, ())?;
    let recorded = all(connection, RECORDED, (), |row| {
        let success: bool = column(row, "success")?;
        Ok((column::<i64>(row, "version")?, success, blob(row, "checksum")?.to_vec()))
    })?;
    let changes = migrations::migrator(CHANGES);
    for (version, success, checksum) in &recorded {
        let known = changes.iter().find(|change| change.version == *version);
        let known = known.ok_or(LedgerError::NewerSchema { version: *version })?;
        if !success || *checksum != *known.checksum {
            let detail = format!("migration: change {version} is not the one that was made");
            return Err(LedgerError::Unavailable { detail });
        }
    }
    for change in changes.iter() {
        if recorded.iter().any(|(version, _, _)| *version == change.version) {
            continue;
        }
        let began = Instant::now();
        let transaction = connection.unchecked_transaction().map_err(unavailable)?;
        transaction.execute_batch(change.sql.as_str()).map_err(unavailable)?;
        let took = i64::try_from(began.elapsed().as_nanos()).unwrap_or(i64::MAX);
        let checksum = change.checksum.as_ref();
        run(
            &transaction,
            RECORD,
            params![change.version, change.description.as_ref(), checksum, took],
        )?;
        transaction.commit().map_err(unavailable)?;
    }
    Ok(())
}
