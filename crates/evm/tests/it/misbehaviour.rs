//! Endpoints that are down, slow, busy, lying or talkative: no verdict and no proof comes of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::B256;
use faregate_chain::{Broadcast, Chain, ChainError, Inspection, Outcome, Watch};
use faregate_devnet::{Devnet, DevnetConfig};
use faregate_evm::EvmChain;
use serde_json::{Value, json};

use crate::endpoint::{Endpoint, Reaction, methods, result_of};
use crate::world::{World, config_for, now, payment};

/// A world whose endpoint may take a second.
async fn world() -> World {
    let devnet = Devnet::start(DevnetConfig::default()).await.unwrap();
    let endpoint = Endpoint::start(Some(devnet.url())).await;
    let mut config = config_for(vec![endpoint.url.clone()]);
    config.endpoints.call_timeout = Duration::from_secs(1);
    let chain = EvmChain::connect(config).await.unwrap();
    endpoint.take_requests();
    World { devnet, endpoint, chain }
}

async fn inspect_error(world: &World, reaction: Reaction) -> ChainError {
    world.endpoint.react(move |_| reaction.clone());
    let error = world.chain.inspect(&payment(), now()).await.unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("127.0.0.1") && !shown.contains("secret"), "{shown}");
    error
}

#[tokio::test]
async fn each_breakdown_is_an_error_of_its_kind_and_no_verdict() {
    let world = world().await;
    let html = "<html>secret</html>".to_owned();
    for (name, reaction, fits) in [
        ("closes", Reaction::Close, is_unreachable as fn(&ChainError) -> bool),
        ("cut mid-answer", Reaction::Cut, is_unreachable),
        ("slow", Reaction::Stall(Duration::from_secs(5)), is_timed_out),
        ("429", Reaction::Answer(429, html.clone()), |e| is_refused(e, 429)),
        ("401", Reaction::Answer(401, html.clone()), |e| is_refused(e, 401)),
        ("500", Reaction::Answer(500, html.clone()), |e| is_refused(e, 500)),
        ("redirect", Reaction::Answer(302, html.clone()), |e| is_refused(e, 302)),
        ("HTML", Reaction::Answer(200, html), is_nonsense),
        ("nothing", Reaction::Answer(200, String::new()), is_nonsense),
        ("50 MB", Reaction::Flood(50 * 1024 * 1024), is_nonsense),
        ("no members", Reaction::Answer(200, "[]".into()), is_nonsense),
        (
            "busy",
            Reaction::Answer(
                200,
                r#"{"id":null,"error":{"code":-32005,"message":"secret limit"}}"#.into(),
            ),
            |e| is_refused(e, 429),
        ),
    ] {
        let start = Instant::now();
        let error = inspect_error(&world, reaction).await;
        assert!(fits(&error), "{name}: {error:?}");
        assert!(start.elapsed() < Duration::from_secs(4), "{name}: {:?}", start.elapsed());
        world.endpoint.react(|_| Reaction::Pass);
        assert_eq!(world.reason(&payment()).await, None, "{name}: it recovers");
    }
}

fn is_unreachable(error: &ChainError) -> bool {
    matches!(error, ChainError::Unreachable { .. })
}
fn is_timed_out(error: &ChainError) -> bool {
    matches!(error, ChainError::TimedOut { .. })
}
fn is_nonsense(error: &ChainError) -> bool {
    matches!(error, ChainError::Nonsense { .. })
}
fn is_refused(error: &ChainError, want: u16) -> bool {
    matches!(error, ChainError::Refused { status, .. } if *status == want)
}

#[tokio::test]
async fn nothing_listens() {
    let chain = EvmChain::connect(config_for(vec!["http://127.0.0.1:1/secret".into()]));
    let chain = chain.await.unwrap();
    assert!(is_unreachable(&chain.inspect(&payment(), now()).await.unwrap_err()));
    assert_eq!(chain.broadcast(&[1]).await, Broadcast::Unknown);
    assert!(!format!("{chain:?}").contains("secret"));
    let https = EvmChain::connect(config_for(vec!["https://127.0.0.1:1/secret".into()]));
    assert!(is_unreachable(&https.await.unwrap().ready().await.unwrap_err()));
}

