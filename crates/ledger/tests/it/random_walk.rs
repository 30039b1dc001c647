//! The stores against each other: the same random calls in the same order, answer by answer.
//! Leases and waits last for ever or not at all, so that no answer depends on how fast a store is.

use faregate_ledger::{
    Attempt, BodyParts, Claim, ClaimMove, ClaimState, Claimed, EvidenceRow, Hold, Lease,
    LedgerError, NewClaim, NewSettlement, Reserved, Settlement, SettlementState, SlotRow,
    StoredAnswer, StoredBody,
};
use faregate_protocol::PaymentKey;
use serde_json::json;
use uuid::Uuid;

use crate::samples::{new_claim, new_settlement, request};
use crate::seed::Dice;
use crate::stores::{self, Store};

const STEPS: usize = 1_500;
const KEYS: u64 = 10;
const NETWORK: &str = "eip155:84532";
const SIGNERS: [&str; 2] = ["0xa", "0xb"];
const LEASES: [&str; 2] = ["x", "y"];
const FOR_EVER_MS: u64 = 1_000_000_000;

#[tokio::test]
async fn every_store_gives_the_same_answers() {
    let seed = Dice::seed();
    println!("FAREGATE_TEST_SEED={seed}");
    let sqlite = walk(stores::sqlite().await, seed).await;
    let memory = walk(stores::memory().await, seed).await;
    compare(&sqlite, &memory, "sqlite and memory");
    let postgres = walk(stores::postgres().await, seed).await;
    compare(&postgres, &memory, "postgres and memory");
}

fn compare(one: &[String], two: &[String], who: &str) {
    assert_eq!(one.len(), two.len());
    for (step, (one, two)) in one.iter().zip(two).enumerate() {
        assert_eq!(one, two, "{who} differ at step {step}");
    }
}

async fn walk(store: impl Store, seed: u64) -> Vec<String> {
    let mut walker = Walker {
        store,
        dice: Dice::new(seed),
        made: 0,
        holds: Vec::new(),
        leases: Vec::new(),
        slots: Vec::new(),
    };
    let mut answers = Vec::with_capacity(STEPS);
    for _ in 0..STEPS {
        answers.push(walker.step().await);
    }
    for n in 0..KEYS {
        let rows = walker.store.journal(&key(n)).await.unwrap();
        let moves = rows.into_iter().map(|e| {
            let what = format!("{} {} {}>{}", e.actor, e.subject, e.from_state, e.to_state);
            format!("{what} {}", e.evidence)
        });
        answers.push(moves.collect::<Vec<_>>().join("\n"));
    }
    answers
}

fn key(n: u64) -> PaymentKey {
    PaymentKey([u8::try_from(n).unwrap(); 32])
}

struct Walker<S> {
    store: S,
    dice: Dice,
    made: u64,
    holds: Vec<Hold>,
    leases: Vec<Lease>,
    slots: Vec<SlotRow>,
}

impl<S: Store> Walker<S> {
    async fn step(&mut self) -> String {
        match self.dice.below(31) {
            28.. => self.answer().await,
            0..4 => self.claim().await,
            4..8 => self.hold().await,
            8..10 => self.reads().await,
            10..13 => self.lease().await,
            13..16 => self.reserve().await,
            16..22 => self.slot().await,
            _ => self.settlement().await,
        }
    }

    fn id(&mut self) -> Uuid {
        self.made += 1;
        Uuid::from_u128(self.made.into())
    }

    fn key(&mut self) -> PaymentKey {
        key(self.dice.below(KEYS))
    }

    fn time(&mut self) -> u64 {
        if self.dice.below(3) == 0 { 0 } else { FOR_EVER_MS }
    }

    async fn claim(&mut self) -> String {
        let (n, time) = (u8::try_from(self.dice.below(KEYS)).unwrap(), self.time());
        if self.dice.below(4) == 0 {
            let state = *self.dice.one_of(ClaimState::ALL);
            let taken = self.store.take_over(&key(n.into()), state, time).await;
            self.holds.extend(taken.iter().flatten());
            return format!("take over {n} {state:?}: {}", said(taken));
        }
        // Ids are sometimes used twice.
        let settle_id = if self.dice.below(8) == 0 { Uuid::from_u128(1) } else { self.id() };
        let fp = u8::from(self.dice.below(6) == 0);
        let new = NewClaim { settle_id, request_fp: [fp; 32], ..new_claim(n) };
        let claimed = self.store.claim(&new, time).await;
        if let Ok(Claimed::Won(hold)) = &claimed {
            self.holds.push(*hold);
        }
        format!("claim {n}: {}", said(claimed))
    }

