//! The rows of the in-memory ledger.

use std::collections::{BTreeMap, BTreeSet};

use faregate_protocol::{Amount, PaymentKey, PaymentRequest};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Attempt, ClaimState, Debtor, DeferralState, EvidenceRow, JournalEntry, NewClaim, NewSettlement,
    SettlementState, SlotKind, SlotState, StoredAnswer,
};

/// Network, signer, nonce.
pub(super) type SlotName = (String, String, u64);

#[derive(Default)]
pub(super) struct Rows {
    pub(super) claims: BTreeMap<PaymentKey, ClaimRow>,
    pub(super) claims_by_settle_id: BTreeMap<Uuid, PaymentKey>,
    pub(super) grants: BTreeSet<Uuid>,
    pub(super) settlements: BTreeMap<PaymentKey, SettlementRow>,
    pub(super) settlements_by_settle_id: BTreeMap<Uuid, PaymentKey>,
    pub(super) leases: BTreeMap<String, LeaseRow>,
    pub(super) slots: BTreeMap<SlotName, StoredSlot>,
    /// When each transaction was signed.
    pub(super) attempts_made: BTreeMap<String, i64>,
    /// Network, transaction, log index.
    pub(super) logs: BTreeSet<(String, String, u64)>,
    /// Owner and time of enrolment, by network and payee.
    pub(super) payees: BTreeMap<(String, String), (Uuid, i64)>,
    pub(super) deferrals: BTreeMap<PaymentKey, DeferralRow>,
    /// By network, asset and payer; without a payer, of all of them.
    pub(super) exposures: BTreeMap<(String, String, String), Amount>,
    pub(super) debts: BTreeMap<PaymentKey, DebtRow>,
    journal: Vec<(PaymentKey, JournalEntry)>,
}

pub(super) struct ClaimRow {
    pub(super) new: NewClaim,
    pub(super) state: ClaimState,
    pub(super) granted: bool,
    pub(super) handler_started: bool,
    /// The answer and the payment that were kept.
    pub(super) kept: Option<(StoredAnswer, PaymentRequest)>,
    /// Parts of the answer of one run, with its epoch.
    pub(super) parts: BTreeMap<u32, (i64, Vec<u8>)>,
    /// The payment that was kept before there was an answer.
    pub(super) kept_request: Option<PaymentRequest>,
    pub(super) epoch: i64,
    pub(super) token: i64,
    pub(super) lease_until_ms: i64,
    pub(super) transaction: String,
    pub(super) updated_at_ms: i64,
}

/// Payer and asset in lower case.
#[derive(Clone)]
pub(super) struct DeferralRow {
    pub(super) state: DeferralState,
    pub(super) facilitator: String,
    pub(super) network: String,
    pub(super) payer: String,
    pub(super) asset: String,
    pub(super) amount: Amount,
    pub(super) settle_by_ms: i64,
    pub(super) due_ms: i64,
    pub(super) tries: u32,
    pub(super) deaths: i64,
    pub(super) refusals: i64,
    pub(super) token: i64,
    pub(super) lease_until_ms: i64,
    pub(super) created_at_ms: i64,
}

pub(super) struct DebtRow {
    pub(super) debtor: Debtor,
    pub(super) reason: String,
    pub(super) opened_at_ms: i64,
    pub(super) closed_at_ms: Option<i64>,
}

pub(super) struct SettlementRow {
    pub(super) new: NewSettlement,
    pub(super) state: SettlementState,
    pub(super) version: i64,
    pub(super) success_reported_to: Option<Uuid>,
    pub(super) tries: i64,
    pub(super) wanted_until_ms: i64,
    pub(super) next_look_ms: i64,
    pub(super) looks: u32,
    pub(super) evidence: Option<EvidenceRow>,
    pub(super) created_at_ms: i64,
    pub(super) updated_at_ms: i64,
}

pub(super) struct LeaseRow {
    pub(super) owner: Uuid,
    pub(super) token: i64,
    pub(super) until_ms: i64,
}

