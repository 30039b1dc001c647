//! Statements on SQLite: they are prepared once for each connection, and what they find is read
//! row by row.

use faregate_protocol::PaymentKey;
use rusqlite::types::FromSql;
use rusqlite::{Connection, Params, Row, params};
use serde_json::Value;
use uuid::Uuid;

use crate::{Hold, LedgerError};

/// Milliseconds of the database's clock, as SQL.
macro_rules! now_ms {
    () => {
        "cast(unixepoch('subsec') * 1000 as integer)"
    };
}
pub(super) use now_ms;

/// Returns how many rows it changed.
pub(super) fn run(
    on: &Connection,
    sql: &'static str,
    values: impl Params,
) -> Result<usize, LedgerError> {
    on.prepare_cached(sql).and_then(|mut query| query.execute(values)).map_err(unavailable)
}

/// The first row, if there is one. The statement is stepped once more: what goes wrong when a
/// change ends, such as a broken key, is said only then.
pub(super) fn one<T>(
    on: &Connection,
    sql: &'static str,
    values: impl Params,
    read: impl FnOnce(&Row<'_>) -> Result<T, LedgerError>,
) -> Result<Option<T>, LedgerError> {
    let mut query = on.prepare_cached(sql).map_err(unavailable)?;
    let mut rows = query.query(values).map_err(unavailable)?;
    let found = rows.next().map_err(unavailable)?.map(read).transpose()?;
    if found.is_some() {
        rows.next().map_err(unavailable)?;
    }
    Ok(found)
}

/// The row that has to be there.
pub(super) fn exactly_one<T>(
    on: &Connection,
    sql: &'static str,
    values: impl Params,
    read: impl FnOnce(&Row<'_>) -> Result<T, LedgerError>,
) -> Result<T, LedgerError> {
    one(on, sql, values, read)?.ok_or_else(|| unavailable(rusqlite::Error::QueryReturnedNoRows))
}

/// All rows.
pub(super) fn all<T>(
    on: &Connection,
    sql: &'static str,
    values: impl Params,
    mut read: impl FnMut(&Row<'_>) -> Result<T, LedgerError>,
) -> Result<Vec<T>, LedgerError> {
    let mut query = on.prepare_cached(sql).map_err(unavailable)?;
    let mut rows = query.query(values).map_err(unavailable)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(unavailable)? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// Whose row of the journal it is.
pub(super) struct Of<'a> {
    key: &'a PaymentKey,
    /// Of a claim: by it the row is found.
    settle_id: Option<Uuid>,
}

impl<'a> From<&'a PaymentKey> for Of<'a> {
    fn from(key: &'a PaymentKey) -> Self {
        Self { key, settle_id: None }
    }
}

impl<'a> From<&'a Hold> for Of<'a> {
    fn from(hold: &'a Hold) -> Self {
        (&hold.key, hold.settle_id).into()
    }
}

impl<'a> From<(&'a PaymentKey, Uuid)> for Of<'a> {
    fn from((key, settle_id): (&'a PaymentKey, Uuid)) -> Self {
        Self { key, settle_id: Some(settle_id) }
    }
}

/// One journal row, in the caller's turn.
pub(super) fn journal<'a>(
    on: &Connection,
    actor: &str,
    subject: &str,
    of: impl Into<Of<'a>>,
    (from, to): (&str, &str),
    evidence: &Value,
) -> Result<(), LedgerError> {
    const INSERT: &str = concat!(
        "insert into journal (at_ms, actor, subject, payment_key, settle_id, from_state, to_state, ",
        "evidence) values (",
        now_ms!(),
        ", ?, ?, ?, ?, ?, ?, ?)"
    );
    let Of { key, settle_id } = of.into();
    let settle_id = settle_id.map(|id| id.to_string());
    let evidence = evidence.to_string();
    let values = params![actor, subject, key.0.as_slice(), settle_id, from, to, evidence];
    run(on, INSERT, values).map(|_| ())
}

/// The database's own words hold names of tables and files, never content of rows: values are
/// always bound.
#[allow(clippy::needless_pass_by_value)] // the shape `map_err` wants
pub(super) fn unavailable(error: rusqlite::Error) -> LedgerError {
    LedgerError::Unavailable { detail: error.to_string() }
}

/// Reads a column, or says which one makes no sense.
pub(super) fn column<T: FromSql>(row: &Row<'_>, name: &'static str) -> Result<T, LedgerError> {
    row.get(name).map_err(|_| LedgerError::Corrupt { what: name })
}

/// The bytes of a column, where they lie.
pub(super) fn blob<'r>(row: &'r Row<'_>, name: &'static str) -> Result<&'r [u8], LedgerError> {
    let corrupt = || LedgerError::Corrupt { what: name };
    row.get_ref(name).map_err(|_| corrupt())?.as_blob().map_err(|_| corrupt())
}

pub(super) fn bytes32(row: &Row<'_>, name: &'static str) -> Result<[u8; 32], LedgerError> {
    blob(row, name)?.try_into().map_err(|_| LedgerError::Corrupt { what: name })
}

pub(super) fn unsigned(row: &Row<'_>, name: &'static str) -> Result<u64, LedgerError> {
    let number: i64 = column(row, name)?;
    number.try_into().map_err(|_| LedgerError::Corrupt { what: name })
}

pub(super) fn uuid(row: &Row<'_>, name: &'static str) -> Result<Uuid, LedgerError> {
    let text: String = column(row, name)?;
    text.parse().map_err(|_| LedgerError::Corrupt { what: name })
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
