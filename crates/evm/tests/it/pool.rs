//! Several endpoints: which one is asked, which one is left alone, and what they hear together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use faregate_chain::{Broadcast, Chain, ChainError, Inspection};
use faregate_devnet::{Devnet, DevnetConfig, DevnetHandle};
use faregate_evm::{EndpointPolicy, EvmChain};
use faregate_telemetry::Metrics;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::endpoint::{Endpoint, Reaction, methods};
use crate::world::{config_for, now, payment};

/// Nothing here takes long; this only keeps a broken test from hanging.
const PATIENCE: Duration = Duration::from_secs(60);

struct Pool {
    devnet: DevnetHandle,
    endpoints: Vec<Endpoint>,
    chain: EvmChain,
    metrics: Metrics,
}

/// One chain behind so many endpoints. No hedges and no surveys but those of the policy.
async fn pool(endpoints: usize, change: fn(&mut EndpointPolicy)) -> Pool {
    let devnet = Devnet::start(DevnetConfig::default()).await.unwrap();
    let starts = (0..endpoints).map(|_| Endpoint::start(Some(devnet.url())));
    let endpoints: Vec<Endpoint> = join_all(starts).await;
    let mut config = config_for(endpoints.iter().map(|endpoint| endpoint.url.clone()).collect());
    config.endpoints.hedge_after = None;
    config.endpoints.survey_every = PATIENCE * 60;
    change(&mut config.endpoints);
    let metrics = Metrics::new(["eip155:84532".to_owned()]);
    config.metrics = metrics.clone();
    let chain = EvmChain::connect(config).await.unwrap();
    for endpoint in &endpoints {
        endpoint.take_requests();
    }
    Pool { devnet, endpoints, chain, metrics }
}

impl Pool {
    async fn verify(&self) -> Result<Inspection, ChainError> {
        self.chain.inspect(&payment(), now()).await
    }

    async fn is_valid(&self) {
        let verdict = self.verify().await;
        assert!(matches!(verdict, Ok(Inspection::Valid { .. })), "{verdict:?}");
    }