    async fn hold(&mut self) -> String {
        if self.holds.is_empty() {
            return String::new();
        }
        let recent = self.holds[self.holds.len().saturating_sub(6)..].to_vec();
        let hold = *self.dice.one_of(&recent);
        let (store, time) = (self.store.clone(), self.time());
        match self.dice.below(8) {
            0 => format!("renew: {}", said(store.renew(&hold, time).await)),
            1 => format!("let go: {}", said(store.let_go(&hold).await)),
            2 => {
                // Only won holds make their key unique; a grant id is used twice now and then.
                let id = if self.dice.below(4) == 0 { Uuid::from_u128(2) } else { self.id() };
                format!("grant: {}", said(store.grant(&hold, id).await))
            }
            _ => {
                let from = self.claim_state(&hold.key).await;
                let to = *self.dice.one_of(ClaimState::ALL);
                let transaction = (self.dice.below(2) == 0).then(|| format!("0x{}", self.made));
                let step = ClaimMove { from, to, transaction, evidence: json!({"n": self.made}) };
                format!("{from:?}>{to:?}: {}", said(store.move_claim(&hold, step).await))
            }
        }
    }

    /// Answers, in parts and whole.
    async fn answer(&mut self) -> String {
        if self.holds.is_empty() {
            return String::new();
        }
        let recent = self.holds[self.holds.len().saturating_sub(6)..].to_vec();
        let hold = *self.dice.one_of(&recent);
        let (store, number) = (self.store.clone(), u32::try_from(self.dice.below(4)).unwrap());
        let parts = BodyParts { epoch: hold.epoch, count: number, bytes: self.made };
        match self.dice.below(12) {
            0..5 => {
                let part = self.id().as_bytes().to_vec();
                format!("part {number}: {}", said(store.keep_part(&hold, number, part).await))
            }
            5..7 => {
                let body = match number {
                    0 => StoredBody::Whole(vec![7]),
                    _ => StoredBody::Parts(parts),
                };
                let answer = StoredAnswer { status: 200, headers: Vec::new(), body };
                format!("keep: {}", said(store.keep_answer(&hold, &answer, &request()).await))
            }
            7..9 => {
                let found = store.find_answer(&hold.key).await;
                let part = store.find_part(&hold.key, &parts, number).await;
                format!(
                    "{} {}",
                    said(found.map(|found| found.map(|found| found.body.size()))),
                    said(part)
                )
            }
            9 => format!("forget parts: {}", said(store.forget_parts(&hold.key).await)),
            10 => format!("forget old: {}", said(store.forget_answers(FOR_EVER_MS, 100).await)),
            _ => format!("forget: {}", said(store.forget_answers(0, 100).await)),
        }
    }

    /// The state it is in, mostly.
    async fn claim_state(&mut self, key: &PaymentKey) -> ClaimState {
        let any = *self.dice.one_of(ClaimState::ALL);
        let there = self.store.find_claim(key).await.unwrap();
        if self.dice.below(8) == 0 { any } else { there.map_or(any, |claim| claim.state) }
    }

    async fn settlement_state(&mut self, key: &PaymentKey) -> SettlementState {
        let any = *self.dice.one_of(SettlementState::ALL);
        let there = self.store.find_settlement(key).await.unwrap();
        if self.dice.below(8) == 0 { any } else { there.map_or(any, |row| row.state) }
    }

    async fn reads(&mut self) -> String {
        let (key, quiet) = (self.key(), self.time());
        let mut unheld = self.store.unheld_claims(ClaimState::ALL, 100).await.unwrap();
        unheld.sort_by_key(|claim| claim.new.key);
        let mut due = self.store.due(NETWORK, quiet, 100).await.unwrap();
        due.sort_by_key(|row| row.new.key);
        let due: Vec<_> = due.into_iter().map(timeless).collect();
        let mut wanted = self.store.wanted(NETWORK, 0, 100).await.unwrap();
        // Those that end together come in the order of times, which no two stores share.
        wanted.sort_by_key(|row| row.new.key);
        let wanted: Vec<_> = wanted.into_iter().map(timeless).collect();
        let claim: Option<Claim> = self.store.find_claim(&key).await.unwrap();
        let row = self.store.find_settlement(&key).await.unwrap().map(timeless);
        let open = self.store.unresolved(NETWORK).await.unwrap();
        format!("{unheld:?}\n{due:?}\n{wanted:?}\n{claim:?}\n{row:?}\n{open}")
    }

    async fn lease(&mut self) -> String {
        let (name, time) = (*self.dice.one_of(&LEASES), self.time());
        if self.dice.below(6) == 0 && !self.leases.is_empty() {
            let lease = self.some_lease();
            return format!("give up: {}", said(self.store.give_up(&lease).await));
        }
        let owner = Uuid::from_u128(u128::from(self.dice.below(2)));
        let lease = self.store.lease(name, owner, time).await;
        self.leases.extend(lease.iter().flatten().cloned());
        format!("lease: {}", said(lease))
    }

    /// A recent one; older ones are mostly lost.
    fn some_lease(&mut self) -> Lease {
        let recent = self.leases[self.leases.len().saturating_sub(3)..].to_vec();
        self.dice.one_of(&recent).clone()
    }

