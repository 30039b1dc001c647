//! The books on SQLite: sums of what is served and not settled. They are made here, in the one
//! writing transaction, because a number of 256 bits is a blob to the database.

use faregate_protocol::{Amount, PaymentKey};
use sqlx::{Row as _, Sqlite, Transaction};

use super::{bytes32, unavailable};
use crate::{DeferralState, ExposureLimits, LedgerError, NotDeferred};

const SUM: &str = "select unsettled from exposures where network = ? and asset = ? and payer = ?";

const SET: &str = "insert into exposures (network, asset, payer, unsettled) values (?, ?, ?, ?) \
     on conflict (network, asset, payer) do update set unsettled = excluded.unsettled";

const DROP: &str = "delete from deferrals where payment_key = ? and state = 0 \
     returning network, asset, payer, amount";

const OWES: &str = "select 1 from debts where payer = ? and debtor = 1 and closed_at_ms is null";

/// Everybody's row.
const ALL: &str = "";

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
        tx: &mut Transaction<'static, Sqlite>,
        limits: ExposureLimits,
    ) -> Result<Result<(), NotDeferred>, LedgerError> {
        let owes = sqlx::query(OWES).bind(&self.payer).fetch_optional(&mut **tx).await;
        if owes.map_err(unavailable)?.is_some() {
            return Ok(Err(NotDeferred::OpenDebt));
        }
        for (payer, limit, full) in [
            (self.payer.as_str(), limits.payer, NotDeferred::PayerLimit),
            (ALL, limits.total, NotDeferred::TotalLimit),
        ] {
            let sum = self.sum(tx, payer).await?.checked_add(self.amount);
            let Some(sum) = sum.filter(|sum| *sum <= limit) else { return Ok(Err(full)) };
            self.set(tx, payer, sum).await?;
        }
        Ok(Ok(()))
    }

    /// Takes it off the books.
    pub(super) async fn unbook(
        &self,
        tx: &mut Transaction<'static, Sqlite>,
    ) -> Result<(), LedgerError> {
        for payer in [self.payer.as_str(), ALL] {
            let left = self.sum(tx, payer).await?.checked_sub(self.amount);
            let left = left.ok_or(LedgerError::Corrupt { what: "exposures.unsettled" })?;
            self.set(tx, payer, left).await?;
        }
        Ok(())
    }

    async fn sum(
        &self,
        tx: &mut Transaction<'static, Sqlite>,
        payer: &str,
    ) -> Result<Amount, LedgerError> {
        let query = sqlx::query(SUM).bind(&self.network).bind(&self.asset).bind(payer);
        let row = query.fetch_optional(&mut **tx).await.map_err(unavailable)?;
        let sum = row.map(|row| bytes32(&row, "unsettled")).transpose()?;
        Ok(sum.map_or(Amount::ZERO, Amount::from_be_bytes))
    }

    async fn set(
        &self,
        tx: &mut Transaction<'static, Sqlite>,
        payer: &str,
        sum: Amount,
    ) -> Result<(), LedgerError> {
        let query = sqlx::query(SET).bind(&self.network).bind(&self.asset).bind(payer);
        let done = query.bind(sum.to_be_bytes().to_vec()).execute(&mut **tx).await;
        done.map(|_| ()).map_err(unavailable)
    }
}

/// Takes a payment off the books that was not served, and out of the queue. Nothing, if it is not
/// there.
pub(super) async fn forget_waiting(
    tx: &mut Transaction<'static, Sqlite>,
    key: &PaymentKey,
) -> Result<(), LedgerError> {
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
pub(super) async fn make_due(
    tx: &mut Transaction<'static, Sqlite>,
    key: &PaymentKey,
) -> Result<bool, LedgerError> {
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
