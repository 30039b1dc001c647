//! Envelopes and malformed input, without a network.

use serde_json::{Value, json};

use super::answer;
use crate::{chain::Chain, config::DevnetConfig, node::Node};

fn node() -> Node {
    Node::new(Chain::new(&DevnetConfig::default()).unwrap()).0
}

fn ask(node: &Node, body: &str) -> Option<Value> {
    answer(node, body.as_bytes()).map(|text| serde_json::from_str(&text).unwrap())
}

fn error_code(node: &Node, body: &str) -> i64 {
    ask(node, body).unwrap()["error"]["code"].as_i64().unwrap()
}

#[test]
fn envelopes_follow_json_rpc() {
    let node = node();
    let whole = ask(&node, r#"{"jsonrpc":"2.0","id":"a","method":"eth_chainId"}"#).unwrap();
    assert_eq!(whole, json!({"jsonrpc":"2.0","id":"a","result":"0x14a34"}));
    assert_eq!(error_code(&node, "{"), -32_700);
    assert_eq!(error_code(&node, "[]"), -32_600);
    assert_eq!(error_code(&node, "1"), -32_600);
    assert_eq!(error_code(&node, r#"{"id":1,"method":"eth_chainId"}"#), -32_600);
    assert_eq!(error_code(&node, r#"{"jsonrpc":"2.0","id":1}"#), -32_600);
    assert_eq!(error_code(&node, r#"{"jsonrpc":"2.0","id":[],"method":"x"}"#), -32_600);
    assert_eq!(error_code(&node, r#"{"jsonrpc":"2.0","id":1,"method":"nope"}"#), -32_601);
    let named = r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":{}}"#;
    assert_eq!(error_code(&node, named), -32_602);
}

#[test]
fn notifications_get_no_answer() {
    let node = node();
    assert_eq!(ask(&node, r#"{"jsonrpc":"2.0","method":"eth_chainId"}"#), None);
    assert_eq!(ask(&node, r#"[{"jsonrpc":"2.0","method":"nope"}]"#), None);
    let mixed = r#"[{"jsonrpc":"2.0","method":"eth_chainId"},
        {"jsonrpc":"2.0","id":null,"method":"eth_chainId"}, 7]"#;
    let replies = ask(&node, mixed).unwrap();
    assert_eq!(replies.as_array().unwrap().len(), 2);
    assert_eq!(replies[0]["id"], Value::Null);
    assert_eq!(replies[1]["error"]["code"], -32_600);
}

/// Every method, every kind of wrong parameter in every place: an answer, never a panic.
#[test]
fn wrong_parameters_never_panic() {
    let node = node();
    let values = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1.5),
        json!(u64::MAX),
        json!(""),
        json!("0x"),
        json!("0xzz"),
        json!("0x0"),
        json!("latest"),
        json!("0x0x00"),
        json!("é0x"),
        json!(format!("0x{}", "f".repeat(64))),
        json!(format!("0x{}", "f".repeat(65))),
        json!(format!("0x{}", "1".repeat(40))),
        json!([]),
        json!([null, [], {}]),
        json!({}),
        json!({"blockHash": 1, "blockNumber": "0x1"}),
        json!({"to": "0x1", "gas": "0xffffffffffffffffff"}),
        json!({"data": "0x60", "gas": "0xffffffffffffffff", "value": "0x1"}),
        json!({"maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x2", "accessList": [{}]}),
        json!({"blockStateCalls": [{"calls": [{}], "blockOverrides": {"number": "0xffffffffffffffff"}}]}),
        json!({"topics": [null, null, null, null, null], "fromBlock": "pending"}),
    ];
    for method in METHODS {
        for one in &values {
            for two in &values {
                for params in [json!([one]), json!([one, two]), json!([two, one, one, two])] {
                    let body = json!({"jsonrpc":"2.0","id":1,"method":method,"params":params});
                    let reply = ask(&node, &body.to_string()).unwrap();
                    assert_eq!(reply["id"], 1);
                    assert!(reply.get("result").is_some() ^ reply.get("error").is_some());
                    assert_ne!(reply["error"]["code"], -32_601, "{method}");
                }
            }
        }
    }
}

// evm_mine and anvil_mine are left out: mining thousands of blocks here tests nothing.
const METHODS: &[&str] = &[
    "web3_sha3",
    "eth_getBalance",
    "eth_getCode",
    "eth_getStorageAt",
    "eth_getTransactionCount",
    "eth_getBlockByNumber",
    "eth_getBlockByHash",
    "eth_getBlockTransactionCountByNumber",
    "eth_getBlockTransactionCountByHash",
    "eth_getTransactionByBlockNumberAndIndex",
    "eth_getTransactionByBlockHashAndIndex",
    "eth_getTransactionByHash",
    "eth_getTransactionReceipt",
    "eth_getBlockReceipts",
    "eth_getLogs",
    "eth_call",
    "eth_estimateGas",
    "eth_simulateV1",
    "eth_feeHistory",
    "eth_sendRawTransaction",
    "txpool_status",
    "txpool_content",
    "evm_increaseTime",
    "evm_setNextBlockTimestamp",
    "evm_revert",
    "anvil_setNextBlockBaseFeePerGas",
    "anvil_dropTransaction",
    "anvil_reorg",
    "anvil_setBalance",
    "anvil_setCode",
    "anvil_setNonce",
    "anvil_setStorageAt",
];
