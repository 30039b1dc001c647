//! The engine's side of the ledger on SQLite. Nonce slots stand in `slots.rs`.

use async_trait::async_trait;
use faregate_protocol::{Amount, PaymentKey, PaymentRequest};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};
use uuid::Uuid;

use super::{
    SqliteLedger, bytes32, column, journal, now_ms, signed, slots, unavailable, unsigned, uuid,
};
use crate::{
    Attempt, EvidenceRow, LedgerError, NewSettlement, Reserved, Settlement, SettlementState,
    SettlementStore, SlotRow,
};

pub(super) const SUBJECT: &str = "settlement";

const INSERT: &str = concat!(
    "insert into settlements (payment_key, settle_id, caller_has_key, requirements_hash, ",
    "payload_hash, request, network, payer, pay_to, asset, amount, valid_before, head_at_claim, ",
    "state, created_at_ms, updated_at_ms) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ",
    now_ms!(),
    ", ",
    now_ms!(),
    ") on conflict (payment_key) do nothing"
);

const SELECT: &str = "select * from settlements where payment_key = ?";

const SELECT_OPEN: &str = concat!(
    "select * from settlements where network = ? and state not in (4, 6) ",
    "and updated_at_ms <= ",
    now_ms!(),
    " - ? order by updated_at_ms limit ?"
);

const MOVE: &str = concat!(
    "update settlements set state = ?, version = version + 1, updated_at_ms = ",
    now_ms!(),
    " where payment_key = ? and state = ?"
);

const TRANSACTIONS: &str = concat!(
    "select a.transaction_hash from attempts a join slot_items i using (network, signer, nonce) ",
    "where i.payment_key = ? order by a.made_order"
);

const COUNT_TRY: &str =
    "update settlements set tries = tries + 1 where payment_key = ? returning tries";

const REPORT: &str = concat!(
    "update settlements set success_reported_to = coalesce(success_reported_to, ?) ",
    "where payment_key = ? and state in (3, 4) returning success_reported_to"
);

const INSERT_EVIDENCE: &str = concat!(
    "insert into evidence (network, transaction_hash, log_index, block_number, block_hash, ",
    "gas_used, payment_key) select network, ?, ?, ?, ?, ?, payment_key from settlements ",
    "where payment_key = ? on conflict do nothing"
);

#[async_trait]
impl SettlementStore for SqliteLedger {
    async fn reserve(&self, new: &NewSettlement) -> Result<Reserved, LedgerError> {
        let mut tx = self.begin().await?;
        let inserted = insert(&mut tx, new).await?;
        if inserted {
            let states = ("", SettlementState::Reserved.name());
            let evidence = json!({ "settle_id": new.settle_id, "head": new.head_at_claim });
            journal(&mut tx, "api", SUBJECT, &new.key, states, &evidence).await?;
        }
        let row = sqlx::query(SELECT)
            .bind(new.key.0.as_slice())
            .fetch_one(&mut *tx)
            .await
            .map_err(unavailable)?;
        let stored = Box::new(read(&mut tx, &row).await?);
        tx.commit().await.map_err(unavailable)?;
        Ok(if inserted { Reserved::New(stored) } else { Reserved::Exists(stored) })
    }

    async fn find_settlement(&self, key: &PaymentKey) -> Result<Option<Settlement>, LedgerError> {
        let mut tx = self.reader.begin().await.map_err(unavailable)?;
        let row = sqlx::query(SELECT)
            .bind(key.0.as_slice())
            .fetch_optional(&mut *tx)
            .await
            .map_err(unavailable)?;
        match row {
            Some(row) => Ok(Some(read(&mut tx, &row).await?)),
            None => Ok(None),
        }
    }

    async fn open_settlements(
        &self,
        network: &str,
        quiet_ms: u64,
        limit: u32,
    ) -> Result<Vec<Settlement>, LedgerError> {
        let mut tx = self.reader.begin().await.map_err(unavailable)?;
        let rows = sqlx::query(SELECT_OPEN)
            .bind(network)
            .bind(signed(quiet_ms))
            .bind(limit)
            .fetch_all(&mut *tx)
            .await
            .map_err(unavailable)?;
        let mut open = Vec::with_capacity(rows.len());
        for row in &rows {
            open.push(read(&mut tx, row).await?);
        }
        Ok(open)
    }

    async fn allocate_slot(
        &self,
        network: &str,
        signer: &str,
        floor_nonce: u64,
        key: &PaymentKey,
    ) -> Result<SlotRow, LedgerError> {
        slots::allocate(self, network, signer, floor_nonce, key).await
    }

