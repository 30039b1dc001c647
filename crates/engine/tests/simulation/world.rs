//! Everything in a run: processes, chain, ledger, payments, callers, and what these were told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_primitives::B256;
use faregate_chain::simulated::SimulatedChain;
use faregate_engine::Limits;
use faregate_engine::clock::Clock as _;
use faregate_ledger::{MemoryLedger, SettlementState};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::audit::Audit;
use crate::callers::{Caller, Street};
use crate::clock::{BEGIN, SimulatedClock};
use crate::events::{self, Event};
use crate::payments::{CHAIN_ID, Payment, WEALTH, payer};
use crate::process::{Ground, Process};
use crate::rng::Dice;
use crate::sabotage::Sabotage;

pub(crate) const PAYERS: u64 = 3;
const SIGNERS: [&str; 2] = ["0xsigner", "0xthe-other-signer"];

pub(crate) struct World {
    pub(crate) dice: Dice,
    pub(crate) ground: Ground,
    pub(crate) audit: Audit,
    pub(crate) processes: Arc<[Process]>,
    pub(crate) signers: Vec<String>,
    /// How often what happens in this run.
    pub(crate) weights: Vec<(u64, Event)>,
    pub(crate) payments: Vec<Payment>,
    /// All callers that ever asked.
    pub(crate) callers: Vec<Caller>,
    pub(crate) told: Told,
    /// The highest block that was ever final; no reorganisation goes below it.
    pub(crate) finalized: u64,
    /// Payments whose settlement has ended, and how.
    pub(crate) ends: BTreeMap<B256, SettlementState>,
    /// A reorganisation happened.
    pub(crate) reorganised: bool,
    /// Payments that their payer cancelled, whether the block stayed or not.
    pub(crate) cancelled: BTreeSet<B256>,
    /// Payments that have to be paid now that all is well.
    pub(crate) hopeful: Vec<Payment>,
    asking: JoinSet<()>,
}

impl World {
    pub(crate) fn new(seed: u64, sabotage: Sabotage) -> Self {
        let (dice, clock) = (Dice::new(seed), SimulatedClock::start());
        let signers: Vec<&str> = SIGNERS[..dice.between(1, 2) as usize].to_vec();
        let chain = SimulatedChain::new(CHAIN_ID, &signers, BEGIN, dice.chance(200));
        chain.set_batch_members(*dice.pick(&[1, 2, 12]));
        (0..PAYERS).for_each(|n| chain.mint(payer(n), WEALTH));
        chain.mine();
        let now = Arc::new(move || clock.now_unix_ms());
        let audit = Audit::new(clock);
        let limits = Limits {
            in_flight: *dice.pick(&[2, 4, 16]),
            exclusive_pay_to: true,
            ..Limits::default()
        };
        let ground = Ground {
            chain: Arc::new(chain),
            ledger: MemoryLedger::new(now, Uuid::from_u128(seed.into())),
            audit: audit.clone(),
            clock,
            dice: dice.clone(),
            sabotage,
            limits,
        };
        let count = dice.between(1, 3);
        let processes: Arc<[Process]> = (0..count).map(|n| Process::new(n, &ground)).collect();
        processes.iter().for_each(|process| process.start(&ground));
        Self {
            weights: events::weights(&dice),
            dice,
            ground,
            audit,
            processes,
            signers: signers.into_iter().map(str::to_owned).collect(),
            payments: Vec::new(),
            callers: Vec::new(),
            told: Told::default(),
            finalized: 0,
            ends: BTreeMap::new(),
            reorganised: false,
            cancelled: BTreeSet::new(),
            hopeful: Vec::new(),
            asking: JoinSet::new(),
        }
    }

    pub(crate) fn chain(&self) -> &SimulatedChain {
        self.ground.chain.set_time(self.ground.clock.now_unix());
        &self.ground.chain
    }

    /// A caller begins to ask.
    pub(crate) fn asks(&mut self, caller: Caller) {
        let street = Street {
            ground: self.ground.clone(),
            processes: Arc::clone(&self.processes),
            told: self.told.clone(),
        };
        self.asking.spawn(caller.clone().ask(street));
        self.callers.push(caller);
    }

    /// Nobody asks any more and every process ends in good order.
    pub(crate) async fn end(&mut self) {
        self.asking.shutdown().await;
        for process in self.processes.iter() {
            process.stop().await;
        }
    }
}

/// What callers were told, and what a reorganisation took back from under it.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<Mutex<Answers>>);

#[derive(Default)]
struct Answers {
    /// Who was told success, by payment.
    success: BTreeMap<B256, BTreeSet<u64>>,
    not_charged: BTreeSet<B256>,
    ended: BTreeSet<u64>,
    /// Questions under way, by settle id.
    asking: BTreeMap<Option<Uuid>, u32>,
    /// Settle ids that ever had two questions under way.
    twins: BTreeSet<Option<Uuid>>,
    /// Payments that moved and were taken back by a reorganisation.
    taken_back: BTreeSet<B256>,
}

impl Told {
    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `false`: somebody else was told success before.
    pub(crate) fn success(&self, payment: &Payment, caller: u64) -> bool {
        let mut answers = self.answers();
        let told = answers.success.entry(payment.nonce).or_default();
        told.insert(caller);
        told.len() == 1
    }

    pub(crate) fn not_charged(&self, payment: &Payment) {
        self.answers().not_charged.insert(payment.nonce);
    }

    pub(crate) fn said_not_charged(&self, payment: &Payment) -> bool {
        self.answers().not_charged.contains(&payment.nonce)
    }

    /// Somebody asks; it may have come back while it was still asking.
    pub(crate) fn asks(&self, settle_id: Option<Uuid>) {
        let mut answers = self.answers();
        let questions = answers.asking.entry(settle_id).or_default();
        *questions += 1;
        if *questions > 1 {
            answers.twins.insert(settle_id);
        }
    }

    pub(crate) fn asked(&self, settle_id: Option<Uuid>) {
        *self.answers().asking.entry(settle_id).or_insert(1) -= 1;
    }

    pub(crate) fn had_a_twin(&self, settle_id: Option<Uuid>) -> bool {
        self.answers().twins.contains(&settle_id)
    }

    /// The caller knows how it ended.
    pub(crate) fn ended(&self, caller: u64) {
        self.answers().ended.insert(caller);
    }

    pub(crate) fn knows_the_end(&self, caller: u64) -> bool {
        self.answers().ended.contains(&caller)
    }

    pub(crate) fn taken_back(&self, payment: &Payment) {
        self.answers().taken_back.insert(payment.nonce);
    }

    pub(crate) fn was_taken_back(&self, payment: &Payment) -> bool {
        self.answers().taken_back.contains(&payment.nonce)
    }

    pub(crate) fn said_success(&self, payment: &Payment) -> bool {
        self.answers().success.contains_key(&payment.nonce)
    }

    /// The money moved in the chain as it is, or as it was before a reorganisation.
    pub(crate) fn has_moved(&self, chain: &SimulatedChain, payment: &Payment) -> bool {
        chain.moved_in(payment.payer, payment.nonce).is_some() || self.was_taken_back(payment)
    }
}