    /// The value of a series of an endpoint.
    fn metric(&self, name: &str, endpoint: usize, outcome: &str) -> u64 {
        let text = self.metrics.render();
        let start = format!(r#"{name}{{network="eip155:84532",endpoint="{endpoint} 127.0.0.1""#);
        let found = text.lines().find(|l| l.starts_with(&start) && l.contains(outcome));
        found.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
    }

    fn asked_for_state(&self, endpoint: usize) -> usize {
        let calls = self.endpoints[endpoint].take_calls();
        calls.iter().filter(|method| *method == "eth_call").count()
    }

    async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let began = Instant::now();
        while !holds().await {
            assert!(began.elapsed() < PATIENCE, "never: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn late(ms: u64) -> impl Fn(&Value) -> Reaction + Send + Sync + 'static {
    move |_| Reaction::Late(Duration::from_millis(ms))
}

#[tokio::test]
async fn questions_that_come_while_one_is_under_way_go_out_together() {
    let pool = pool(1, |_| {}).await;
    pool.is_valid().await;
    let alone = pool.endpoints[0].take_calls().len();
    pool.endpoints[0].react(late(300));
    let payments: Vec<_> = (0..20).map(|_| payment()).collect();
    let asked = payments.iter().map(|request| pool.chain.inspect(request, now()));
    for verdict in join_all(asked).await {
        assert!(matches!(verdict, Ok(Inspection::Valid { .. })), "{verdict:?}");
    }
    let requests = pool.endpoints[0].take_requests();
    assert!(requests <= 10, "{requests} requests for 20 questions");
    assert!(requests > 1 && alone > 1);
}

#[tokio::test]
async fn an_answer_to_many_that_is_nonsense_is_nobodys_and_each_asks_alone() {
    let pool = pool(1, |_| {}).await;
    pool.is_valid().await;
    let alone = pool.endpoints[0].take_calls().len();
    pool.endpoints[0].react(move |request| match request.as_array() {
        Some(calls) if calls.len() > alone => Reaction::Change(Arc::new(|answer: &mut Value| {
            let twice = answer[0].clone();
            answer.as_array_mut().unwrap().push(twice);
        })),
        _ => Reaction::Late(Duration::from_millis(200)),
    });
    let payments: Vec<_> = (0..6).map(|_| payment()).collect();
    let asked = payments.iter().map(|request| pool.chain.inspect(request, now()));
    for verdict in join_all(asked).await {
        assert!(matches!(verdict, Ok(Inspection::Valid { .. })), "{verdict:?}");
    }
}

#[tokio::test]
async fn an_endpoint_that_takes_no_batches_is_asked_singly() {
    let refusal = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no batches"}}"#;
    for (status, body) in [(200, refusal), (413, ""), (405, "<html>")] {
        let pool = pool(1, |_| {}).await;
        pool.is_valid().await;
        let calls = pool.endpoints[0].take_calls().len();
        pool.endpoints[0].react(move |request| match request.is_array() {
            true => Reaction::Answer(status, body.to_owned()),
            false => Reaction::Pass,
        });
        pool.is_valid().await;
        assert_eq!(pool.endpoints[0].take_requests(), 1 + calls, "{status}: found out once");
        pool.is_valid().await;
        assert_eq!(pool.endpoints[0].take_requests(), calls, "{status}: and remembered");
    }
}

#[tokio::test]
async fn a_second_endpoint_answers_for_one_that_hangs_and_a_hanging_one_is_shut_out() {
    let pool = pool(2, |policy| policy.hedge_after = Some(Duration::from_millis(30))).await;
    pool.endpoints[0].react(late(5_000));
    let began = Instant::now();
    for _ in 0..8 {
        pool.is_valid().await;
    }
    assert!(began.elapsed() < Duration::from_secs(5), "nobody waited for the first");
    let asked = pool.asked_for_state(0) / 2;
    assert!(asked < 8, "after five failures in a row it is not asked: {asked}");
    assert!(pool.metric("faregate_rpc_hedges_total", 1, "won") >= 5);
    assert!(pool.metric("faregate_rpc_requests_total", 0, "overtaken") >= 5);
}

#[tokio::test]
async fn a_dead_endpoint_is_shut_out_and_tried_again_until_it_works() {
    let pool = pool(2, |policy| policy.survey_every = Duration::from_millis(100)).await;
    pool.endpoints[0].react(|_| Reaction::Close);
    for _ in 0..60 {
        pool.is_valid().await;
    }
    let asked = pool.asked_for_state(0);
    assert!(asked <= 60, "asked in vain {asked} calls of 120");
    assert_ne!(pool.metric("faregate_rpc_breaker", 0, ""), 0);
    pool.endpoints[0].react(|_| Reaction::Pass);
    pool.until("it is asked again", async || {
        pool.is_valid().await;
        pool.asked_for_state(0) > 0
    })
    .await;
    assert_eq!(pool.metric("faregate_rpc_breaker", 0, ""), 0);
}

#[tokio::test]
async fn the_only_endpoint_is_asked_however_often_it_failed() {
    let pool = pool(1, |_| {}).await;
    pool.endpoints[0].react(|_| Reaction::Close);
    for _ in 0..10 {
        assert!(pool.verify().await.is_err());
    }
    pool.endpoints[0].react(|_| Reaction::Pass);
    pool.is_valid().await;
}

#[tokio::test]
async fn an_endpoint_that_is_behind_is_not_asked_for_state_but_gets_what_is_sent() {
    let pool = pool(2, |policy| policy.survey_every = Duration::from_millis(50)).await;
    pool.devnet.mine(20);
    let lie = |request: &Value| {
        let request = request.clone();
        Reaction::Change(Arc::new(move |answer: &mut Value| {
            for place in 0..methods(&request).len() {
                if methods(&request)[place] == "eth_blockNumber" {
                    *crate::endpoint::result_of(answer, &request, "eth_blockNumber") = json!("0x2");
                }
            }
        }))
    };
    pool.endpoints[0].react(lie);
    pool.until("it is found behind", async || pool.metric("faregate_rpc_lag_blocks", 0, "") > 4)
        .await;
    pool.asked_for_state(0);
    for _ in 0..5 {
        pool.is_valid().await;
    }
    assert_eq!(pool.asked_for_state(0), 0);
    let world_slot = pool.slot();
    let request = payment();
    let intent = faregate_chain::Intent::Transfer(&request);
    let prepared = pool.chain.prepare(intent, &world_slot, None).await.unwrap();
    let said = pool.chain.broadcast(&prepared.raw).await;
    assert!(matches!(said, Broadcast::Accepted | Broadcast::AlreadyKnown), "{said:?}");
    pool.endpoints[0].react(|_| Reaction::Pass);
    pool.until("it has caught up", async || {
        pool.is_valid().await;
        pool.asked_for_state(0) > 0
    })
    .await;
}

impl Pool {
    fn slot(&self) -> faregate_chain::Slot {
        let signer = faregate_devnet::accounts::FACILITATOR.address;
        faregate_chain::Slot { signer: signer.to_checksum(None), nonce: self.devnet.nonce(signer) }
    }
}

#[tokio::test]
async fn an_endpoint_that_names_a_time_is_left_alone_until_then() {
    let pool = pool(2, |_| {}).await;
    pool.endpoints[0].react(|_| Reaction::Busy(60));
    pool.is_valid().await;
    pool.endpoints[0].take_requests();
    for _ in 0..5 {
        pool.is_valid().await;
    }
    assert_eq!(pool.endpoints[0].take_requests(), 0);
    pool.endpoints[1].react(|_| Reaction::Busy(60));
    assert!(matches!(pool.verify().await, Err(ChainError::Refused { status: 429, .. })));
    pool.endpoints[1].take_requests();
    assert!(matches!(pool.verify().await, Err(ChainError::Refused { status: 429, .. })));
    assert_eq!(pool.endpoints[1].take_requests(), 0, "both are left alone");
    assert!(pool.metric("faregate_rpc_requests_total", 1, "held") >= 1);
}

#[tokio::test]
async fn no_endpoint_is_asked_more_than_its_rate_allows() {
    let pool = pool(1, |policy| policy.calls_per_second = Some(40)).await;
    let began = Instant::now();
    for _ in 0..30 {
        pool.is_valid().await;
    }
    let calls = pool.endpoints[0].take_calls().len();
    // A second's worth and one batch may go at once.
    let least = Duration::from_millis(u64::try_from(calls.saturating_sub(44)).unwrap() * 25);
    assert!(began.elapsed() >= least, "{calls} calls in {:?}", began.elapsed());
}

#[tokio::test]
async fn signed_bytes_reach_every_endpoint_and_one_that_takes_them_is_enough() {
    let pool = pool(3, |_| {}).await;
    let error = |text: &'static str| {
        move |request: &Value| match methods(request) == ["eth_sendRawTransaction"] {
            true => {
                let error = json!({"code": -32000, "message": text});
                let answer = json!({"jsonrpc": "2.0", "id": request["id"], "error": error});
                Reaction::Answer(200, answer.to_string())
            }
            false => Reaction::Pass,
        }
    };
    pool.endpoints[0].react(error("transaction underpriced"));
    pool.endpoints[1].react(error("nonce too low"));
    let request = payment();
    let intent = faregate_chain::Intent::Transfer(&request);
    let prepared = pool.chain.prepare(intent, &pool.slot(), None).await.unwrap();
    assert_eq!(pool.chain.broadcast(&prepared.raw).await, Broadcast::Accepted);
    for endpoint in 0..3 {
        pool.until("all have heard it", async || {
            let refused = u64::from(endpoint < 2);
            let sends = |outcome| pool.metric("faregate_rpc_sends_total", endpoint, outcome);
            sends("refused") == refused && sends("accepted") == 1 - refused
        })
        .await;
    }
    // Without an acceptance the first refusal in the configured order counts, and a dead endpoint
    // hides none.
    pool.endpoints[2].react(|_| Reaction::Close);
    assert_eq!(pool.chain.broadcast(&prepared.raw).await, Broadcast::Underpriced);
    pool.endpoints[0].react(|_| Reaction::Close);
    assert_eq!(pool.chain.broadcast(&prepared.raw).await, Broadcast::NonceTooLow);
}

#[tokio::test]
async fn nothing_that_is_shown_names_an_endpoint_by_its_url() {
    let pool = pool(2, |_| {}).await;
    pool.is_valid().await;
    let port = pool.endpoints[0].url.rsplit(':').next().unwrap().to_owned();
    assert!(!pool.metrics.render().contains(&port));
    assert!(!format!("{:?}", pool.chain).contains(&port));
}