    async fn record_attempt(&self, slot: &SlotRow, attempt: &Attempt) -> Result<(), LedgerError> {
        slots::record_attempt(self, slot, attempt).await
    }

    async fn make_no_op(&self, slot: &SlotRow) -> Result<(), LedgerError> {
        slots::make_no_op(self, slot).await
    }

    async fn open_slots(&self, network: &str, signer: &str) -> Result<Vec<SlotRow>, LedgerError> {
        slots::open(self, network, signer).await
    }

    async fn close_slots_below(
        &self,
        network: &str,
        signer: &str,
        mined_nonce: u64,
    ) -> Result<u64, LedgerError> {
        slots::close_below(self, network, signer, mined_nonce).await
    }

    async fn move_settlement(
        &self,
        key: &PaymentKey,
        from: SettlementState,
        to: SettlementState,
        actor: &'static str,
        evidence: Value,
    ) -> Result<bool, LedgerError> {
        // These two carry more than a state: record_mined and undo_mined.
        let special = to == SettlementState::Mined || from == SettlementState::Mined;
        if !from.may_become(to) || (special && to != SettlementState::Final) {
            return Err(LedgerError::IllegalMove { from: from.name(), to: to.name() });
        }
        let mut tx = self.begin().await?;
        if !step(&mut tx, key, from, to).await? {
            return Ok(false);
        }
        if matches!(to, SettlementState::Reserved | SettlementState::Dead) {
            slots::leave(&mut tx, key).await?;
        }
        journal(&mut tx, actor, SUBJECT, key, (from.name(), to.name()), &evidence).await?;
        tx.commit().await.map_err(unavailable)?;
        Ok(true)
    }

    async fn record_mined(
        &self,
        key: &PaymentKey,
        from: SettlementState,
        proof: &EvidenceRow,
    ) -> Result<bool, LedgerError> {
        let to = SettlementState::Mined;
        if !from.may_become(to) {
            return Err(LedgerError::IllegalMove { from: from.name(), to: to.name() });
        }
        let mut tx = self.begin().await?;
        let stored = sqlx::query(INSERT_EVIDENCE)
            .bind(&proof.transaction)
            .bind(signed(proof.log_index))
            .bind(signed(proof.block_number))
            .bind(&proof.block_hash)
            .bind(signed(proof.gas_used))
            .bind(key.0.as_slice())
            .execute(&mut *tx)
            .await
            .map_err(unavailable)?;
        if stored.rows_affected() != 1 || !step(&mut tx, key, from, to).await? {
            return Ok(false);
        }
        slots::leave(&mut tx, key).await?;
        let evidence = json!({
            "transaction": proof.transaction, "log_index": proof.log_index,
            "block": proof.block_number, "block_hash": proof.block_hash,
            "gas_used": proof.gas_used,
        });
        journal(&mut tx, "reconciler", SUBJECT, key, (from.name(), to.name()), &evidence).await?;
        tx.commit().await.map_err(unavailable)?;
        Ok(true)
    }

    async fn undo_mined(&self, key: &PaymentKey) -> Result<bool, LedgerError> {
        let (from, to) = (SettlementState::Mined, SettlementState::Broadcast);
        let mut tx = self.begin().await?;
        if !step(&mut tx, key, from, to).await? {
            return Ok(false);
        }
        sqlx::query("delete from evidence where payment_key = ?")
            .bind(key.0.as_slice())
            .execute(&mut *tx)
            .await
            .map_err(unavailable)?;
        slots::come_back(&mut tx, key).await?;
        let evidence = json!({ "reorganised": true });
        journal(&mut tx, "reconciler", SUBJECT, key, (from.name(), to.name()), &evidence).await?;
        tx.commit().await.map_err(unavailable)?;
        Ok(true)
    }

    async fn count_try(&self, key: &PaymentKey) -> Result<i64, LedgerError> {
        let row = sqlx::query(COUNT_TRY)
            .bind(key.0.as_slice())
            .fetch_one(&self.writer)
            .await
            .map_err(unavailable)?;
        column(&row, "tries")
    }

    async fn report_success(&self, key: &PaymentKey, caller: Uuid) -> Result<bool, LedgerError> {
        let row = sqlx::query(REPORT)
            .bind(caller.to_string())
            .bind(key.0.as_slice())
            .fetch_optional(&self.writer)
            .await
            .map_err(unavailable)?;
        match row {
            Some(row) => Ok(uuid(&row, "success_reported_to")? == caller),
            None => Ok(false),
        }
    }
}