fn change(change: impl Fn(&mut Value, &Value) + Send + Sync + Clone + 'static) -> ReactBox {
    Box::new(move |request| {
        let (request, change) = (request.clone(), change.clone());
        Reaction::Change(Arc::new(move |answer| change(answer, &request)))
    })
}
type Lie = fn(&mut Value);
type ReactBox = Box<dyn Fn(&Value) -> Reaction + Send + Sync>;

#[tokio::test]
async fn members_may_come_in_any_order_but_must_come() {
    let world = world().await;
    world.endpoint.react(change(|answer, _| answer.as_array_mut().unwrap().reverse()));
    assert_eq!(world.reason(&payment()).await, None);
    for lost in 0..3 {
        world.endpoint.react(change(move |answer, _| {
            answer.as_array_mut().unwrap().remove(lost);
        }));
        assert!(is_nonsense(&world.chain.inspect(&payment(), now()).await.unwrap_err()));
        world.endpoint.react(|_| Reaction::Pass);
        assert_eq!(world.reason(&payment()).await, None);
    }
    for odd in [json!(7), json!({}), json!("x")] {
        let odd_id = odd.clone();
        world.endpoint.react(change(move |answer, _| answer[0]["id"] = odd_id.clone()));
        let error = world.chain.inspect(&payment(), now()).await.unwrap_err();
        assert!(is_nonsense(&error), "{odd}");
        world.endpoint.react(|_| Reaction::Pass);
        assert_eq!(world.reason(&payment()).await, None);
    }
}

#[tokio::test]
async fn a_member_of_another_type_is_no_verdict() {
    let world = world().await;
    for method in ["eth_blockNumber", "eth_getCode", "eth_call"] {
        for odd in [json!(null), json!(7), json!("0xzz"), json!([]), json!({})] {
            let value = odd.clone();
            world.endpoint.react(change(move |answer, request| {
                *result_of(answer, request, method) = value.clone();
            }));
            let verdict = world.chain.inspect(&payment(), now()).await;
            assert!(is_nonsense(&verdict.unwrap_err()), "{method} {odd}");
        }
    }
    world.endpoint.react(change(|answer, request| {
        let place = methods(request).iter().position(|name| name == "eth_call").unwrap();
        let id = answer[place]["id"].clone();
        answer[place] = json!({"id": id, "error": {"code": -32603, "message": "internal"}});
    }));
    assert!(is_nonsense(&world.chain.inspect(&payment(), now()).await.unwrap_err()));
}

#[tokio::test]
async fn e29_a_lying_receipt_is_nonsense_or_no_proof() {
    let world = world().await;
    let request = payment();
    let sent = [world.settle(&request).await];
    world.devnet.mine(1);
    let lies: [(&str, Lie); 7] = [
        ("another hash", |r| r["transactionHash"] = json!(B256::ZERO)),
        ("no status", |r| r["status"] = json!(null)),
        ("no logs", |r| r["logs"] = json!(null)),
        ("no block", |r| r["blockHash"] = json!(null)),
        ("text", |r| *r = json!("paid")),
        ("list", |r| *r = json!([])),
        ("removed", |r| r["logs"][0]["removed"] = json!(true)),
    ];
    for (name, lie) in lies {
        world.endpoint.react(change(move |answer, request| {
            if methods(request).iter().any(|m| m == "eth_getTransactionReceipt") {
                lie(result_of(answer, request, "eth_getTransactionReceipt"));
            }
        }));
        let watch = Watch { request: &request, transactions: &sent, head_at_claim: 0 };
        let seen = world.chain.observe(watch).await;
        assert!(is_nonsense(&seen.unwrap_err()), "{name}");
    }
    for (name, lie) in [
        ("failed", (|r| r["logs"] = json!([])) as Lie),
        ("invented block", |r| {
            r["blockHash"] = json!(B256::repeat_byte(9));
            for log in r["logs"].as_array_mut().unwrap() {
                log["blockHash"] = json!(B256::repeat_byte(9));
            }
        }),
    ] {
        world.endpoint.react(change(move |answer, request| {
            if methods(request).iter().any(|m| m == "eth_getTransactionReceipt") {
                lie(result_of(answer, request, "eth_getTransactionReceipt"));
            }
        }));
        let seen = world.observe(&request, &sent, 0).await;
        assert!(matches!(seen.outcome, Outcome::Unknown { .. }), "{name}: {seen:?}");
    }
}

