//! A payment from claim to grant while the k-th call fails, before or after it took effect, for
//! every k. Whoever got no answer forgets what it held, reads again and goes on, as a process
//! does that was killed there.

use std::sync::atomic::{AtomicU64, Ordering};

use faregate_ledger::{
    BodyParts, ClaimMove, ClaimState, Claimed, Hold, LedgerError, Settlement, SettlementState,
    StoredAnswer, StoredBody,
};
use faregate_protocol::PaymentKey;
use serde_json::json;
use uuid::Uuid;

use crate::bench::{NETWORK, SIGNER, WAIT_MS, attempt, proof};
use crate::samples::{new_claim, new_settlement, request};
use crate::stores::{Store, on_every_store};

/// More than any payment takes, with one failure.
const STEPS: usize = 60;

on_every_store! {
    whatever_call_fails_before_it_took_effect_one_payment_is_made_and_granted,
    whatever_answer_is_lost_one_payment_is_made_and_granted,
}

async fn whatever_call_fails_before_it_took_effect_one_payment_is_made_and_granted(
    ledger: impl Store,
) {
    every_call(ledger, false).await;
}

async fn whatever_answer_is_lost_one_payment_is_made_and_granted(ledger: impl Store) {
    every_call(ledger, true).await;
}

async fn every_call(ledger: impl Store, after: bool) {
    for k in 1..u8::MAX {
        let calls = AtomicU64::new(0);
        let mut payment = Payment {
            ledger: ledger.clone(),
            n: k,
            fail_at: k.into(),
            after,
            calls: &calls,
            hold: None,
            sent: 0,
        };
        payment.run().await;
        payment.check().await;
        if calls.load(Ordering::SeqCst) < k.into() {
            assert!(k > 15, "the path became shorter than it can be");
            return;
        }
    }
    panic!("the path does not end");
}

/// The body of the answer.
const PARTS: [&[u8]; 2] = [b"sun", b"ny"];

fn answer(epoch: i64) -> StoredAnswer {
    let body = StoredBody::Parts(BodyParts { epoch, count: 2, bytes: 5 });
    StoredAnswer { status: 200, headers: Vec::new(), body }
}

struct Payment<'a, S> {
    ledger: S,
    n: u8,
    fail_at: u64,
    after: bool,
    calls: &'a AtomicU64,
    hold: Option<Hold>,
    /// Answers that left.
    sent: u32,
}

