//! A claim store in memory, for flows that need no disk. It keeps the promises of the port.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use faregate_ledger::{
    Claim, ClaimMove, ClaimState, ClaimStore, Claimed, Hold, JournalEntry, LedgerError, NewClaim,
};
use faregate_protocol::PaymentKey;
use uuid::Uuid;

struct Row {
    claim: Claim,
    lease_until: Instant,
}

impl Row {
    fn seen(&self) -> Claim {
        Claim { held: self.lease_until > Instant::now(), ..self.claim.clone() }
    }

    fn hold(&self) -> Hold {
        Hold {
            key: self.claim.new.key,
            token: self.claim.token,
            epoch: self.claim.epoch,
            settle_id: self.claim.new.settle_id,
        }
    }
}

/// The store.
#[derive(Default)]
pub(crate) struct MemoryLedger {
    rows: Mutex<HashMap<PaymentKey, Row>>,
    journal: Mutex<Vec<(PaymentKey, JournalEntry)>>,
}

impl MemoryLedger {
    fn write(&self, key: PaymentKey, from: &str, to: &str, evidence: String) {
        let mut journal = self.journal.lock().unwrap();
        let id = i64::try_from(journal.len()).unwrap();
        let entry = JournalEntry {
            id,
            at_unix_ms: 0,
            actor: "gate".to_owned(),
            subject: "claim".to_owned(),
            from_state: from.to_owned(),
            to_state: to.to_owned(),
            evidence,
        };
        journal.push((key, entry));
    }
}

fn until(lease_ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(lease_ms)
}

#[async_trait]
impl ClaimStore for MemoryLedger {
    async fn claim(&self, new: &NewClaim, lease_ms: u64) -> Result<Claimed, LedgerError> {
        let mut rows = self.rows.lock().unwrap();
        if let Some(row) = rows.get_mut(&new.key) {
            let old = &row.claim.new;
            let same = old.payload_hash == new.payload_hash
                && old.request_fp == new.request_fp
                && old.requirements_hash == new.requirements_hash;
            if row.claim.state != ClaimState::Released || !same {
                return Ok(Claimed::Exists(Box::new(row.seen())));
            }
            row.claim.state = ClaimState::Verified;
            row.claim.epoch += 1;
            row.claim.token += 1;
            row.lease_until = until(lease_ms);
            self.write(new.key, "RELEASED", "VERIFIED", String::new());
            return Ok(Claimed::Won(row.hold()));
        }
        let claim = Claim {
            new: new.clone(),
            state: ClaimState::Verified,
            token: 1,
            epoch: 0,
            held: true,
            transaction: String::new(),
        };
        let row = Row { claim, lease_until: until(lease_ms) };
        let hold = row.hold();
        rows.insert(new.key, row);
        self.write(new.key, "", "VERIFIED", String::new());
        Ok(Claimed::Won(hold))
    }

    async fn find_claim(&self, key: &PaymentKey) -> Result<Option<Claim>, LedgerError> {
        Ok(self.rows.lock().unwrap().get(key).map(Row::seen))
    }

    async fn take_over(
        &self,
        key: &PaymentKey,
        state: ClaimState,
        lease_ms: u64,
    ) -> Result<Option<Hold>, LedgerError> {
        let mut rows = self.rows.lock().unwrap();
        let Some(row) = rows.get_mut(key) else { return Ok(None) };
        if row.claim.state != state || row.lease_until > Instant::now() {
            return Ok(None);
        }
        row.claim.token += 1;
        if matches!(state, ClaimState::Settled | ClaimState::Executed) {
            row.claim.epoch += 1;
        }
        row.lease_until = until(lease_ms);
        Ok(Some(row.hold()))
    }

    async fn renew(&self, hold: &Hold, lease_ms: u64) -> Result<bool, LedgerError> {
        let mut rows = self.rows.lock().unwrap();
        let row = rows.get_mut(&hold.key).unwrap();
        let mine = row.claim.token == hold.token && row.lease_until > Instant::now();
        if mine {
            row.lease_until = until(lease_ms);
        }
        Ok(mine)
    }

    async fn let_go(&self, hold: &Hold) -> Result<(), LedgerError> {
        let mut rows = self.rows.lock().unwrap();
        let row = rows.get_mut(&hold.key).unwrap();
        if row.claim.token == hold.token {
            row.lease_until = Instant::now();
        }
        Ok(())
    }

    async fn move_claim(&self, hold: &Hold, step: ClaimMove) -> Result<bool, LedgerError> {
        if !step.from.may_become(step.to) || step.to == ClaimState::Granted {
            return Err(LedgerError::IllegalMove { from: step.from.name(), to: step.to.name() });
        }
        let mut rows = self.rows.lock().unwrap();
        let row = rows.get_mut(&hold.key).unwrap();
        if row.claim.token != hold.token || row.claim.state != step.from {
            return Ok(false);
        }
        row.claim.state = step.to;
        if let Some(transaction) = step.transaction {
            row.claim.transaction = transaction;
        }
        self.write(hold.key, step.from.name(), step.to.name(), step.evidence.to_string());
        Ok(true)
    }

    async fn grant(&self, hold: &Hold, grant_id: Uuid) -> Result<bool, LedgerError> {
        let mut rows = self.rows.lock().unwrap();
        let row = rows.get_mut(&hold.key).unwrap();
        if row.claim.token != hold.token || row.claim.state != ClaimState::Settled {
            return Ok(false);
        }
        row.claim.state = ClaimState::Granted;
        self.write(hold.key, "SETTLED", "GRANTED", grant_id.to_string());
        Ok(true)
    }

    async fn unheld_claims(
        &self,
        states: &[ClaimState],
        limit: u32,
    ) -> Result<Vec<Claim>, LedgerError> {
        let rows = self.rows.lock().unwrap();
        let unheld = rows.values().map(Row::seen).filter(|c| !c.held && states.contains(&c.state));
        Ok(unheld.take(usize::try_from(limit).unwrap()).collect())
    }

    async fn journal(&self, key: &PaymentKey) -> Result<Vec<JournalEntry>, LedgerError> {
        let journal = self.journal.lock().unwrap();
        Ok(journal.iter().filter(|(k, _)| k == key).map(|(_, entry)| entry.clone()).collect())
    }

    async fn ping(&self) -> Result<(), LedgerError> {
        Ok(())
    }

    fn deployment(&self) -> Uuid {
        Uuid::from_u128(7)
    }
}