pub(super) struct StoredSlot {
    pub(super) kind: SlotKind,
    pub(super) state: SlotState,
    /// Payments, and whether they live here.
    pub(super) items: BTreeMap<PaymentKey, bool>,
    /// With their place in the order of signing.
    pub(super) attempts: Vec<(usize, Attempt)>,
    /// When the newest of them was stored.
    pub(super) signed_at_ms: i64,
}

impl Rows {
    /// One journal row.
    pub(super) fn note(
        &mut self,
        at_unix_ms: i64,
        (actor, subject): (&str, &str),
        key: &PaymentKey,
        (from, to): (&str, &str),
        evidence: &Value,
    ) {
        let id = i64::try_from(self.journal.len()).unwrap_or(i64::MAX).saturating_add(1);
        let entry = JournalEntry {
            id,
            at_unix_ms,
            actor: actor.to_owned(),
            subject: subject.to_owned(),
            from_state: from.to_owned(),
            to_state: to.to_owned(),
            evidence: evidence.to_string(),
        };
        self.journal.push((*key, entry));
    }

    pub(super) fn journal_of(&self, key: &PaymentKey) -> Vec<JournalEntry> {
        let of_key = self.journal.iter().filter(|(of, _)| of == key);
        of_key.map(|(_, entry)| entry.clone()).collect()
    }

    /// The compare-and-set of every move of a settlement.
    pub(super) fn step(
        &mut self,
        now: i64,
        key: &PaymentKey,
        from: SettlementState,
        to: SettlementState,
    ) -> bool {
        use SettlementState::{Broadcast, Reserved, Signed};
        // Bytes that may still be mined carry who lives in an open slot.
        let is_carried = self.home(key).is_some_and(|slot| slot.state != SlotState::Mined);
        if to == Reserved && matches!(from, Signed | Broadcast) && is_carried {
            return false;
        }
        let Some(row) = self.settlements.get_mut(key).filter(|row| row.state == from) else {
            return false;
        };
        row.state = to;
        row.version = row.version.saturating_add(1);
        row.looks = 0;
        row.next_look_ms = now;
        row.updated_at_ms = now;
        true
    }

    /// The slot in which the payment lives.
    pub(super) fn home(&self, key: &PaymentKey) -> Option<&StoredSlot> {
        self.slots.values().find(|slot| slot.items.get(key) == Some(&true))
    }

    pub(super) fn home_nonce(&self, key: &PaymentKey) -> Option<u64> {
        let home = self.slots.iter().find(|(_, slot)| slot.items.get(key) == Some(&true));
        home.map(|(name, _)| name.2)
    }

    /// The payment no longer lives in a slot.
    pub(super) fn leave(&mut self, key: &PaymentKey) {
        for slot in self.slots.values_mut() {
            if let Some(live) = slot.items.get_mut(key) {
                *live = false;
            }
        }
    }

    /// The slot of the payment's newest transaction.
    pub(super) fn newest(&self, key: &PaymentKey) -> Option<SlotName> {
        let with = self.slots.iter().filter(|(_, slot)| slot.items.contains_key(key));
        with.filter_map(|(name, slot)| Some((slot.attempts.last()?.0, name)))
            .max()
            .map(|(_, name)| name.clone())
    }

    /// How many nonces the payment's transactions were signed for.
    pub(super) fn nonces(&self, key: &PaymentKey) -> usize {
        let with = self.slots.values().filter(|slot| slot.items.contains_key(key));
        with.filter(|slot| !slot.attempts.is_empty()).count()
    }

    /// The payment's transactions, oldest first.
    pub(super) fn transactions(&self, key: &PaymentKey) -> Vec<String> {
        let with = self.slots.values().filter(|slot| slot.items.contains_key(key));
        let mut found: Vec<_> = with.flat_map(|slot| &slot.attempts).collect();
        found.sort_by_key(|(order, _)| *order);
        found.into_iter().map(|(_, attempt)| attempt.transaction.clone()).collect()
    }
}
