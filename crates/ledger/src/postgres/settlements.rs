//! The engine's side of the ledger on PostgreSQL: reads and small writes. Reservations and moves
//! stand in `moves.rs`, nonce slots in `slots.rs`, leases in `leases.rs`, what a row looks like in
//! `settlement_rows.rs`.

use async_trait::async_trait;
use faregate_protocol::PaymentKey;
use serde_json::Value;
use tokio::sync::broadcast;
use uuid::Uuid;

use super::rows::{column, signed, unsigned, uuid};
use super::settlement_rows::{read, read_all, select};
use super::{PostgresLedger, leases, moves, one_now_ms, proofs, slots};
use crate::{
    Attempt, Change, EvidenceRow, Hint, LaneRows, Lease, LedgerError, NewSettlement, Proven,
    Reserved, Settlement, SettlementState, SettlementStore, SlotRow,
};

pub(super) const SELECT: &str = select!("where s.payment_key = $1");

const WANTED: &str = concat!(
    select!(
        "where s.payment_key in (select w.payment_key from settlements w where w.network = $1 and w.state = 0 "
    ),
    "and w.valid_before > $2 and w.wanted_until_ms > ",
    one_now_ms!(),
    " and not exists (select 1 from slot_items i where i.payment_key = w.payment_key ",
    "and i.live) order by w.valid_before, w.created_at_ms, w.payment_key limit $3) ",
    "order by s.valid_before, s.created_at_ms, s.payment_key"
);

const DUE: &str = concat!(
    select!("where s.network = $1 and s.state not in (4, 6) and s.next_look_ms <= "),
    one_now_ms!(),
    " and (s.next_look_ms = 0 or s.updated_at_ms <= ",
    one_now_ms!(),
    " - $3) order by s.state = 3, s.next_look_ms, s.payment_key limit $2"
);

const CARRIED: &str = select!(
    "where s.network = $1 and s.state in (1, 2) and s.payment_key in \
     (select i.payment_key from attempts a join slot_items i using (network, signer, nonce) \
     where a.network = $1 and a.transaction_hash = any($3)) order by \
     (select i.nonce from slot_items i where i.payment_key = s.payment_key and i.live), \
     s.payment_key limit $2"
);

/// Repeats the condition of its index.
const IN_FLIGHT: &str = "select count(*) as open from settlements where network = $1 \
     and state not in (3, 4, 6) and state in (1, 2)";

const UNRESOLVED: &str =
    "select count(*) as open from settlements where network = $1 and state not in (3, 4, 6)";

const COUNT_TRY: &str =
    "update settlements set tries = tries + 1 where payment_key = $1 returning tries";

const REPORT: &str = concat!(
    "update settlements set success_reported_to = coalesce(success_reported_to, $1) ",
    "where payment_key = $2 and state in (3, 4) returning success_reported_to"
);

#[async_trait]
impl SettlementStore for PostgresLedger {
    async fn lease(
        &self,
        name: &str,
        owner: Uuid,
        ttl_ms: u64,
    ) -> Result<Option<Lease>, LedgerError> {
        self.retried(|| leases::take(self, name, owner, ttl_ms)).await
    }

    async fn give_up(&self, lease: &Lease) -> Result<(), LedgerError> {
        self.retried(|| leases::give_up(self, lease)).await
    }

    async fn reserve(&self, new: &NewSettlement, wait_ms: u64) -> Result<Reserved, LedgerError> {
        let reserved = self.retried(|| moves::reserve(self, new, wait_ms)).await?;
        if matches!(reserved, Reserved::New(_)) {
            self.tell(new.key, Change::Wanted);
        }
        Ok(reserved)
    }

    async fn want(&self, key: &PaymentKey, wait_ms: u64) -> Result<(), LedgerError> {
        self.retried(|| moves::want(self, key, wait_ms)).await?;
        self.tell(*key, Change::Wanted);
        Ok(())
    }

    async fn find_settlement(&self, key: &PaymentKey) -> Result<Option<Settlement>, LedgerError> {
        let find = || async {
            let query = sqlx::query(SELECT).bind(key.0.as_slice());
            let row = query.fetch_optional(&self.pool).await?;
            Ok(row.map(|row| read(self, &row)).transpose()?)
        };
        self.retried(find).await
    }

    async fn wanted(
        &self,
        network: &str,
        ends_after: u64,
        limit: u32,
    ) -> Result<Vec<Settlement>, LedgerError> {
        let find = || async {
            let query =
                sqlx::query(WANTED).bind(network).bind(signed(ends_after)).bind(i64::from(limit));
            Ok(read_all(self, &query.fetch_all(&self.pool).await?))
        };
        self.retried(find).await
    }

    async fn due(
        &self,
        network: &str,
        quiet_ms: u64,
        limit: u32,
    ) -> Result<Vec<Settlement>, LedgerError> {
        let find = || async {
            let query = sqlx::query(DUE).bind(network).bind(i64::from(limit));
            let rows = query.bind(signed(quiet_ms)).fetch_all(&self.pool).await?;
            Ok(read_all(self, &rows))
        };
        self.retried(find).await
    }