impl<S: Store> Payment<'_, S> {
    fn key(&self) -> PaymentKey {
        PaymentKey([self.n; 32])
    }

    async fn call<T>(
        &self,
        work: impl Future<Output = Result<T, LedgerError>>,
    ) -> Result<T, LedgerError> {
        let fails = self.calls.fetch_add(1, Ordering::SeqCst) + 1 == self.fail_at;
        let lost = || Err(LedgerError::Unavailable { detail: "injected".into() });
        if fails && !self.after {
            return lost();
        }
        let done = work.await;
        if fails { lost() } else { done }
    }

    async fn run(&mut self) {
        for _ in 0..STEPS {
            match self.gate().await {
                Ok(true) => return,
                Ok(false) => {}
                Err(LedgerError::Unavailable { .. }) => self.hold = None,
                Err(error) => panic!("call {}: {error}", self.fail_at),
            }
        }
        panic!("payment {} does not come to an end", self.n);
    }

    /// One step of the gate. `true`: nothing is left to do.
    async fn gate(&mut self) -> Result<bool, LedgerError> {
        use ClaimState as S;
        let Some(claim) = self.call(self.ledger.find_claim(&self.key())).await? else {
            let claimed = self.call(self.ledger.claim(&new_claim(self.n), 0)).await?;
            if let Claimed::Won(hold) = claimed {
                self.hold = Some(hold);
            }
            return Ok(false);
        };
        if claim.state == S::Granted {
            return Ok(true);
        }
        let Some(hold) = self.hold else {
            let taken = self.ledger.take_over(&claim.new.key, claim.state, 0);
            self.hold = self.call(taken).await?;
            return Ok(false);
        };
        match claim.state {
            S::Verified => self.keep(&hold).await?,
            S::Executed => self.step(&hold, S::Executed, S::Settling).await?,
            S::Settling if self.engine().await? => {
                self.step(&hold, S::Settling, S::Settled).await?;
            }
            S::Settling => {}
            S::Settled if self.call(self.ledger.grant(&hold, Uuid::new_v4())).await? => {
                self.sent += 1;
            }
            other => panic!("unexpected {other:?}"),
        }
        Ok(false)
    }

    /// VERIFIED to EXECUTED, with an answer in parts.
    async fn keep(&self, hold: &Hold) -> Result<(), LedgerError> {
        for (number, part) in (0..).zip(PARTS) {
            let kept = self.ledger.keep_part(hold, number, part.to_vec());
            assert!(self.call(kept).await?, "nobody else holds it");
        }
        let (answer, request) = (answer(hold.epoch), request());
        let kept = self.ledger.keep_answer(hold, &answer, &request);
        assert!(self.call(kept).await?, "nobody else moves it");
        Ok(())
    }

    async fn step(&self, hold: &Hold, from: ClaimState, to: ClaimState) -> Result<(), LedgerError> {
        let step = ClaimMove { from, to, transaction: None, evidence: json!({}) };
        assert!(self.call(self.ledger.move_claim(hold, step)).await?, "nobody else moves it");
        Ok(())
    }

    /// One step of the engine. `true`: the success was told.
    async fn engine(&self) -> Result<bool, LedgerError> {
        use SettlementState as S;
        let (key, caller) = (self.key(), Uuid::from_u128(self.n.into()));
        let Some(row) = self.call(self.ledger.find_settlement(&key)).await? else {
            self.call(self.ledger.reserve(&new_settlement(self.n), WAIT_MS)).await?;
            return Ok(false);
        };
        if row.state == S::Final {
            return self.call(self.ledger.report_success(&key, caller)).await;
        }
        let lease = self.call(self.ledger.lease("lane", Uuid::nil(), WAIT_MS)).await?.unwrap();
        let lane = self.call(self.ledger.lane(NETWORK, SIGNER)).await?;
        let slot =
            lane.open.into_iter().find(|slot| slot.members.iter().any(|member| member.key == key));
        match (row.state, slot) {
            (S::Reserved, None) => {
                let keys = [key];
                let slot = self.ledger.allocate_slot(&lease, NETWORK, SIGNER, 0, &keys);
                assert!(self.call(slot).await?.is_some());
            }
            (S::Reserved, Some(slot)) => {
                let attempt = attempt(self.n);
                let signed = self.ledger.record_attempt(&lease, &slot, &attempt);
                assert!(self.call(signed).await?);
            }
            (S::Signed, _) => {
                let (from, to) = (S::Signed, S::Broadcast);
                let moved = self.ledger.move_settlement(&lease, &key, from, to, json!({}));
                assert!(self.call(moved).await?);
            }
            (S::Broadcast, _) => {
                let mined = proof(self.n, 0);
                let moved = self.ledger.record_mined(&lease, &key, S::Broadcast, &mined);
                assert!(self.call(moved).await?);
            }
            (S::Mined, Some(slot)) => {
                let nonces = [slot.nonce];
                let closed = self.ledger.close_slots(&lease, NETWORK, SIGNER, &nonces);
                self.call(closed).await?;
            }
            (S::Mined, None) => {
                let (from, to) = (S::Mined, S::Final);
                let moved = self.ledger.move_settlement(&lease, &key, from, to, json!({}));
                assert!(self.call(moved).await?);
            }
            other => panic!("unexpected {other:?}"),
        }
        Ok(false)
    }

    /// Whatever failed: paid once, granted once, told once, one nonce.
    async fn check(&self) {
        let (key, case) = (self.key(), format!("call {} of payment {}", self.fail_at, self.n));
        assert!(self.sent <= 1, "{case}");
        let row: Settlement = self.ledger.find_settlement(&key).await.unwrap().unwrap();
        assert_eq!(row.state, SettlementState::Final, "{case}");
        assert_eq!(row.transactions.len(), 1, "{case}");
        assert_eq!(row.evidence, Some(proof(self.n, 0)), "{case}");
        assert!(!self.ledger.report_success(&key, Uuid::new_v4()).await.unwrap(), "{case}");
        let next_nonce = self.ledger.lane(NETWORK, SIGNER).await.unwrap().next_nonce;
        assert_eq!(next_nonce, u64::from(self.n), "one nonce for each payment: {case}");
        let rows = self.ledger.journal(&key).await.unwrap();
        let mut moves: Vec<_> = rows
            .iter()
            .filter(|e| e.from_state != e.to_state)
            .map(|e| (&*e.subject, &*e.to_state))
            .collect();
        moves.sort_unstable();
        let mut once = moves.clone();
        once.dedup();
        assert_eq!(moves, once, "every move is made once: {case}");
        assert_eq!(moves.len(), 10, "{case}: {moves:?}");
        let kept = self.ledger.find_answer(&key).await.unwrap().expect(&case);
        let StoredBody::Parts(body) = kept.body else { panic!("{case}: {kept:?}") };
        for (number, part) in (0..).zip(PARTS) {
            let found = self.ledger.find_part(&key, &body, number).await.unwrap();
            assert_eq!(found.as_deref(), Some(part), "{case}");
        }
    }
}
