//! The engine's side of the ledger on SQLite: reservations, moves, lists. Nonce slots stand in
//! `slots.rs`, leases in `leases.rs`, what a row looks like in `settlement_rows.rs`.

use std::sync::Arc;

use async_trait::async_trait;
use faregate_protocol::PaymentKey;
use rusqlite::{Connection, Params, params};
use serde_json::{Value, json};
use tokio::sync::broadcast;
use uuid::Uuid;

use super::asking::Turn;
use super::reservations::{WANTED_TO_THE_END, insert, retry, seal, step};
use super::settlement_rows::read;
use super::statements::{
    column, exactly_one, journal, now_ms, one, run, signed, unavailable, unsigned, uuid,
};
use super::{SqliteLedger, homes, leases, proofs, slots};
use crate::{
    Attempt, Change, EvidenceRow, Hint, LaneRows, Lease, LedgerError, NewSettlement, Proven,
    Reserved, Sealer, Settlement, SettlementState, SettlementStore, SlotRow,
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
    select!(
        "where s.payment_key in (select w.payment_key from settlements w where w.network = ? and w.state = 0 "
    ),
    "and w.valid_before > ? and w.wanted_until_ms > ",
    now_ms!(),
    " and not exists (select 1 from slot_items i where i.payment_key = w.payment_key ",
    "and i.live = 1) order by w.valid_before, w.created_at_ms, w.payment_key limit ?) ",
    "order by s.valid_before, s.created_at_ms, s.payment_key"
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
    "order by (select i.nonce from slot_items i where i.payment_key = s.payment_key and i.live = 1), ",
    "s.payment_key limit ?3"
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
        let sealed = seal(self, new)?;
        let (key, new, sealer) = (new.key, new.clone(), Arc::clone(&self.sealer));
        let reserve = move |tx: &Connection| {
            if let Some(stored) = insert(tx, &new, &sealed, wait_ms)? {
                let states = ("", SettlementState::Reserved.name());
                let evidence = json!({ "settle_id": new.settle_id, "head": new.head_at_claim });
                journal(tx, API, SUBJECT, &new.key, states, &evidence)?;
                return Ok(Turn::Kept(Reserved::New(Box::new(stored))));
            }
            let of_one = params![new.key.0.as_slice()];
            let stored = exactly_one(tx, SELECT, of_one, |row| read(&sealer, tx, row))?;
            Ok(Turn::TakenBack(Reserved::Exists(Box::new(stored))))
        };
        let reserved = self.write(reserve).await?;
        if matches!(reserved, Reserved::New(_)) {
            self.tell(key, Change::Wanted);
        }
        Ok(reserved)
    }

    async fn want(&self, key: &PaymentKey, wait_ms: u64) -> Result<(), LedgerError> {
        let key = *key;
        self.write(move |tx| {
            run(tx, WANT, params![signed(wait_ms), key.0.as_slice()])?;
            let (from, to) = (SettlementState::Dormant, SettlementState::Reserved);
            if step(tx, &key, from, to)? {
                let evidence = json!({ "asked_again": true });
                journal(tx, API, SUBJECT, &key, (from.name(), to.name()), &evidence)?;
            }
            Ok(Turn::Kept(()))
        })
        .await?;
        self.tell(key, Change::Wanted);
        Ok(())
    }

    async fn find_settlement(&self, key: &PaymentKey) -> Result<Option<Settlement>, LedgerError> {
        let (key, sealer) = (*key, Arc::clone(&self.sealer));
        self.read(move |on| {
            one(on, SELECT, params![key.0.as_slice()], |row| read(&sealer, on, row))
        })
        .await
    }

    async fn wanted(
        &self,
        network: &str,
        ends_after: u64,
        limit: u32,
    ) -> Result<Vec<Settlement>, LedgerError> {
        let (network, sealer) = (network.to_owned(), Arc::clone(&self.sealer));
        self.read(move |on| list(&sealer, on, WANTED, params![network, signed(ends_after), limit]))
            .await
    }

    async fn due(
        &self,
        network: &str,
        quiet_ms: u64,
        limit: u32,
    ) -> Result<Vec<Settlement>, LedgerError> {
        let (network, sealer) = (network.to_owned(), Arc::clone(&self.sealer));
        self.read(move |on| list(&sealer, on, DUE, params![network, limit, signed(quiet_ms)])).await
    }

    async fn carried_by(
        &self,
        network: &str,
        transactions: &[String],
        limit: u32,
    ) -> Result<Vec<Settlement>, LedgerError> {
        let hashes: Value = transactions.iter().map(String::as_str).collect();
        let (network, sealer) = (network.to_owned(), Arc::clone(&self.sealer));
        self.read(move |on| list(&sealer, on, CARRIED, params![network, hashes.to_string(), limit]))
            .await
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
        const OPEN: &str = "select count(*) as open from settlements where network = ? \
             and state not in (3, 4, 6)";
        let network = network.to_owned();
        self.read(move |on| exactly_one(on, OPEN, params![network], |row| unsigned(row, "open")))
            .await
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
        if let Some(first) = slots::acknowledge(self, lease, slot).await?.first() {
            self.tell(*first, Change::Sent);
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
        use SettlementState::{Dead, Quarantined, Reserved};
        let key = *key;
        let moving = move |tx: &Connection| {
            if !step(tx, &key, from, to)? {
                return Ok(Turn::TakenBack(false));
            }
            if matches!(to, Reserved | Dead | Quarantined) {
                homes::leave(tx, &key)?;
            }
            let actor = if to == SettlementState::Broadcast { "lane" } else { RECONCILER };
            journal(tx, actor, SUBJECT, &key, (from.name(), to.name()), &evidence)?;
            Ok(Turn::Kept(true))
        };
        let moved = leases::write(self, lease, moving).await?;
        if moved {
            self.tell(key, Change::of_move(to));
        }
        Ok(moved)
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
        const FORGET: &str = "delete from evidence where payment_key = ?";
        let (key, from) = (*key, SettlementState::Mined);
        let undo = move |tx: &Connection| {
            let newest = homes::newest(tx, &key)?;
            let to = match newest {
                Some(_) => SettlementState::Broadcast,
                None => SettlementState::Reserved,
            };
            if !step(tx, &key, from, to)? {
                return Ok(Turn::TakenBack(false));
            }
            if let Some(slot) = newest {
                homes::come_back(tx, &key, &slot)?;
            }
            for sql in [FORGET, WANTED_TO_THE_END] {
                run(tx, sql, params![key.0.as_slice()])?;
            }
            let evidence = json!({ "reorganised": true });
            journal(tx, RECONCILER, SUBJECT, &key, (from.name(), to.name()), &evidence)?;
            Ok(Turn::Kept(true))
        };
        let undone = leases::write(self, lease, undo).await?;
        if undone {
            self.tell(key, Change::Wanted);
        }
        Ok(undone)
    }

    async fn retry_quarantined(&self, key: &PaymentKey) -> Result<bool, LedgerError> {
        let moved = retry(self, key).await?;
        if moved {
            self.tell(*key, Change::Wanted);
        }
        Ok(moved)
    }

    async fn count_try(&self, key: &PaymentKey) -> Result<i64, LedgerError> {
        const COUNT: &str =
            "update settlements set tries = tries + 1 where payment_key = ? returning tries";
        let key = *key;
        self.write(move |tx| {
            let tries = |row: &rusqlite::Row<'_>| column(row, "tries");
            exactly_one(tx, COUNT, params![key.0.as_slice()], tries).map(Turn::Kept)
        })
        .await
    }

    async fn report_success(&self, key: &PaymentKey, caller: Uuid) -> Result<bool, LedgerError> {
        // A success that was told must be on disk.
        let key = *key;
        self.write(move |tx| {
            let values = params![caller.to_string(), key.0.as_slice()];
            let told = one(tx, REPORT, values, |row| uuid(row, "success_reported_to"))?;
            Ok(match told {
                Some(told) => Turn::Kept(told == caller),
                None => Turn::TakenBack(false),
            })
        })
        .await
    }

    fn hints(&self) -> broadcast::Receiver<Hint> {
        self.hints.subscribe()
    }
}

fn list(
    sealer: &Sealer,
    on: &Connection,
    sql: &'static str,
    values: impl Params,
) -> Result<Vec<Settlement>, LedgerError> {
    let mut query = on.prepare_cached(sql).map_err(unavailable)?;
    let mut rows = query.query(values).map_err(unavailable)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(unavailable)? {
        match read(sealer, on, row) {
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
