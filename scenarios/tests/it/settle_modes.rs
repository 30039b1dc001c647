//! When the money moves: before the answer leaves, before the application runs, or after, in whole
//! processes on a real chain.

use std::time::Duration;

use faregate_protocol::SettleResponse;
use faregate_protocol::header::{PAYMENT_RESPONSE, PAYMENT_SIGNATURE};
use serde_json::{Value, json};

use crate::http::{self, Answer};
use crate::payment;
use crate::real_chain::{BUYER_KEY, RealChain};
use crate::roles::{self, Extra, Role};
use crate::scripted_server::{Reaction, ScriptedServer};

const GOOD: &str = r#"{"weather":"sunny"}"#;
const POLL: Duration = Duration::from_millis(100);
const POLLS: usize = 600;
const STOP: Duration = Duration::from_secs(60);

/// A role whose one route has these keys; sections of their own may follow.
fn world(chain: &RealChain, upstream: &ScriptedServer, route: &str) -> Role {
    let extra = Extra { route: route.to_owned(), ..Extra::default() };
    roles::serve_at(chain.rpc(), &upstream.url, &extra)
}

fn deferred(chain: &RealChain, upstream: &ScriptedServer) -> Role {
    let route = "settle = \"deferred\"\n[gate.deferred]\nmax_per_payer = \"$0.02\"\n\
                 max_total = \"$0.02\"\ndrain_ms = 20000\n";
    world(chain, upstream, route)
}

fn present(role: &Role, header: &str) -> Answer {
    http::get_with(&role.priced_url(), &[(PAYMENT_SIGNATURE, header)])
}

fn receipt(answer: &Answer) -> SettleResponse {
    answer.decoded(PAYMENT_RESPONSE)
}

fn the_key(role: &Role) -> String {
    let listed = role.command(&["settlements", "ls", "--json"]).succeeded().json();
    listed["paymentKey"].as_str().unwrap().to_owned()
}

/// Where the money of a payment stands.
fn money(role: &Role, key: &str) -> Value {
    let shown = role.command(&["settlements", "show", key, "--json"]).succeeded().json();
    shown["claim"]["deferral"].clone()
}

fn until_settled(role: &Role, key: &str) {
    for _ in 0..POLLS {
        if money(role, key) == "SETTLED" {
            return;
        }
        std::thread::sleep(POLL);
    }
    panic!("not settled: {}", money(role, key));
}

#[test]
fn an_answer_leaves_while_no_block_is_mined_and_its_money_follows() {
    let chain = RealChain::start();
    let upstream = ScriptedServer::start(|_| Reaction::json(200, GOOD));
    let role = deferred(&chain, &upstream);
    let header = payment::header_for(&role.priced_url(), BUYER_KEY);
    chain.hold_blocks();
    let answer = present(&role, &header);
    assert_eq!((answer.status, answer.text().as_str()), (200, GOOD), "{answer:?}");
    let pending = receipt(&answer);
    assert!(!pending.success && pending.transaction.is_empty(), "{pending:?}");
    let key = the_key(&role);
    assert_ne!(money(&role, &key), "SETTLED");
    chain.release_blocks();
    until_settled(&role, &key);
    let again = present(&role, &header);
    assert_eq!((again.status, again.text().as_str()), (200, GOOD));
    assert!(receipt(&again).success && !receipt(&again).transaction.is_empty());
    assert_eq!(upstream.asked(), 1);
    chain.assert_paid_once();
    assert_eq!(role.command(&["debts", "ls"]).succeeded().stdout, "");
}

#[test]
fn a_process_that_is_told_to_stop_settles_what_is_due() {
    let chain = RealChain::start();
    let upstream = ScriptedServer::start(|_| Reaction::json(200, GOOD));
    let mut role = deferred(&chain, &upstream);
    let header = payment::header_for(&role.priced_url(), BUYER_KEY);
    chain.hold_blocks();
    assert_eq!(present(&role, &header).status, 200);
    role.service.signal("TERM");
    chain.release_blocks();
    assert!(role.service.ended(STOP).success());
    let key = the_key(&role);
    assert_eq!(money(&role, &key), "SETTLED");
    chain.assert_paid_once();
}

#[test]
fn killed_after_the_answer_the_money_is_asked_for_at_the_next_start() {
    let chain = RealChain::start();
    let upstream = ScriptedServer::start(|_| Reaction::json(200, GOOD));
    let mut role = deferred(&chain, &upstream);
    let header = payment::header_for(&role.priced_url(), BUYER_KEY);
    chain.hold_blocks();
    assert_eq!(present(&role, &header).status, 200);
    role.service.kill();
    chain.reader.call("anvil_dropAllTransactions", &json!([]));
    let key = the_key(&role);
    assert!(["QUEUED", "SETTLING"].iter().any(|state| money(&role, &key) == *state));
    assert_eq!(role.command(&["debts", "ls"]).succeeded().stdout, "", "there is time left");
    chain.release_blocks();
    role.start_again();
    until_settled(&role, &key);
    chain.assert_paid_once();
}

#[test]
fn an_application_that_is_dear_runs_for_money_that_has_moved() {
    let chain = RealChain::start();
    let upstream = ScriptedServer::start(|_| Reaction::json(200, GOOD));
    let mut role = world(&chain, &upstream, "settle = \"before-run\"\nrerun = false\n");
    let paid = present(&role, &payment::header_for(&role.priced_url(), BUYER_KEY));
    assert_eq!((paid.status, receipt(&paid).success), (200, true), "{paid:?}");
    assert_eq!(upstream.asked(), 1);
    chain.assert_paid_once();
    // A failure after the money moved is a debt, which an operator closes.
    upstream.always(Reaction::json(500, r#"{"sorry":true}"#));
    let header = payment::header_for(&role.priced_url(), BUYER_KEY);
    let failed = present(&role, &header);
    assert_eq!(failed.status, 500, "{failed:?}");
    assert!(receipt(&failed).success);
    let again = present(&role, &header);
    assert_eq!((again.status, again.json()["error"].as_str()), (409, Some("payment_owed")));
    assert_eq!(upstream.asked(), 2);
    let debt = role.command(&["debts", "ls", "--json"]).succeeded().json();
    assert_eq!((&debt["owedBy"], &debt["amount"]), (&json!("payee"), &json!("10000")));
    let key = debt["paymentKey"].as_str().unwrap();
    let shown = role.command(&["debts", "show", &key[..8]]).succeeded().stdout;
    assert!(shown.contains("handler_failed") && shown.contains("open"), "{shown}");
    let asked = role.command(&["debts", "close", key, "--note", "refunded"]).succeeded();
    assert!(asked.stdout.contains("nothing was changed"), "{asked:?}");
    let refused = role.command(&["debts", "close", key, "--note", "refunded", "--apply"]);
    assert!(!refused.status.success() && refused.stderr.contains("in use"), "{refused:?}");
    role.service.kill();
    let closed = role.command(&["debts", "close", key, "--note", "refunded", "--apply"]);
    assert!(closed.succeeded().stdout.contains("owed no more"));
    assert_eq!(role.command(&["debts", "ls"]).succeeded().stdout, "");
    let all = role.command(&["debts", "ls", "--all", "--json"]).succeeded().json();
    assert!(all["closedAt"].is_string(), "{all}");
}
