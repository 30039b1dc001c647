//! Official clients, servers and facilitators against ours, on a real node with the real token.
//! Each row: the payee's balance, exactly one transfer, and a replay that buys nothing more.

use std::path::Path;

use faregate_protocol::header::PAYMENT_SIGNATURE;
use serde_json::Value;

use crate::node_server::NodeServer;
use crate::official_client::fetch_pays;
use crate::real_chain::{BUYER_KEY, PAYEE, RealChain};
use crate::service::{self, Finished};
use crate::{http, payment, roles};

/// `faregate pay`, with a state folder of its own.
pub(crate) fn faregate_pays(url: &str, state: &Path) -> Finished {
    let mut command = service::faregate();
    command.args(["pay", url, "--json", "--key", "env:BUYER_KEY"]);
    service::run(command.env("BUYER_KEY", BUYER_KEY).env("XDG_STATE_HOME", state))
}

/// What our gate served for a header it serves again, to the letter; to every other request the
/// header is refused. Nothing moves.
pub(crate) fn assert_buys_nothing_more(
    chain: &RealChain,
    url: &str,
    header: (&str, &str),
    body: &Value,
) {
    let again = http::get_with(url, &[header]);
    assert_eq!((again.status, again.text().as_str()), (200, body.as_str().unwrap()));
    let elsewhere = http::get_with(&format!("{url}?more"), &[header]);
    assert_eq!(elsewhere.status, 409, "{elsewhere:?}");
    chain.assert_paid_once();
}

#[test]
fn a_chain_without_base_fees_is_settled_on_with_legacy_transactions() {
    let chain = RealChain::start_before_london();
    let app = NodeServer::start("express-app.mjs", &[]);
    let legacy = "transactions = \"legacy\"".to_owned();
    let extra = roles::Extra { chain: legacy, ..roles::Extra::default() };
    let role = roles::serve_at(chain.rpc(), &app.url, &extra);
    let said = fetch_pays(&role.priced_url(), BUYER_KEY);
    assert_eq!(said["status"], 200, "{said}");
    let transaction = said["receipt"]["transaction"].clone();
    let sent = chain.reader.call("eth_getTransactionByHash", &serde_json::json!([transaction]));
    assert_eq!(sent["type"], "0x0", "{sent}");
    let block = chain.reader.call("eth_getBlockByNumber", &serde_json::json!(["latest", false]));
    assert!(block.get("baseFeePerGas").is_none_or(Value::is_null), "{block}");
    chain.assert_paid_once();
}

#[test]
fn the_official_client_pays_our_gate() {
    let chain = RealChain::start();
    let app = NodeServer::start("express-app.mjs", &[]);
    let role = roles::serve(&chain, &app.url);
    let said = fetch_pays(&role.priced_url(), BUYER_KEY);
    assert_eq!(said["status"], 200, "{said}");
    assert_eq!(said["receipt"]["success"], true, "{said}");
    chain.assert_paid_once();
    let header = said["payment"].as_str().unwrap();
    let header = (PAYMENT_SIGNATURE, header);
    assert_buys_nothing_more(&chain, &role.priced_url(), header, &said["body"]);
    assert_eq!(app.served(), 1);
}

/// Our buyer against the official middleware, whoever settles for it.
fn our_buyer_pays_express(chain: &RealChain, facilitator: &str) {
    let seller = NodeServer::start("seller.mjs", &[facilitator, PAYEE]);
    let url = format!("{}/paid", seller.url);
    let state = tempfile::tempdir().unwrap();
    let said = faregate_pays(&url, state.path()).succeeded().json();
    assert_eq!(said["status"], 200, "{said}");
    assert_eq!(said["paid"], true, "{said}");
    assert_eq!(said["pay_to"], PAYEE, "{said}");
    chain.assert_paid_once();
    assert_eq!(seller.served(), 1);

    // Signed here, since our buyer shows nobody its header: served once, then refused.
    let header = payment::header_for(&url, BUYER_KEY);
    let pay = || http::get_with(&url, &[(PAYMENT_SIGNATURE, header.as_str())]);
    let first = pay();
    assert_eq!(first.status, 200, "{first:?}");
    let again = pay();
    assert_eq!(again.status, 402, "{again:?}");
    assert_eq!(chain.reader.transfers_to(PAYEE), 2, "one for each header");
}

#[test]
fn our_buyer_pays_express_backed_by_our_facilitator() {
    let chain = RealChain::start();
    let facilitator = roles::facilitator(&chain);
    our_buyer_pays_express(&chain, &facilitator.url);
}

#[test]
fn our_buyer_pays_express_backed_by_the_official_facilitator() {
    let chain = RealChain::start();
    let facilitator = NodeServer::start("facilitator.mjs", &[chain.rpc()]);
    our_buyer_pays_express(&chain, &facilitator.url);
}

#[test]
fn the_official_client_pays_express_backed_by_our_facilitator() {
    let chain = RealChain::start();
    let facilitator = roles::facilitator(&chain);
    let seller = NodeServer::start("seller.mjs", &[&facilitator.url, PAYEE]);
    let url = format!("{}/paid", seller.url);
    let said = fetch_pays(&url, BUYER_KEY);
    assert_eq!(said["status"], 200, "{said}");
    assert_eq!(said["receipt"]["success"], true, "{said}");
    chain.assert_paid_once();
    let header = said["payment"].as_str().unwrap();
    let again = http::get_with(&url, &[(PAYMENT_SIGNATURE, header)]);
    assert_eq!(again.status, 402, "{again:?}");
    chain.assert_paid_once();
    assert_eq!(seller.served(), 1);
}

/// An application of somebody else behind `faregate gate`, with `faregate facilitator` as a second
/// process.
fn an_application_behind_the_gate_is_paid(script: &str, framework: &str) {
    let chain = RealChain::start();
    let app = NodeServer::start(script, &[]);
    let facilitator = roles::facilitator(&chain);
    let gate = roles::gate(&app.url, &facilitator.url);
    assert_eq!(http::get(&gate.priced_url()).status, 402);
    assert_eq!(http::get(&format!("{}/served", gate.url)).status, 404, "not a route of the gate");

    let said = fetch_pays(&gate.priced_url(), BUYER_KEY);
    assert_eq!(said["status"], 200, "{said}");
    assert!(said["body"].as_str().unwrap().contains(framework), "{said}");
    chain.assert_paid_once();
    let header = said["payment"].as_str().unwrap();
    let header = (PAYMENT_SIGNATURE, header);
    assert_buys_nothing_more(&chain, &gate.priced_url(), header, &said["body"]);
    assert_eq!(app.served(), 1);
}

#[test]
fn an_express_application_behind_gate_and_facilitator_is_paid() {
    an_application_behind_the_gate_is_paid("express-app.mjs", "express");
}

#[test]
fn a_hono_application_behind_gate_and_facilitator_is_paid() {
    an_application_behind_the_gate_is_paid("hono-app.mjs", "hono");
}

#[test]
fn a_next_application_behind_gate_and_facilitator_is_paid() {
    an_application_behind_the_gate_is_paid("next-app.mjs", "next");
}
