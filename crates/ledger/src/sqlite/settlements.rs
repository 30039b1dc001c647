//! The engine's side of the ledger on SQLite: reservations, moves, lists. Nonce slots stand in
//! `slots.rs`, leases in `leases.rs`, what a row looks like in `settlement_rows.rs`.

use async_trait::async_trait;
use faregate_protocol::PaymentKey;
use serde_json::{Value, json};
use sqlx::Sqlite;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use tokio::sync::broadcast;
use uuid::Uuid;

use super::reservations::{WANTED_TO_THE_END, insert, retry, seal, step};
use super::settlement_rows::read;
use super::{
    SqliteLedger, column, homes, journal, leases, now_ms, proofs, signed, slots, unavailable,
    unsigned, uuid,
};
use crate::{
    Attempt, EvidenceRow, LaneRows, Lease, LedgerError, NewSettlement, Proven, Reserved,
    Settlement, SettlementState, SettlementStore, SlotRow,
};

pub(super) const SUBJECT: &str = "settlement";
pub(super) const RECONCILER: &str = "reconciler";
const API: &str = "api";

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

const WANT: &str = concat!(
    "update settlements set wanted_until_ms = max(wanted_until_ms, ",
    now_ms!(),
    " + ?) where payment_key = ?"
);

const REPORT: &str = concat!(
    "update settlements set success_reported_to = coalesce(success_reported_to, ?) ",
    "where payment_key = ? and state in (3, 4) returning success_reported_to"
);

const CARRIED: &str = concat!(
    select!("where s.network = ?1 and s.state in (1, 2) and s.payment_key in "),
    "(select i.payment_key from attempts a join slot_items i using (network, signer, nonce) ",
    "where a.network = ?1 and a.transaction_hash in (select value from json_each(?2))) ",
    "order by s.payment_key limit ?3"
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

    async fn carried_by(
        &self,
        network: &str,
        transactions: &[String],
        limit: u32,
    ) -> Result<Vec<Settlement>, LedgerError> {
        let hashes: Value = transactions.iter().map(String::as_str).collect();
        let query = sqlx::query(CARRIED).bind(network.to_owned()).bind(hashes.to_string());
        list(self, query.bind(limit)).await
    }

    async fn in_flight(&self, network: &str) -> Result<u64, LedgerError> {
        proofs::in_flight(self, network).await
    }

    async fn looked(
        &self,
        lease: &Lease,
        keys: &[PaymentKey],
        next_in_ms: u64,
    ) -> Result<(), LedgerError> {
        proofs::looked(self, lease, keys, next_in_ms).await
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
        keys: &[PaymentKey],
    ) -> Result<Option<SlotRow>, LedgerError> {
        slots::allocate(self, lease, (network, signer), floor_nonce, keys).await
    }

    async fn record_attempt(
        &self,
        lease: &Lease,
        slot: &SlotRow,
        attempt: &Attempt,
    ) -> Result<bool, LedgerError> {
        slots::record_attempt(self, lease, slot, attempt).await
    }

    async fn keep_members(
        &self,
        lease: &Lease,
        slot: &SlotRow,
        keep: &[PaymentKey],
    ) -> Result<bool, LedgerError> {
        slots::keep_members(self, lease, slot, keep).await
    }

    async fn acknowledge(&self, lease: &Lease, slot: &SlotRow) -> Result<(), LedgerError> {
        for key in slots::acknowledge(self, lease, slot).await? {
            self.tell(key);
        }
        Ok(())
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
        if !from.may_become_bare(to) {
            return Err(LedgerError::IllegalMove { from: from.name(), to: to.name() });
        }
        let mut tx = leases::begin(self, lease).await?;
        if !step(&mut tx, key, from, to).await? {
            return Ok(false);
        }
        use SettlementState::{Dead, Quarantined, Reserved};
        if matches!(to, Reserved | Dead | Quarantined) {
            homes::leave(&mut tx, key).await?;
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
        let one = Proven { key: *key, from, evidence: proof.clone() };
        Ok(!self.record_all_mined(lease, &[one]).await?.is_empty())
    }

    async fn record_all_mined(
        &self,
        lease: &Lease,
        all: &[Proven],
    ) -> Result<Vec<PaymentKey>, LedgerError> {
        proofs::record(self, lease, all).await
    }

    async fn record_all_final(
        &self,
        lease: &Lease,
        keys: &[PaymentKey],
        finalized: u64,
    ) -> Result<Vec<PaymentKey>, LedgerError> {
        proofs::finalise(self, lease, keys, finalized).await
    }

    async fn undo_mined(&self, lease: &Lease, key: &PaymentKey) -> Result<bool, LedgerError> {
        let from = SettlementState::Mined;
        let mut tx = leases::begin(self, lease).await?;
        let newest = homes::newest(&mut tx, key).await?;
        let to = match newest {
            Some(_) => SettlementState::Broadcast,
            None => SettlementState::Reserved,
        };
        if !step(&mut tx, key, from, to).await? {
            return Ok(false);
        }
        if let Some(slot) = newest {
            homes::come_back(&mut tx, key, &slot).await?;
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

    async fn retry_quarantined(&self, key: &PaymentKey) -> Result<bool, LedgerError> {
        let moved = retry(self, key).await?;
        if moved {
            self.tell(*key);
        }
        Ok(moved)
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
