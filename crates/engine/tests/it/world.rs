//! One chain, one ledger, one engine, and payments to make.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256};
use faregate_chain::Chain;
use faregate_chain::simulated::SimulatedChain;
use faregate_engine::clock::Clock;
use faregate_engine::{Engine, Limits, Running};
use faregate_ledger::{Settlement, SettlementState, SettlementStore, SqliteLedger};
use faregate_protocol::{
    Facilitator, FacilitatorError, PaymentKey, PaymentPayload, PaymentRequest, PaymentRequirements,
    SettleResponse, SettleTerms,
};
use faregate_telemetry::Metrics;
use serde_json::json;
use uuid::Uuid;

pub(crate) const NOW: u64 = 1_770_000_000;
pub(crate) const PAYER: Address = Address::repeat_byte(0xaa);
pub(crate) const PAYEE: Address = Address::repeat_byte(0xbb);
pub(crate) const SIGNER: &str = "0xsigner";
pub(crate) const PRICE: u64 = 10_000;
/// Most payments in one transaction.
pub(crate) const MEMBERS: usize = 20;
/// Nothing here takes long; this only keeps a broken test from hanging.
const PATIENCE: Duration = Duration::from_secs(120);

/// A clock that the test moves.
pub(crate) struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now_unix_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

pub(crate) struct World {
    pub(crate) chain: Arc<SimulatedChain>,
    pub(crate) ledger: SqliteLedger,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) engine: Engine,
    limits: Limits,
    running: Option<Running>,
}

pub(crate) fn limits() -> Limits {
    Limits {
        settle_wait: Duration::from_millis(150),
        want_grace: Duration::from_millis(200),
        // Short, so that a worker that died without a word is replaced soon.
        lease_ttl: Duration::from_millis(300),
        watch_every: Duration::from_millis(5),
        idle_every: Duration::from_millis(10),
        resend_after: Duration::from_millis(20),
        heal_after: Duration::from_millis(40),
        look_first: Duration::from_millis(10),
        look_max: Duration::from_millis(20),
        look_proven_max: Duration::from_millis(20),
        look_quiet: Duration::ZERO,
        foreign_after: Duration::from_millis(40),
        ..Limits::default()
    }
}

impl World {
    pub(crate) async fn new(automine: bool) -> Self {
        Self::with(automine, |_| {}).await
    }

    /// A world with other limits.
    pub(crate) async fn with(automine: bool, change: fn(&mut Limits)) -> Self {
        let chain = Arc::new(SimulatedChain::new(84532, &[SIGNER], NOW, automine));
        chain.mint(PAYER, 1_000_000);
        chain.mine();
        chain.set_batch_members(MEMBERS);
        let ledger = SqliteLedger::open_in_memory().await.unwrap();
        let clock = Arc::new(TestClock(AtomicU64::new(NOW * 1000)));
        let mut limits = limits();
        change(&mut limits);
        let (engine, running) = start_with(&chain, Arc::new(ledger.clone()), &clock, limits);
        Self { chain, ledger, clock, engine, limits, running: Some(running) }
    }

    /// The process dies and starts again: only the chain and the ledger remain.
    pub(crate) fn restart(&mut self) {
        drop(self.running.take());
        let store = Arc::new(self.ledger.clone());
        let (engine, running) = start_with(&self.chain, store, &self.clock, self.limits);
        (self.engine, self.running) = (engine, Some(running));
    }