#[tokio::test]
async fn a_final_block_ahead_of_the_head_is_nonsense_and_a_missing_one_is_tolerated() {
    let world = world().await;
    let request = payment();
    let watch = || Watch { request: &request, transactions: &[], head_at_claim: 0 };
    let set_final = |value: Value| {
        change(move |answer, request| {
            let calls = request.as_array().unwrap();
            let place = calls.iter().position(|call| call["params"][0] == "finalized").unwrap();
            answer[place]["result"] = value.clone();
        })
    };
    world.endpoint.react(set_final(json!(null)));
    assert_eq!(world.chain.observe(watch()).await.unwrap().finalized, 0);
    let ahead = json!({"number": "0xffff", "hash": B256::ZERO, "timestamp": "0xffffffffff"});
    world.endpoint.react(set_final(ahead));
    assert!(is_nonsense(&world.chain.observe(watch()).await.unwrap_err()));
}

#[tokio::test]
async fn reads_and_sends_go_to_the_next_endpoint_when_one_fails() {
    let devnet = Devnet::start(DevnetConfig::default()).await.unwrap();
    let bad = Endpoint::start(Some(devnet.url())).await;
    let good = Endpoint::start(Some(devnet.url())).await;
    let mut config = config_for(vec![bad.url.clone(), good.url.clone()]);
    config.endpoints.call_timeout = Duration::from_secs(1);
    let chain = EvmChain::connect(config).await.unwrap();
    good.take_requests();
    let world = World { devnet, endpoint: bad, chain };
    assert_eq!(world.reason(&payment()).await, None);
    assert_eq!(good.take_requests(), 0, "the first endpoint is enough");
    for reaction in [
        Reaction::Close,
        Reaction::Cut,
        Reaction::Answer(503, String::new()),
        Reaction::Answer(200, "null".into()),
        Reaction::Stall(Duration::from_secs(5)),
    ] {
        world.endpoint.react(move |_| reaction.clone());
        let request = payment();
        assert_eq!(world.reason(&request).await, None);
        let sent = [world.settle(&request).await];
        assert!(matches!(world.observe(&request, &sent, 0).await.outcome, Outcome::Paid(_)));
    }
    // A verdict needs one of them.
    good.react(|_| Reaction::Close);
    assert!(world.chain.inspect(&payment(), now()).await.is_err());
}

#[tokio::test]
async fn searches_for_logs_shrink_to_what_the_endpoint_allows() {
    let world = world().await;
    let request = payment();
    world.settle(&request).await;
    world.endpoint.react(|request| {
        // The chain is short, so every page is narrow: the first search of all is refused.
        static ASKED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
        let search = methods(request) == ["eth_getLogs"];
        if search && !ASKED.swap(true, std::sync::atomic::Ordering::SeqCst) {
            let error = json!({"code": -32602, "message": "range too wide"});
            let answer = json!({"id": request["id"], "error": error});
            return Reaction::Answer(200, answer.to_string());
        }
        Reaction::Pass
    });
    let seen = world.observe(&request, &[], 0).await;
    assert!(matches!(seen.outcome, Outcome::Paid(_)), "{seen:?}");
}

#[tokio::test]
async fn a_send_without_an_answer_is_unknown_even_when_it_arrived() {
    let world = world().await;
    let request = payment();
    let prepared = world.prepare(&request).await;
    world.endpoint.react(change(|answer, request| {
        if methods(request) == ["eth_sendRawTransaction"] {
            *answer = json!("lost on the way");
        }
    }));
    assert_eq!(world.chain.broadcast(&prepared.raw).await, Broadcast::Unknown);
    world.endpoint.react(|_| Reaction::Pass);
    let seen = world.observe(&request, &[prepared.transaction], 0).await;
    assert!(matches!(seen.outcome, Outcome::Paid(_)));
}

#[tokio::test]
async fn f8_a_hundred_payments_cost_a_hundred_requests() {
    let world = world().await;
    for _ in 0..100 {
        let verdict = world.chain.inspect(&payment(), now()).await.unwrap();
        assert!(matches!(verdict, Inspection::Valid { .. }));
    }
    assert_eq!(world.endpoint.take_requests(), 100);
}
