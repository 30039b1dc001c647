//! The engine's side of the ledger on SQLite: reservations, moves, reads. Nonce slots stand in
//! `slots.rs`, leases in `leases.rs`.

use async_trait::async_trait;
use faregate_protocol::{Amount, PaymentKey, PaymentRequest};
use serde_json::{Value, json};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Row, Sqlite, Transaction};
use tokio::sync::broadcast;
use uuid::Uuid;

use super::{
    SqliteLedger, bytes32, column, journal, leases, now_ms, signed, slots, unavailable, unsigned,
    uuid,
};
use crate::sealing::Sealed;
use crate::{
    Attempt, EvidenceRow, LaneRows, Lease, LedgerError, NewSettlement, Reserved, Settlement,
    SettlementState, SettlementStore, SlotRow,
};

pub(super) const SUBJECT: &str = "settlement";
const RECONCILER: &str = "reconciler";
const API: &str = "api";

const INSERT: &str = concat!(
    "insert into settlements (payment_key, settle_id, caller_has_key, requirements_hash, ",
    "payload_hash, request, network, payer, pay_to, asset, amount, valid_before, head_at_claim, ",
    "state, wanted_until_ms, next_look_ms, created_at_ms, updated_at_ms) ",
    "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ",
    now_ms!(),
    " + ?, ",
    now_ms!(),
    ", ",
    now_ms!(),
    ", ",
    now_ms!(),
    ") on conflict (payment_key) do nothing"
);

macro_rules! select {
    ($rest:expr) => {
        concat!(
            "select s.*, s.wanted_until_ms > ",
            now_ms!(),
            " as wanted, ",
            now_ms!(),
            " as read_at_ms, exists (select 1 from slot_items i join nonce_slots n ",
            "using (network, signer, nonce) where i.payment_key = s.payment_key and i.live = 1 ",
            "and n.state <> 2) as in_open_slot from settlements s ",
            $rest
        )
    };
}

const SELECT: &str = select!("where s.payment_key = ?");

const WANTED: &str = concat!(
    select!("where s.network = ? and s.state = 0 and s.wanted_until_ms > "),
    now_ms!(),
    " and not exists (select 1 from slot_items i where i.payment_key = s.payment_key ",
    "and i.live = 1) order by s.valid_before, s.payment_key limit ?"
);

const DUE: &str = concat!(
    select!("where s.network = ?1 and s.state not in (4, 6) and s.next_look_ms <= "),
    now_ms!(),
    " and (s.next_look_ms = 0 or s.updated_at_ms <= ",
    now_ms!(),
    " - ?3) order by s.state = 3, s.next_look_ms, s.payment_key limit ?2"
);

const MOVE: &str = concat!(
    "update settlements set state = ?, version = version + 1, looks = 0, next_look_ms = ",
    now_ms!(),
    ", updated_at_ms = ",
    now_ms!(),
    " where payment_key = ? and state = ?"
);

const LOOKED: &str = concat!(
    "update settlements set looks = looks + 1, next_look_ms = ",
    now_ms!(),
    " + ? where payment_key = ?"
);

const WANT: &str = concat!(
    "update settlements set wanted_until_ms = max(wanted_until_ms, ",
    now_ms!(),
    " + ?) where payment_key = ?"
);

/// The largest second whose milliseconds can be stored stands for never.
const WANTED_TO_THE_END: &str = concat!(
    "update settlements set wanted_until_ms = min(valid_before, 9223372036854775) * 1000 ",
    "where payment_key = ?"
);

