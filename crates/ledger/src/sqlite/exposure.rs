//! The books on SQLite: sums of what is served and not settled. They are made here, in the one
//! writing transaction, because a number of 256 bits is a blob to the database.

use faregate_protocol::{Amount, PaymentKey};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::{Turn, bytes32, column, unavailable};
use crate::{DeferralState, ExposureLimits, LedgerError, NotDeferred};

/// One statement each, because this is done for every payment that is put on the books.
const SUMS: &str = "select \
     (select unsettled from exposures where network = ?1 and asset = ?2 and payer = ?3) as own, \
     (select unsettled from exposures where network = ?1 and asset = ?2 and payer = '') as total, \
     exists (select 1 from debts where payer = ?3 and debtor = 1 and closed_at_ms is null) as owes";

const SET: &str = "insert into exposures (network, asset, payer, unsettled) \
     values (?1, ?2, ?3, ?4), (?1, ?2, '', ?5) \
     on conflict (network, asset, payer) do update set unsettled = excluded.unsettled";

const DROP: &str = "delete from deferrals where payment_key = ? and state = 0 \
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
    pub(super) async fn book(
        &self,
        tx: &mut Turn,
        limits: ExposureLimits,
    ) -> Result<Result<(), NotDeferred>, LedgerError> {
        let sums = self.sums(tx).await?;
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
        self.set(tx, own, total).await.map(Ok)
    }

    /// Takes it off the books.
    pub(super) async fn unbook(&self, tx: &mut Turn) -> Result<(), LedgerError> {
        let sums = self.sums(tx).await?;
        let (own, total) = (sums.own.checked_sub(self.amount), sums.total.checked_sub(self.amount));
        let (Some(own), Some(total)) = (own, total) else {
            return Err(LedgerError::Corrupt { what: "exposures.unsettled" });
        };
        self.set(tx, own, total).await
    }

    async fn sums(&self, tx: &mut Turn) -> Result<Sums, LedgerError> {
        let query = sqlx::query(SUMS).bind(&self.network).bind(&self.asset).bind(&self.payer);
        let row = query.fetch_one(&mut **tx).await.map_err(unavailable)?;
        Ok(Sums {
            own: sum(&row, "own")?,
            total: sum(&row, "total")?,
            owes: column::<i64>(&row, "owes")? != 0,
        })
    }

    async fn set(&self, tx: &mut Turn, own: Amount, total: Amount) -> Result<(), LedgerError> {
        let query = sqlx::query(SET).bind(&self.network).bind(&self.asset).bind(&self.payer);
        let query = query.bind(own.to_be_bytes().to_vec()).bind(total.to_be_bytes().to_vec());
        query.execute(&mut **tx).await.map(|_| ()).map_err(unavailable)
    }
}

/// Zero for a payer who has no row yet.
fn sum(row: &SqliteRow, name: &'static str) -> Result<Amount, LedgerError> {
    let bytes: Option<&[u8]> = column(row, name)?;
    let Some(bytes) = bytes else { return Ok(Amount::ZERO) };
    let bytes = bytes.try_into().map_err(|_| LedgerError::Corrupt { what: name })?;
    Ok(Amount::from_be_bytes(bytes))
}

/// Takes a payment off the books that was not served, and out of the queue. Nothing, if it is not
/// there.
pub(super) async fn forget_waiting(tx: &mut Turn, key: &PaymentKey) -> Result<(), LedgerError> {
    let row = sqlx::query(DROP).bind(key.0.as_slice()).fetch_optional(&mut **tx).await;
    let Some(row) = row.map_err(unavailable)? else { return Ok(()) };
    let text = |name| row.try_get::<String, _>(name).map_err(unavailable);
    let entry = Entry {
        network: text("network")?,
        asset: text("asset")?,
        payer: text("payer")?,
        amount: Amount::from_be_bytes(bytes32(&row, "amount")?),
    };
    entry.unbook(tx).await
}

/// The granted row becomes due. `false`: it is not waiting.
pub(super) async fn make_due(tx: &mut Turn, key: &PaymentKey) -> Result<bool, LedgerError> {
    const DUE: &str = concat!(
        "update deferrals set state = 1, due_ms = ",
        super::now_ms!(),
        ", updated_at_ms = ",
        super::now_ms!(),
        " where payment_key = ? and state = 0"
    );
    debug_assert!(DeferralState::Waiting.may_become(DeferralState::Queued));
    let done = sqlx::query(DUE).bind(key.0.as_slice()).execute(&mut **tx).await;
    Ok(done.map_err(unavailable)?.rows_affected() == 1)
}
