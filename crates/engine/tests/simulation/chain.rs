//! One process's view of the simulated chain: it may be frozen before and after each call, and
//! what it sends is audited.

use std::sync::Arc;

use async_trait::async_trait;
use faregate_chain::simulated::SimulatedChain;
use faregate_chain::{
    Authorization, BatchRoom, BlockSeen, Broadcast, Chain, ChainError, DeathCause, DeathProof,
    Evidence, Fees, Heights, InBlock, Inspection, Intent, LaneState, Observation, Outcome,
    Prepared, Slot, Watch,
};
use faregate_engine::clock::Clock as _;
use faregate_protocol::{Network, PaymentRequest, Reason, SupportedKind};

use crate::audit::Audit;
use crate::clock::SimulatedClock;
use crate::control::Control;
use crate::rng::Dice;
use crate::sabotage::Sabotage;

/// How often a sabotaged chain lies.
const LIES_PER_MILLE: u64 = 200;
/// Milliseconds that bytes are on their way.
const WIRE: (u64, u64) = (1, 40);

pub(crate) struct ProcessChain {
    pub(crate) chain: Arc<SimulatedChain>,
    pub(crate) control: Arc<Control>,
    pub(crate) audit: Audit,
    pub(crate) clock: SimulatedClock,
    pub(crate) dice: Dice,
    pub(crate) sabotage: Sabotage,
}

impl ProcessChain {
    async fn enter(&self) {
        self.control.border().await;
        self.chain.set_time(self.clock.now_unix());
    }

    fn lies(&self, lie: Sabotage) -> bool {
        self.sabotage == lie && self.dice.chance(LIES_PER_MILLE)
    }

    fn distorted(&self, watch: &Watch<'_>, seen: Observation) -> Observation {
        if !matches!(seen.outcome, Outcome::Unknown { .. }) {
            return seen;
        }
        let outcome = if self.lies(Sabotage::FalsePaid) {
            Outcome::Paid(Evidence {
                transaction: watch.transactions.last().cloned().unwrap_or_default(),
                log_index: 0,
                block_number: seen.head,
                block_hash: "0xno-such-block".to_owned(),
                gas_used: 0,
                payments: 1,
            })
        } else if self.lies(Sabotage::FalseDead) {
            Outcome::Dead(DeathProof { cause: DeathCause::Expired, at_block: seen.finalized })
        } else {
            seen.outcome
        };
        Observation { outcome, ..seen }
    }
}

#[async_trait]
impl Chain for ProcessChain {
    fn network(&self) -> &Network {
        self.chain.network()
    }

    fn supported(&self) -> Vec<SupportedKind> {
        self.chain.supported()
    }

    fn signers(&self) -> Vec<String> {
        self.chain.signers()
    }

    fn read(&self, request: &PaymentRequest) -> Result<Authorization, Reason> {
        self.chain.read(request)
    }

    fn batch_room(&self) -> Option<BatchRoom> {
        self.chain.batch_room()
    }

    fn share(&self, request: &PaymentRequest) -> Option<u64> {
        self.chain.share(request)
    }

    async fn inspect(
        &self,
        request: &PaymentRequest,
        now_unix: u64,
    ) -> Result<Inspection, ChainError> {
        self.enter().await;
        let seen = self.chain.inspect(request, now_unix).await;
        self.audit.note("inspect", self.control.name, u64::from(seen.is_ok()));
        self.control.border().await;
        seen
    }

    async fn prepare(
        &self,
        intent: Intent<'_>,
        slot: &Slot,
        replaces: Option<Fees>,
    ) -> Result<Prepared, ChainError> {
        self.enter().await;
        let other = self.sabotage == Sabotage::OtherIntent && replaces.is_some();
        let intent = if other { Intent::NoOp } else { intent };
        let signed = self.chain.prepare(intent, slot, replaces).await;
        self.audit.note("prepare", self.control.name, slot.nonce);
        self.control.border().await;
        signed
    }

    async fn broadcast(&self, raw: &[u8]) -> Broadcast {
        // A wire takes time, so that an engine that sends in a loop does not stop the clock.
        let wire = self.dice.between(WIRE.0, WIRE.1);
        tokio::time::sleep(std::time::Duration::from_millis(wire)).await;
        self.enter().await;
        self.audit.sent(raw);
        let said = self.chain.broadcast(raw).await;
        self.audit.note("broadcast", self.control.name, said as u64);
        self.control.border().await;
        said
    }

    async fn observe(&self, watch: Watch<'_>) -> Result<Observation, ChainError> {
        self.enter().await;
        let seen = self.chain.observe(watch.clone()).await;
        let seen = seen.map(|seen| self.distorted(&watch, seen));
        self.audit.note("observe", self.control.name, u64::from(seen.is_ok()));
        self.control.border().await;
        seen
    }

    async fn blocks(&self, after: Option<u64>) -> Result<Vec<BlockSeen>, ChainError> {
        self.enter().await;
        let seen = self.chain.blocks(after).await;
        self.control.border().await;
        seen
    }

    async fn heights(&self, numbers: &[u64]) -> Result<Option<Heights>, ChainError> {
        self.enter().await;
        let seen = self.chain.heights(numbers).await;
        self.control.border().await;
        seen
    }

    async fn observe_in(
        &self,
        block: InBlock<'_>,
        watches: &[Watch<'_>],
    ) -> Result<Vec<Option<Observation>>, ChainError> {
        self.enter().await;
        let seen = self.chain.observe_in(block, watches).await;
        self.audit.note("observe in", self.control.name, u64::from(seen.is_ok()));
        self.control.border().await;
        seen
    }

    async fn lane_state(&self, signer: &str) -> Result<LaneState, ChainError> {
        self.enter().await;
        let state = self.chain.lane_state(signer).await;
        self.control.border().await;
        state
    }

    async fn ready(&self) -> Result<(), ChainError> {
        self.enter().await;
        self.chain.ready().await
    }
}