/// The compare-and-set of every move.
pub(super) async fn step(
    tx: &mut Transaction<'static, Sqlite>,
    key: &PaymentKey,
    from: SettlementState,
    to: SettlementState,
) -> Result<bool, LedgerError> {
    let done = sqlx::query(MOVE)
        .bind(to.number())
        .bind(key.0.as_slice())
        .bind(from.number())
        .execute(&mut **tx)
        .await
        .map_err(unavailable)?;
    Ok(done.rows_affected() == 1)
}

async fn insert(
    tx: &mut Transaction<'static, Sqlite>,
    new: &NewSettlement,
) -> Result<bool, LedgerError> {
    let request = serde_json::to_vec(&new.request)
        .map_err(|_| LedgerError::Corrupt { what: "settlements.request" })?;
    let done = sqlx::query(INSERT)
        .bind(new.key.0.as_slice())
        .bind(new.settle_id.to_string())
        .bind(i64::from(new.caller_has_key))
        .bind(new.requirements_hash.as_slice())
        .bind(new.payload_hash.as_slice())
        .bind(request)
        .bind(&new.network)
        .bind(&new.payer)
        .bind(&new.pay_to)
        .bind(&new.asset)
        .bind(new.amount.to_be_bytes().to_vec())
        .bind(signed(new.valid_before))
        .bind(signed(new.head_at_claim))
        .execute(&mut **tx)
        .await
        .map_err(unavailable)?;
    Ok(done.rows_affected() == 1)
}

async fn read(
    tx: &mut Transaction<'static, Sqlite>,
    row: &SqliteRow,
) -> Result<Settlement, LedgerError> {
    let key = PaymentKey(bytes32(row, "payment_key")?);
    let request: &[u8] = column(row, "request")?;
    let request: PaymentRequest =
        serde_json::from_slice(request).map_err(|_| LedgerError::Corrupt { what: "request" })?;
    let state: i64 = column(row, "state")?;
    let caller_has_key: i64 = column(row, "caller_has_key")?;
    let reported: Option<String> = column(row, "success_reported_to")?;
    Ok(Settlement {
        new: NewSettlement {
            key,
            settle_id: uuid(row, "settle_id")?,
            caller_has_key: caller_has_key != 0,
            requirements_hash: bytes32(row, "requirements_hash")?,
            payload_hash: bytes32(row, "payload_hash")?,
            request,
            network: column(row, "network")?,
            payer: column(row, "payer")?,
            pay_to: column(row, "pay_to")?,
            asset: column(row, "asset")?,
            amount: Amount::from_be_bytes(bytes32(row, "amount")?),
            valid_before: unsigned(row, "valid_before")?,
            head_at_claim: unsigned(row, "head_at_claim")?,
        },
        state: SettlementState::from_number(state).ok_or(LedgerError::Corrupt { what: "state" })?,
        version: column(row, "version")?,
        success_reported_to: reported
            .map(|text| text.parse())
            .transpose()
            .map_err(|_| LedgerError::Corrupt { what: "success_reported_to" })?,
        tries: column(row, "tries")?,
        transactions: transactions(tx, &key).await?,
        evidence: evidence(tx, &key).await?,
        reserved_unix_ms: column(row, "created_at_ms")?,
        updated_unix_ms: column(row, "updated_at_ms")?,
    })
}

async fn transactions(
    tx: &mut Transaction<'static, Sqlite>,
    key: &PaymentKey,
) -> Result<Vec<String>, LedgerError> {
    let rows = sqlx::query(TRANSACTIONS)
        .bind(key.0.as_slice())
        .fetch_all(&mut **tx)
        .await
        .map_err(unavailable)?;
    rows.iter().map(|row| row.try_get(0).map_err(unavailable)).collect()
}

async fn evidence(
    tx: &mut Transaction<'static, Sqlite>,
    key: &PaymentKey,
) -> Result<Option<EvidenceRow>, LedgerError> {
    let row = sqlx::query("select * from evidence where payment_key = ?")
        .bind(key.0.as_slice())
        .fetch_optional(&mut **tx)
        .await
        .map_err(unavailable)?;
    row.map(|row| {
        Ok(EvidenceRow {
            transaction: column(&row, "transaction_hash")?,
            log_index: unsigned(&row, "log_index")?,
            block_number: unsigned(&row, "block_number")?,
            block_hash: column(&row, "block_hash")?,
            gas_used: unsigned(&row, "gas_used")?,
        })
    })
    .transpose()
}
