//! The schema of a SQLite ledger and its changes. They are numbered and recorded as sqlx does it,
//! which made the first ledgers.

use std::time::Instant;

use rusqlite::{Connection, params};

use super::statements::{all, blob, column, exactly_one, one, run, unavailable};
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
    (7, "long rows", include_str!("../../migrations/sqlite/0007_long_rows.sql")),
    (8, "order of wanted", include_str!("../../migrations/sqlite/0008_order_of_wanted.sql")),
    (9, "by settle id", include_str!("../../migrations/sqlite/0009_by_settle_id.sql")),
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

/// Makes the changes that a ledger does not have yet, each in a transaction of its own. Foreign keys
/// are off meanwhile, so that a table can be made anew, and are checked before each commit; what is
/// sorted for an index may be larger than the memory.
pub(super) fn migrate(connection: &Connection) -> Result<(), LedgerError> {
    let set = |store, keys: bool| {
        connection.pragma_update(None, "temp_store", store).map_err(unavailable)?;
        connection.pragma_update(None, "foreign_keys", keys).map_err(unavailable)
    };
    set("file", false)?;
    let made = make(connection, CHANGES);
    set("memory", true)?;
    made
}

fn make(connection: &Connection, changes: &[Change]) -> Result<(), LedgerError> {
    run(connection, RECORDS, ())?;
    let recorded = all(connection, RECORDED, (), |row| {
        let success: bool = column(row, "success")?;
        Ok((column::<i64>(row, "version")?, success, blob(row, "checksum")?.to_vec()))
    })?;
    let changes = migrations::migrator(changes);
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
        if one(&transaction, "pragma foreign_key_check", (), |_| Ok(()))?.is_some() {
            let detail = format!("migration: change {} would leave rows alone", change.version);
            return Err(LedgerError::Unavailable { detail });
        }
        transaction.commit().map_err(unavailable)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::connections;

    #[test]
    fn rows_survive_that_their_tables_are_made_anew() {
        let connection = connections::in_memory().unwrap();
        connection.pragma_update(None, "foreign_keys", false).unwrap();
        let before = CHANGES.iter().position(|(number, _, _)| *number == 7).unwrap();
        make(&connection, &CHANGES[..before]).unwrap();
        let payment = "zeroblob(32), 's', zeroblob(32), zeroblob(32)";
        let parties = "'n', 'p', 'q', 'a', zeroblob(32)";
        for (table, columns, values) in [
            (
                "claims",
                "payment_key, settle_id, request_fp, requirements_hash, network, payer, pay_to, \
                 asset, amount, facilitator, payload_hash, route, valid_before, state, grant_id, \
                 lease_until_ms, created_at_ms, updated_at_ms, handler_started",
                format!("{payment}, {parties}, 'f', zeroblob(32), 'r', 1, 4, 'g', 2, 3, 4, 1"),
            ),
            (
                "settlements",
                "payment_key, settle_id, requirements_hash, payload_hash, network, payer, pay_to, \
                 asset, amount, caller_has_key, request, valid_before, head_at_claim, state, \
                 wanted_until_ms, next_look_ms, created_at_ms, updated_at_ms",
                format!("{payment}, {parties}, 1, x'07', 1, 2, 3, 4, 5, 6, 7"),
            ),
            (
                "deferrals",
                "payment_key, state, facilitator, network, payer, asset, amount, settle_by_ms, \
                 due_ms, created_at_ms, updated_at_ms",
                "zeroblob(32), 2, 'f', 'n', 'p', 'a', zeroblob(32), 1, 2, 3, 4".to_owned(),
            ),
        ] {
            let sql = format!("insert into {table} ({columns}) values ({values})");
            connection.execute(&sql, ()).unwrap();
        }
        for sql in [
            "insert into kept values (zeroblob(32), x'01', x'02', 3)",
            "insert into kept_requests values (zeroblob(32), x'04', 5)",
            "insert into journal values (7, 1, 'a', 's', zeroblob(32), '', 'VERIFIED', '{}')",
        ] {
            connection.execute(sql, ()).unwrap();
        }
        migrate(&connection).unwrap();
        let read = |sql: &str| -> String { connection.query_row(sql, (), |r| r.get(0)).unwrap() };
        let claim = "select settle_id || facilitator || grant_id || state || handler_started || \
             created_at_ms from claims";
        assert_eq!(read(claim), "sfg413");
        assert_eq!(read("select settle_id || hex(request) || state from settlements"), "s073");
        let deferral = "select settle_id || facilitator || state || settle_by_ms from deferrals";
        assert_eq!(read(deferral), "sf21");
        let kept = "select settle_id || hex(request) || hex(answer) || kept_at_ms from kept";
        assert_eq!(read(kept), "s01023");
        let kept = "select settle_id || hex(request) || kept_at_ms from kept_requests";
        assert_eq!(read(kept), "s045");
        assert_eq!(
            read("select id || to_state || coalesce(settle_id, '-') from journal"),
            "7VERIFIED-"
        );
        let gone = connection.execute("delete from claims", ());
        assert!(gone.is_err(), "foreign keys are on, and hold the new table");
        migrate(&connection).unwrap();
    }
}