    async fn reserve(&mut self) -> String {
        let (n, time) = (u8::try_from(self.dice.below(KEYS)).unwrap(), self.time());
        if self.dice.below(3) == 0 {
            return format!("want: {}", said(self.store.want(&key(n.into()), time).await));
        }
        let settle_id = if self.dice.below(8) == 0 { Uuid::from_u128(1) } else { self.id() };
        let new = NewSettlement { settle_id, ..new_settlement(n) };
        let reserved = self.store.reserve(&new, time).await.map(|reserved| match reserved {
            Reserved::New(row) => Reserved::New(Box::new(timeless(*row))),
            Reserved::Exists(row) => Reserved::Exists(Box::new(timeless(*row))),
        });
        format!("reserve {n}: {}", said(reserved))
    }

    async fn slot(&mut self) -> String {
        if self.leases.is_empty() {
            return String::new();
        }
        let lease = self.some_lease();
        let signer = *self.dice.one_of(&SIGNERS);
        let store = self.store.clone();
        let mut lane = store.lane(NETWORK, signer).await.unwrap();
        // Each store has a clock of its own.
        lane.open.iter_mut().for_each(|slot| slot.age_ms = 0);
        self.slots.clone_from(&lane.open);
        let floor = self.dice.below(4);
        let done = match self.dice.below(9) {
            0..3 => {
                let count = self.dice.below(4);
                let keys: Vec<_> = (0..count).map(|_| self.key()).collect();
                said(store.allocate_slot(&lease, NETWORK, signer, floor, &keys).await)
            }
            3..6 if !self.slots.is_empty() => {
                let slot = self.dice.one_of(&self.slots.clone()).clone();
                let attempt = self.attempt();
                said(store.record_attempt(&lease, &slot, &attempt).await)
            }
            6 if !self.slots.is_empty() => {
                let slot = self.dice.one_of(&self.slots.clone()).clone();
                let members = slot.members.iter().map(|member| member.key);
                let keep: Vec<_> = members.filter(|_| self.dice.below(2) == 0).collect();
                said(store.keep_members(&lease, &slot, &keep).await)
            }
            8 if !self.slots.is_empty() => {
                let slot = self.dice.one_of(&self.slots.clone()).clone();
                said(store.acknowledge(&lease, &slot).await)
            }
            7 => said(store.reopen_slots(&lease, NETWORK, signer, floor, floor + 3).await),
            _ => said(store.close_slots(&lease, NETWORK, signer, &[floor, floor + 1]).await),
        };
        let raw: Vec<_> =
            lane.open.iter().flat_map(|s| s.attempts.iter().map(|a| &a.raw)).collect();
        format!("{lane:?} {raw:?}\n{done}")
    }

    fn attempt(&mut self) -> Attempt {
        let n = if self.dice.below(10) == 0 { 1 } else { self.id().as_u128() };
        let raw = n.to_be_bytes().to_vec();
        Attempt { transaction: format!("0x{n:x}"), raw, max_fee_wei: u128::MAX - n, tip_wei: n }
    }

    async fn settlement(&mut self) -> String {
        if self.leases.is_empty() {
            return String::new();
        }
        let (lease, key) = (self.some_lease(), self.key());
        let from = self.settlement_state(&key).await;
        let store = self.store.clone();
        match self.dice.below(10) {
            0..4 => {
                let to = *self.dice.one_of(SettlementState::ALL);
                let done = store.move_settlement(&lease, &key, from, to, json!({"x": 1})).await;
                format!("{from:?}>{to:?}: {}", said(done))
            }
            4..6 => {
                let proof = self.proof();
                format!("mined: {}", said(store.record_mined(&lease, &key, from, &proof).await))
            }
            6 => format!("undo: {}", said(store.undo_mined(&lease, &key).await)),
            7 => format!("try: {}", said(store.count_try(&key).await)),
            8 => {
                let caller = Uuid::from_u128(u128::from(self.dice.below(2)));
                format!("report: {}", said(store.report_success(&key, caller).await))
            }
            9 if self.dice.below(2) == 0 => {
                let others = [key, self.key(), key];
                let done = store.record_all_final(&lease, &others, 7).await;
                format!("final: {}", said(done.map(|moved| moved.len())))
            }
            _ => {
                let time = self.time();
                format!("looked: {}", said(store.looked(&lease, &[key], time).await))
            }
        }
    }

    fn proof(&mut self) -> EvidenceRow {
        EvidenceRow {
            transaction: format!("0x{}", self.dice.below(3)),
            log_index: self.dice.below(2),
            block_number: self.made,
            block_hash: "0xb".into(),
            gas_used: 7,
        }
    }
}

fn timeless(mut row: Settlement) -> Settlement {
    row.reserved_unix_ms = 0;
    row.updated_unix_ms = 0;
    row.read_unix_ms = 0;
    row
}

/// An answer without the words of one database.
fn said<T: std::fmt::Debug>(answer: Result<T, LedgerError>) -> String {
    match answer {
        Err(LedgerError::Unavailable { .. }) => "Err(Unavailable)".to_owned(),
        other => format!("{other:?}"),
    }
}
