//! The numbered changes of a schema, for any database. A program refuses a schema that a newer one
//! has changed.

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

#[allow(clippy::needless_pass_by_value)] // the shape `map_err` wants
pub(crate) fn failed(error: MigrateError) -> LedgerError {
    match error {
        MigrateError::VersionMissing(version) => LedgerError::NewerSchema { version },
        other => LedgerError::Unavailable { detail: format!("migration: {other}") },
    }
}