    async fn carried_by(
        &self,
        network: &str,
        transactions: &[String],
        limit: u32,
    ) -> Result<Vec<Settlement>, LedgerError> {
        let find = || async {
            let query = sqlx::query(CARRIED).bind(network).bind(i64::from(limit));
            let rows = query.bind(transactions).fetch_all(&self.pool).await?;
            Ok(read_all(self, &rows))
        };
        self.retried(find).await
    }

    async fn in_flight(&self, network: &str) -> Result<u64, LedgerError> {
        let count = || async {
            let row = sqlx::query(IN_FLIGHT).bind(network).fetch_one(&self.pool).await?;
            Ok(unsigned(&row, "open")?)
        };
        self.retried(count).await
    }

    async fn looked(
        &self,
        lease: &Lease,
        keys: &[PaymentKey],
        next_in_ms: u64,
    ) -> Result<(), LedgerError> {
        self.retried(|| proofs::looked(self, lease, keys, next_in_ms)).await
    }

    async fn unresolved(&self, network: &str) -> Result<u64, LedgerError> {
        let count = || async {
            let row = sqlx::query(UNRESOLVED).bind(network).fetch_one(&self.pool).await?;
            Ok(unsigned(&row, "open")?)
        };
        self.retried(count).await
    }

    async fn lane(&self, network: &str, signer: &str) -> Result<LaneRows, LedgerError> {
        self.retried(|| slots::lane(self, network, signer)).await
    }

    async fn allocate_slot(
        &self,
        lease: &Lease,
        network: &str,
        signer: &str,
        floor_nonce: u64,
        keys: &[PaymentKey],
    ) -> Result<Option<SlotRow>, LedgerError> {
        self.retried(|| slots::allocate(self, lease, (network, signer), floor_nonce, keys)).await
    }

    async fn record_attempt(
        &self,
        lease: &Lease,
        slot: &SlotRow,
        attempt: &Attempt,
    ) -> Result<bool, LedgerError> {
        self.retried(|| slots::record_attempt(self, lease, slot, attempt)).await
    }

    async fn keep_members(
        &self,
        lease: &Lease,
        slot: &SlotRow,
        keep: &[PaymentKey],
    ) -> Result<bool, LedgerError> {
        self.retried(|| slots::keep_members(self, lease, slot, keep)).await
    }

    async fn acknowledge(&self, lease: &Lease, slot: &SlotRow) -> Result<(), LedgerError> {
        let moved = self.retried(|| slots::acknowledge(self, lease, slot)).await?;
        if let Some(first) = moved.first() {
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
        let due = self.retried(|| slots::close(self, lease, (network, signer), nonces)).await?;
        if let Some(first) = due.first() {
            self.tell(*first, Change::Due);
        }
        Ok(())
    }

    async fn reopen_slots(
        &self,
        lease: &Lease,
        network: &str,
        signer: &str,
        from: u64,
        to: u64,
    ) -> Result<u64, LedgerError> {
        self.retried(|| slots::reopen(self, lease, (network, signer), from..to)).await
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
        let moved = self.retried(|| moves::go(self, lease, key, (from, to), &evidence)).await?;
        if moved {
            self.tell(*key, Change::of_move(to));
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
        let moved = self.retried(|| proofs::record(self, lease, all)).await?;
        for key in &moved {
            self.tell(*key, Change::Outcome);
        }
        Ok(moved)
    }

    async fn record_all_final(
        &self,
        lease: &Lease,
        keys: &[PaymentKey],
        finalized: u64,
    ) -> Result<Vec<PaymentKey>, LedgerError> {
        let moved = self.retried(|| proofs::finalise(self, lease, keys, finalized)).await?;
        for key in &moved {
            self.tell(*key, Change::Outcome);
        }
        Ok(moved)
    }

    async fn undo_mined(&self, lease: &Lease, key: &PaymentKey) -> Result<bool, LedgerError> {
        let moved = self.retried(|| moves::undo(self, lease, key)).await?;
        if moved {
            self.tell(*key, Change::Wanted);
        }
        Ok(moved)
    }

    async fn retry_quarantined(&self, key: &PaymentKey) -> Result<bool, LedgerError> {
        let moved = self.retried(|| moves::retry(self, key)).await?;
        if moved {
            self.tell(*key, Change::Wanted);
        }
        Ok(moved)
    }

    async fn count_try(&self, key: &PaymentKey) -> Result<i64, LedgerError> {
        let count = || async {
            let mut tx = self.begin().await?;
            let query = sqlx::query(COUNT_TRY).bind(key.0.as_slice());
            let tries = column(&query.fetch_one(&mut *tx).await?, "tries")?;
            tx.commit().await?;
            Ok(tries)
        };
        self.retried(count).await
    }

    async fn report_success(&self, key: &PaymentKey, caller: Uuid) -> Result<bool, LedgerError> {
        // With a commit of its own: a success that was told must be on disk.
        let report = || async {
            let mut tx = self.begin().await?;
            let query = sqlx::query(REPORT).bind(caller.to_string()).bind(key.0.as_slice());
            let Some(row) = query.fetch_optional(&mut *tx).await? else { return Ok(false) };
            let theirs = uuid(&row, "success_reported_to")? == caller;
            tx.commit().await?;
            Ok(theirs)
        };
        self.retried(report).await
    }

    fn hints(&self) -> broadcast::Receiver<Hint> {
        self.listen()
    }
}
