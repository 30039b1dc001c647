//! The numbered changes of a schema, for any database. A program refuses a schema that a newer one
//! has changed.

use std::cmp::Ordering;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};

use crate::LedgerError;

/// Number, name, SQL.
pub(crate) type Change = (i64, &'static str, &'static str);

pub(crate) fn migrator(changes: &[Change]) -> Migrator {
    let migrations = changes.iter().map(|&(number, name, sql)| {
        let sql = sqlx::SqlStr::from_static(sql);
        Migration::new(number, name.into(), MigrationType::Simple, sql, false)
    });
    Migrator::with_migrations(migrations.collect())
}

/// The number of the last change that a database has.
pub(crate) const LAST_CHANGE: &str =
    "select coalesce(max(version), 0) as version from _sqlx_migrations where success";

/// A reader changes no schema, so it needs the one it knows.
pub(crate) fn expect_current(changes: &[Change], version: i64) -> Result<(), LedgerError> {
    let known = changes.iter().map(|(number, _, _)| *number).max().unwrap_or_default();
    match version.cmp(&known) {
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(LedgerError::NewerSchema { version }),
        Ordering::Less => Err(LedgerError::OlderSchema { version }),
    }
}

#[allow(clippy::needless_pass_by_value)] // the shape `map_err` wants
pub(crate) fn failed(error: MigrateError) -> LedgerError {
    match error {
        MigrateError::VersionMissing(version) => LedgerError::NewerSchema { version },
        other => LedgerError::Unavailable { detail: format!("migration: {other}") },
    }
}