const TRANSACTIONS: &str = concat!(
    "select a.transaction_hash from attempts a join slot_items i using (network, signer, nonce) ",
    "where i.payment_key = ? order by a.made_order"
);

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
    async fn lease(
        &self,
        name: &str,
        owner: Uuid,
        ttl_ms: u64,
    ) -> Result<Option<Lease>, LedgerError> {
        leases::take(self, name, owner, ttl_ms).await
    }

    async fn give_up(&self, lease: &Lease) -> Result<(), LedgerError> {
        leases::give_up(self, lease).await
    }

    async fn reserve(&self, new: &NewSettlement, wait_ms: u64) -> Result<Reserved, LedgerError> {
        let mut tx = self.begin().await?;
        let sealed = seal(self, new)?;
        let inserted = insert(&mut tx, new, sealed, wait_ms).await?;
        if inserted {
            let states = ("", SettlementState::Reserved.name());
            let evidence = json!({ "settle_id": new.settle_id, "head": new.head_at_claim });
            journal(&mut tx, API, SUBJECT, &new.key, states, &evidence).await?;
        }
        let row = sqlx::query(SELECT)
            .bind(new.key.0.as_slice())
            .fetch_one(&mut *tx)
            .await
            .map_err(unavailable)?;
        let stored = Box::new(read(self, &mut tx, &row).await?);
        tx.commit().await.map_err(unavailable)?;
        self.tell(new.key);
        Ok(if inserted { Reserved::New(stored) } else { Reserved::Exists(stored) })
    }

    async fn want(&self, key: &PaymentKey, wait_ms: u64) -> Result<(), LedgerError> {
        let mut tx = self.begin().await?;
        sqlx::query(WANT)
            .bind(signed(wait_ms))
            .bind(key.0.as_slice())
            .execute(&mut *tx)
            .await
            .map_err(unavailable)?;
        let (from, to) = (SettlementState::Dormant, SettlementState::Reserved);
        if step(&mut tx, key, from, to).await? {
            let evidence = json!({ "asked_again": true });
            journal(&mut tx, API, SUBJECT, key, (from.name(), to.name()), &evidence).await?;
        }
        tx.commit().await.map_err(unavailable)?;
        self.tell(*key);
        Ok(())
    }

    async fn find_settlement(&self, key: &PaymentKey) -> Result<Option<Settlement>, LedgerError> {
        let mut tx = self.reader.begin().await.map_err(unavailable)?;
        let row = sqlx::query(SELECT)
            .bind(key.0.as_slice())
            .fetch_optional(&mut *tx)
            .await
            .map_err(unavailable)?;
        match row {
            Some(row) => Ok(Some(read(self, &mut tx, &row).await?)),
            None => Ok(None),
        }
    }

    async fn wanted(&self, network: &str, limit: u32) -> Result<Vec<Settlement>, LedgerError> {
        list(self, sqlx::query(WANTED).bind(network.to_owned()).bind(limit)).await
    }

    async fn due(
        &self,
        network: &str,
        quiet_ms: u64,
        limit: u32,
    ) -> Result<Vec<Settlement>, LedgerError> {
        let query = sqlx::query(DUE).bind(network.to_owned()).bind(limit).bind(signed(quiet_ms));
        list(self, query).await
    }

    async fn looked(
        &self,
        lease: &Lease,
        key: &PaymentKey,
        next_in_ms: u64,
    ) -> Result<(), LedgerError> {
        let mut tx = leases::begin(self, lease).await?;
        sqlx::query(LOOKED)
            .bind(signed(next_in_ms))
            .bind(key.0.as_slice())
            .execute(&mut *tx)
            .await
            .map_err(unavailable)?;
        tx.commit().await.map_err(unavailable)
    }

    async fn unresolved(&self, network: &str) -> Result<u64, LedgerError> {
        let row = sqlx::query(
            "select count(*) as open from settlements where network = ? and state not in (3, 4, 6)",
        )
        .bind(network)
        .fetch_one(&self.reader)
        .await
        .map_err(unavailable)?;
        unsigned(&row, "open")
    }

    async fn lane(&self, network: &str, signer: &str) -> Result<LaneRows, LedgerError> {
        slots::lane(self, network, signer).await
    }

    async fn allocate_slot(
        &self,
        lease: &Lease,
        network: &str,
        signer: &str,
        floor_nonce: u64,
        key: &PaymentKey,
    ) -> Result<Option<SlotRow>, LedgerError> {
        slots::allocate(self, lease, (network, signer), floor_nonce, key).await
    }

    async fn record_attempt(
        &self,
        lease: &Lease,
        slot: &SlotRow,
        attempt: &Attempt,
    ) -> Result<bool, LedgerError> {
        slots::record_attempt(self, lease, slot, attempt).await
    }

    async fn make_no_op(&self, lease: &Lease, slot: &SlotRow) -> Result<bool, LedgerError> {
        slots::make_no_op(self, lease, slot).await
    }

    async fn close_slots(
        &self,
        lease: &Lease,
        network: &str,
        signer: &str,
        nonces: &[u64],
    ) -> Result<(), LedgerError> {
        slots::close(self, lease, (network, signer), nonces).await
    }

    async fn reopen_slots(
        &self,
        lease: &Lease,
        network: &str,
        signer: &str,
        from: u64,
        to: u64,
    ) -> Result<u64, LedgerError> {
        slots::reopen(self, lease, (network, signer), from..to).await
    }

    async fn move_settlement(
        &self,
        lease: &Lease,
        key: &PaymentKey,
        from: SettlementState,
        to: SettlementState,
        evidence: Value,
    ) -> Result<bool, LedgerError> {
        // Proof comes and goes by record_mined and undo_mined; signing by record_attempt.
        let special = matches!(to, SettlementState::Mined | SettlementState::Signed)
            || (from == SettlementState::Mined && to != SettlementState::Final);
        if !from.may_become(to) || special {
            return Err(LedgerError::IllegalMove { from: from.name(), to: to.name() });
        }
        let mut tx = leases::begin(self, lease).await?;
        if !step(&mut tx, key, from, to).await? {
            return Ok(false);
        }
        use SettlementState::{Dead, Quarantined, Reserved};
        if matches!(to, Reserved | Dead | Quarantined) {
            slots::leave(&mut tx, key).await?;
        }
        let actor = if to == SettlementState::Broadcast { "lane" } else { RECONCILER };
        journal(&mut tx, actor, SUBJECT, key, (from.name(), to.name()), &evidence).await?;
        tx.commit().await.map_err(unavailable)?;
        self.tell(*key);
        Ok(true)
    }

    async fn record_mined(
        &self,
        lease: &Lease,
        key: &PaymentKey,
        from: SettlementState,
        proof: &EvidenceRow,
    ) -> Result<bool, LedgerError> {
        let to = SettlementState::Mined;
        if !from.may_become(to) {
            return Err(LedgerError::IllegalMove { from: from.name(), to: to.name() });
        }
        let mut tx = leases::begin(self, lease).await?;
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
        journal(&mut tx, RECONCILER, SUBJECT, key, (from.name(), to.name()), &evidence).await?;
        tx.commit().await.map_err(unavailable)?;
        self.tell(*key);
        Ok(true)
    }

    async fn undo_mined(&self, lease: &Lease, key: &PaymentKey) -> Result<bool, LedgerError> {
        let from = SettlementState::Mined;
        let mut tx = leases::begin(self, lease).await?;
        let newest = slots::newest(&mut tx, key).await?;
        let to = match newest {
            Some(_) => SettlementState::Broadcast,
            None => SettlementState::Reserved,
        };
        if !step(&mut tx, key, from, to).await? {
            return Ok(false);
        }
        if let Some(slot) = newest {
            slots::come_back(&mut tx, key, &slot).await?;
        }
        for sql in ["delete from evidence where payment_key = ?", WANTED_TO_THE_END] {
            sqlx::query(sql).bind(key.0.as_slice()).execute(&mut *tx).await.map_err(unavailable)?;
        }
        let evidence = json!({ "reorganised": true });
        journal(&mut tx, RECONCILER, SUBJECT, key, (from.name(), to.name()), &evidence).await?;
        tx.commit().await.map_err(unavailable)?;
        self.tell(*key);
        Ok(true)
    }

    async fn count_try(&self, key: &PaymentKey) -> Result<i64, LedgerError> {
        let mut tx = self.begin().await?;
        let sql = "update settlements set tries = tries + 1 where payment_key = ? returning tries";
        let row = sqlx::query(sql)
            .bind(key.0.as_slice())
            .fetch_one(&mut *tx)
            .await
            .map_err(unavailable)?;
        let tries = column(&row, "tries")?;
        tx.commit().await.map_err(unavailable)?;
        Ok(tries)
    }

    async fn report_success(&self, key: &PaymentKey, caller: Uuid) -> Result<bool, LedgerError> {
        // With a commit of its own: a success that was told must be on disk.
        let mut tx = self.begin().await?;
        let row = sqlx::query(REPORT)
            .bind(caller.to_string())
            .bind(key.0.as_slice())
            .fetch_optional(&mut *tx)
            .await
            .map_err(unavailable)?;
        let Some(row) = row else { return Ok(false) };
        let theirs = uuid(&row, "success_reported_to")? == caller;
        tx.commit().await.map_err(unavailable)?;
        Ok(theirs)
    }

    fn moved(&self) -> broadcast::Receiver<PaymentKey> {
        self.moved.subscribe()
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

async fn list(
    ledger: &SqliteLedger,
    query: Query<'static, Sqlite, SqliteArguments>,
) -> Result<Vec<Settlement>, LedgerError> {
    let mut tx = ledger.reader.begin().await.map_err(unavailable)?;
    let rows = query.fetch_all(&mut *tx).await.map_err(unavailable)?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        match read(ledger, &mut tx, row).await {
            Ok(stored) => found.push(stored),
            // One row that cannot be read must not hide the others.
            Err(error @ (LedgerError::Unsealable | LedgerError::Corrupt { .. })) => {
                tracing::error!(%error, "a settlement is skipped");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn seal(ledger: &SqliteLedger, new: &NewSettlement) -> Result<Vec<u8>, LedgerError> {
    let request = serde_json::to_vec(&new.request)
        .map_err(|_| LedgerError::Corrupt { what: "settlements.request" })?;
    ledger.sealer.seal(Sealed::Request, &new.key.0, &request)
}

async fn insert(
    tx: &mut Transaction<'static, Sqlite>,
    new: &NewSettlement,
    request: Vec<u8>,
    wait_ms: u64,
) -> Result<bool, LedgerError> {
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
        .bind(signed(wait_ms))
        .execute(&mut **tx)
        .await
        .map_err(unavailable)?;
    Ok(done.rows_affected() == 1)
}

async fn read(
    ledger: &SqliteLedger,
    tx: &mut Transaction<'static, Sqlite>,
    row: &SqliteRow,
) -> Result<Settlement, LedgerError> {
    let key = PaymentKey(bytes32(row, "payment_key")?);
    let request: &[u8] = column(row, "request")?;
    let request = ledger.sealer.open(Sealed::Request, &key.0, request)?;
    let request: PaymentRequest =
        serde_json::from_slice(&request).map_err(|_| LedgerError::Corrupt { what: "request" })?;
    let state: i64 = column(row, "state")?;
    let truth = |name: &'static str| column::<'_, i64>(row, name).map(|number| number != 0);
    let reported: Option<String> = column(row, "success_reported_to")?;
    Ok(Settlement {
        new: NewSettlement {
            key,
            settle_id: uuid(row, "settle_id")?,
            caller_has_key: truth("caller_has_key")?,
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
        wanted: truth("wanted")?,
        looks: u32::try_from(unsigned(row, "looks")?).unwrap_or(u32::MAX),
        in_open_slot: truth("in_open_slot")?,
        transactions: transactions(tx, &key).await?,
        evidence: evidence(tx, &key).await?,
        reserved_unix_ms: column(row, "created_at_ms")?,
        updated_unix_ms: column(row, "updated_at_ms")?,
        read_unix_ms: column(row, "read_at_ms")?,
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
