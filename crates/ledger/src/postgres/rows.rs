//! Columns of PostgreSQL as our types, and back.

use std::borrow::Cow;

use sqlx::postgres::PgRow;
use sqlx::{Postgres, Row as _};
use uuid::Uuid;

use crate::LedgerError;

/// Reads a column, or says which one makes no sense.
pub(super) fn column<'r, T>(row: &'r PgRow, name: &'static str) -> Result<T, LedgerError>
where
    T: sqlx::Decode<'r, Postgres> + sqlx::Type<Postgres>,
{
    row.try_get(name).map_err(|_| LedgerError::Corrupt { what: name })
}

pub(super) fn bytes32(row: &PgRow, name: &'static str) -> Result<[u8; 32], LedgerError> {
    let bytes: &[u8] = column(row, name)?;
    bytes.try_into().map_err(|_| LedgerError::Corrupt { what: name })
}

pub(super) fn unsigned(row: &PgRow, name: &'static str) -> Result<u64, LedgerError> {
    let number: i64 = column(row, name)?;
    number.try_into().map_err(|_| LedgerError::Corrupt { what: name })
}

pub(super) fn uuid(row: &PgRow, name: &'static str) -> Result<Uuid, LedgerError> {
    let text: &str = column(row, name)?;
    text.parse().map_err(|_| LedgerError::Corrupt { what: name })
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// PostgreSQL has no text with a NUL in it, and an outcome must be stored whatever others say.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}
