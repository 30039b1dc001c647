//! The books on SQLite: sums of what is served and not settled. They are made here, in the one
//! writing transaction, because a number of 256 bits is a blob to the database.

use faregate_protocol::Amount;
use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::statements::{bytes32, column, exactly_one, now_ms, one, run};
use crate::{DeferralState, ExposureLimits, LedgerError, NotDeferred};

/// One statement each, because this is done for every payment that is put on the books.
const SUMS: &str = "select \
     (select unsettled from exposures where network = ?1 and asset = ?2 and payer = ?3) as own, \
     (select unsettled from exposures where network = ?1 and asset = ?2 and payer = '') as total, \
     exists (select 1 from debts where payer = ?3 and debtor = 1 and closed_at_ms is null) as owes";

const SET: &str = "insert into exposures (network, asset, payer, unsettled) \
     values (?1, ?2, ?3, ?4), (?1, ?2, '', ?5) \
     on conflict (network, asset, payer) do update set unsettled = excluded.unsettled";

const DROP: &str = "delete from deferrals where settle_id = ? and state = 0 \
     returning network, asset, payer, amount";

/// What the books say of a payer.
struct Sums {
    own: Amount,
    /// Of all payers.
    total: Amount,
    owes: bool,
}

/// What one payment has on the books; payer and asset in lower case.
pub(super) struct Entry {
    pub(super) network: String,
    pub(super) asset: String,
    pub(super) payer: String,
    pub(super) amount: Amount,
}

impl Entry {
    /// Puts it on the books, if the limits have room for it.
    pub(super) fn book(
        &self,
        tx: &Connection,
        limits: ExposureLimits,
    ) -> Result<Result<(), NotDeferred>, LedgerError> {
        let sums = self.sums(tx)?;
        if sums.owes {
            return Ok(Err(NotDeferred::OpenDebt));
        }
        let raised =
            |sum: Amount, limit| sum.checked_add(self.amount).filter(|raised| *raised <= limit);
        let Some(own) = raised(sums.own, limits.payer) else {
            return Ok(Err(NotDeferred::PayerLimit));
        };
        let Some(total) = raised(sums.total, limits.total) else {
            return Ok(Err(NotDeferred::TotalLimit));
        };
        self.set(tx, own, total).map(Ok)
    }

    /// Takes it off the books.
    pub(super) fn unbook(&self, tx: &Connection) -> Result<(), LedgerError> {
        let sums = self.sums(tx)?;
        let (own, total) = (sums.own.checked_sub(self.amount), sums.total.checked_sub(self.amount));
        let (Some(own), Some(total)) = (own, total) else {
            return Err(LedgerError::Corrupt { what: "exposures.unsettled" });
        };
        self.set(tx, own, total)
    }

    fn sums(&self, tx: &Connection) -> Result<Sums, LedgerError> {
        exactly_one(tx, SUMS, params![self.network, self.asset, self.payer], |row| {
            Ok(Sums {
                own: sum(row, "own")?,
                total: sum(row, "total")?,
                owes: column::<i64>(row, "owes")? != 0,
            })
        })
    }

    fn set(&self, tx: &Connection, own: Amount, total: Amount) -> Result<(), LedgerError> {
        let (own, total) = (own.to_be_bytes(), total.to_be_bytes());
        let values =
            params![self.network, self.asset, self.payer, own.as_slice(), total.as_slice()];
        run(tx, SET, values).map(|_| ())
    }
}

/// Zero for a payer who has no row yet.
fn sum(row: &Row<'_>, name: &'static str) -> Result<Amount, LedgerError> {
    let bytes: Option<Vec<u8>> = column(row, name)?;
    let Some(bytes) = bytes else { return Ok(Amount::ZERO) };
    let bytes = bytes.try_into().map_err(|_| LedgerError::Corrupt { what: name })?;
    Ok(Amount::from_be_bytes(bytes))
}

/// Takes a payment off the books that was not served, and out of the queue. Nothing, if it is not
/// there.
pub(super) fn forget_waiting(tx: &Connection, settle_id: Uuid) -> Result<(), LedgerError> {
    match one(tx, DROP, params![settle_id.to_string()], entry)? {
        Some(entry) => entry.unbook(tx),
        None => Ok(()),
    }
}

/// What a deferral has on the books.
pub(super) fn entry(row: &Row<'_>) -> Result<Entry, LedgerError> {
    Ok(Entry {
        network: column(row, "network")?,
        asset: column(row, "asset")?,
        payer: column(row, "payer")?,
        amount: Amount::from_be_bytes(bytes32(row, "amount")?),
    })
}

/// The granted row becomes due. `false`: it is not waiting.
pub(super) fn make_due(tx: &Connection, settle_id: Uuid) -> Result<bool, LedgerError> {
    const DUE: &str = concat!(
        "update deferrals set state = 1, due_ms = ",
        now_ms!(),
        ", updated_at_ms = ",
        now_ms!(),
        " where settle_id = ? and state = 0"
    );
    debug_assert!(DeferralState::Waiting.may_become(DeferralState::Queued));
    Ok(run(tx, DUE, params![settle_id.to_string()])? == 1)
}
