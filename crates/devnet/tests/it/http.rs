//! The HTTP and JSON-RPC surface: batches, malformed input, limits, CORS, start and stop.

use std::time::{Duration, Instant};

use faregate_devnet::{Devnet, DevnetConfig, DevnetError, limits::MAX_BODY_BYTES};
use serde_json::{Value, json};

use crate::world::World;

#[tokio::test]
async fn a_batch_is_answered_in_order() {
    let world = World::start().await;
    let body = json!([
        { "jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": [] },
        { "jsonrpc": "2.0", "id": "two", "method": "eth_nonsense" },
        { "jsonrpc": "2.0", "method": "eth_blockNumber" },
        { "jsonrpc": "2.0", "id": 4, "method": "net_version" },
        5,
    ]);
    let replies: Value = world.post(body.to_string()).await.json().await.unwrap();
    assert_eq!(replies.as_array().unwrap().len(), 4);
    assert_eq!(replies[0], json!({ "jsonrpc": "2.0", "id": 1, "result": "0x14a34" }));
    assert_eq!((&replies[1]["id"], &replies[1]["error"]["code"]), (&json!("two"), &json!(-32601)));
    assert_eq!(replies[2]["result"], "84532");
    assert_eq!(replies[3]["error"]["code"], -32600);
}

#[tokio::test]
async fn malformed_input_gets_an_error_of_its_kind() {
    let world = World::start().await;
    for (body, code) in [
        ("", -32700),
        ("{", -32700),
        ("\u{feff}{}", -32700),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]} x"#, -32700),
        ("null", -32600),
        ("\"text\"", -32600),
        ("{}", -32600),
        ("[]", -32600),
        (r#"{"jsonrpc":"1.0","id":1,"method":"eth_chainId"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":{},"method":"eth_chainId"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":""}"#, -32601),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":"x"}"#, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":[]}"#, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0x12"]}"#, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[[],"latest"]}"#, -32602),
    ] {
        let response = world.post(body).await;
        assert_eq!(response.status(), 200, "{body}");
        assert_eq!(response.headers()["content-type"], "application/json");
        let reply: Value = response.json().await.unwrap();
        assert_eq!(reply["error"]["code"], code, "{body}");
        assert!(reply["error"]["message"].is_string());
    }
    // Not UTF-8, and nested beyond what any parser should follow.
    for body in [vec![0xff, 0xfe, 0x00], b"[".repeat(100_000)] {
        let reply: Value = world.post(body).await.json().await.unwrap();
        assert_eq!(reply["error"]["code"], -32700);
    }
}

#[tokio::test]
async fn limits_hold() {
    let world = World::start().await;
    let at_limit = " ".repeat(MAX_BODY_BYTES);
    assert_eq!(world.post(at_limit).await.status(), 200);
    assert_eq!(world.post(" ".repeat(MAX_BODY_BYTES + 1)).await.status(), 413);
    let one = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_chainId" });
    let reply: Value =
        world.post(Value::from(vec![one; 1_001]).to_string()).await.json().await.unwrap();
    assert_eq!(reply["error"]["code"], -32600);
}

#[tokio::test]
async fn a_notification_gets_an_empty_body() {
    let world = World::start().await;
    let response = world.post(r#"{"jsonrpc":"2.0","method":"eth_chainId"}"#).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.text().await.unwrap(), "");
}

#[tokio::test]
async fn every_web_page_may_ask() {
    let world = World::start().await;
    let preflight = world
        .client()
        .request(reqwest::Method::OPTIONS, world.chain.url())
        .header("origin", "http://localhost:5173")
        .header("access-control-request-method", "POST")
        .send()
        .await
        .unwrap();
    assert_eq!(preflight.status(), 204);
    assert_eq!(preflight.headers()["access-control-allow-origin"], "*");
    let response = world.post("{").await;
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    let get = world.client().get(world.chain.url()).send().await.unwrap();
    assert_eq!(get.status(), 405);
}

#[tokio::test]
async fn it_starts_and_stops_quickly() {
    let started = Instant::now();
    let world = World::start().await;
    assert!(started.elapsed() < Duration::from_millis(500), "{:?}", started.elapsed());
    world.rpc("eth_chainId", json!([])).await;
    let address = world.chain.address();
    let World { chain, .. } = world;
    let stopping = Instant::now();
    chain.shutdown().await;
    assert!(stopping.elapsed() < Duration::from_secs(1));
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn impossible_configurations_are_refused() {
    let taken = Devnet::start(DevnetConfig::default()).await.unwrap();
    let config = DevnetConfig { listen: taken.address(), ..DevnetConfig::default() };
    assert!(matches!(Devnet::start(config).await, Err(DevnetError::Listen { .. })));
    for config in [
        DevnetConfig { chain_id: 0, ..DevnetConfig::default() },
        DevnetConfig { block_gas_limit: 1, ..DevnetConfig::default() },
        DevnetConfig { block_time: Some(Duration::ZERO), ..DevnetConfig::default() },
    ] {
        assert!(matches!(Devnet::start(config).await, Err(DevnetError::Config(_))));
    }
}