    /// The workers end in good order and give their leases up.
    pub(crate) async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }

    pub(crate) async fn settle(&self, request: &PaymentRequest, id: Uuid) -> SettleResponse {
        self.try_settle(request, id).await.unwrap()
    }

    pub(crate) async fn try_settle(
        &self,
        request: &PaymentRequest,
        id: Uuid,
    ) -> Result<SettleResponse, FacilitatorError> {
        let terms = SettleTerms { settle_id: Some(id), ..SettleTerms::default() };
        self.engine.settle(request, &terms).await
    }

    pub(crate) async fn settle_keyless(&self, request: &PaymentRequest) -> SettleResponse {
        self.engine.settle(request, &SettleTerms::default()).await.unwrap()
    }

    /// A caller without a key that asks again while its payment is pending.
    pub(crate) async fn keyless_outcome(&self, request: &PaymentRequest) -> SettleResponse {
        let began = Instant::now();
        loop {
            let answer = self.settle_keyless(request).await;
            if !is(&answer, "settlement_pending") {
                return answer;
            }
            assert!(began.elapsed() < PATIENCE, "no outcome");
        }
    }

    pub(crate) fn pass_time(&self, seconds: u64) {
        self.clock.0.fetch_add(seconds * 1000, Ordering::SeqCst);
        self.chain.pass_time(seconds);
    }

    pub(crate) async fn stored(&self, request: &PaymentRequest) -> Option<Settlement> {
        self.ledger.find_settlement(&key(request)).await.unwrap()
    }

    /// Waits until the settlement is in `state`.
    pub(crate) async fn until(&self, request: &PaymentRequest, state: SettlementState) {
        let began = Instant::now();
        loop {
            let now = self.stored(request).await.map(|stored| stored.state);
            if now == Some(state) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "still {now:?}, not {state:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Asks again, with the same settle id, until the outcome is not pending any more.
    pub(crate) async fn outcome(&self, request: &PaymentRequest, id: Uuid) -> SettleResponse {
        let began = Instant::now();
        loop {
            match self.try_settle(request, id).await {
                Ok(answer) if !is(&answer, "settlement_pending") => return answer,
                Ok(_) | Err(FacilitatorError::Unavailable(_)) => {}
                Err(error) => panic!("{error}"),
            }
            assert!(began.elapsed() < PATIENCE, "no outcome");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Money moved for exactly these payments, once each.
    pub(crate) fn assert_moved(&self, payments: u64) {
        assert_eq!(self.chain.transfers() as u64, payments);
        assert_eq!(self.chain.balance(PAYEE), (PRICE * payments).into());
    }
}

pub(crate) fn start(
    chain: &Arc<SimulatedChain>,
    store: Arc<dyn SettlementStore>,
    clock: &Arc<TestClock>,
) -> (Engine, Running) {
    start_with(chain, store, clock, limits())
}

fn start_with(
    chain: &Arc<SimulatedChain>,
    store: Arc<dyn SettlementStore>,
    clock: &Arc<TestClock>,
    limits: Limits,
) -> (Engine, Running) {
    let chains: Vec<Arc<dyn Chain>> = vec![Arc::clone(chain) as Arc<dyn Chain>];
    let clock: Arc<dyn Clock> = Arc::clone(clock) as Arc<dyn Clock>;
    Engine::start(chains, &store, &clock, &Metrics::new(["eip155:84532".to_owned()]), limits)
}

pub(crate) fn is(answer: &SettleResponse, reason: &str) -> bool {
    !answer.success && answer.error_reason.as_deref() == Some(reason)
}

pub(crate) fn nonce(n: u8) -> B256 {
    B256::repeat_byte(n)
}

pub(crate) fn key(request: &PaymentRequest) -> PaymentKey {
    PaymentKey::of(&request.payment_payload, &request.payment_requirements).unwrap().0
}

/// A payment that is valid for five minutes.
pub(crate) fn payment(n: u8) -> PaymentRequest {
    let requirements: PaymentRequirements = serde_json::from_value(json!({
        "scheme": "exact", "network": "eip155:84532", "amount": PRICE.to_string(),
        "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
        "payTo": PAYEE.to_checksum(None), "maxTimeoutSeconds": 300,
        "extra": {"name": "USDC", "version": "2"},
    }))
    .unwrap();
    let payload = PaymentPayload {
        x402_version: 2,
        payload: json!({
            "authorization": {
                "from": PAYER.to_checksum(None), "to": PAYEE.to_checksum(None),
                "value": PRICE.to_string(), "validAfter": "0",
                "validBefore": (NOW + 300).to_string(), "nonce": nonce(n).to_string(),
            },
            "signature": format!("0x{}", "ab".repeat(65)),
        })
        .as_object()
        .unwrap()
        .clone(),
        extensions: None,
        resource: None,
        accepted: serde_json::to_value(&requirements).unwrap().as_object().unwrap().clone(),
    };
    PaymentRequest::new(payload, requirements)
}
