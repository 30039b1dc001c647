//! The endpoint of the chain misbehaves, before a payment and in the middle of one: nothing is
//! granted on nonsense, nothing that was sent is lost, and all is well again when it is. E20, E25,
//! E29, E30, F15, H15.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use faregate_protocol::header::PAYMENT_SIGNATURE;
use serde_json::{Value, json};

use crate::application::Application;
use crate::dev_chain::DevChain;
use crate::draft::{Draft, PRICE};
use crate::http::{self, Answer};
use crate::roles::{self, Extra, Role};
use crate::scripted_server::{Reaction, ScriptedServer};

const RPC_TIMEOUT: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);
const FLOOD: usize = 50 << 20;
/// What the process may grow by, in KiB: less than the flood.
const GROWTH_KIB: u64 = 32 * 1024;
const CANARY: &str = "canary4f1d";
const SEND: &[u8] = b"eth_sendRawTransaction";

struct World {
    chain: DevChain,
    endpoint: ScriptedServer,
    application: Application,
    role: Role,
    granted: u64,
}

impl World {
    fn start() -> Self {
        let chain = DevChain::start();
        let endpoint = ScriptedServer::before(chain.rpc());
        let application = Application::start();
        // Keys of endpoints are in their URLs.
        let url = endpoint.url.replacen("http://", &format!("http://user:{CANARY}@"), 1);
        let role = roles::serve_at(&url, &application.url, &extra());
        Self { chain, endpoint, application, role, granted: 0 }
    }

    fn heal(&self) {
        self.endpoint.always(Reaction::Pass(self.chain.rpc().to_owned()));
    }

    fn pay(&mut self, header: &str) -> Answer {
        let answer = http::get_with(&self.role.priced_url(), &[(PAYMENT_SIGNATURE, header)]);
        self.granted += u64::from(answer.status == 200);
        answer
    }

    /// Every answer that was given is paid, and nothing else is.
    fn assert_conserved(&self, case: &str) {
        assert_eq!(self.chain.paid(), u128::from(self.granted * PRICE), "{case}");
    }
}

fn extra() -> Extra {
    Extra {
        chain: format!("rpc_timeout_ms = {}", RPC_TIMEOUT.as_millis()),
        facilitator: "settle_wait_ms = 1000".to_owned(),
        ..Extra::default()
    }
}

fn faults(rpc: &str) -> Vec<(&'static str, Reaction)> {
    let late = Reaction::After(2 * RPC_TIMEOUT, Box::new(Reaction::Pass(rpc.to_owned())));
    let limited = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32005,"message":"rate limit"}}"#;
    vec![
        ("gone", Reaction::Close),
        ("slow", late),
        ("429", Reaction::json(429, r#"{"message":"too many requests"}"#)),
        ("rate limit inside of a 200", Reaction::json(200, limited)),
        ("503 in HTML", Reaction::html(503)),
        ("200 in HTML", Reaction::html(200)),
        ("cut in the middle", Reaction::half(limited)),
        ("cut in the head", Reaction::Raw(b"HTTP/1.1 200 OK\r\ncontent-ty".to_vec())),
        ("empty", Reaction::json(200, "")),
        ("object", Reaction::json(200, "{}")),
        ("array", Reaction::json(200, "[]")),
        ("null", Reaction::json(200, "null")),
        ("50 MB", Reaction::Flood(FLOOD)),
    ]
}

#[test]
fn an_endpoint_that_misbehaves_gives_no_verdict_and_costs_nothing() {
    let mut world = World::start();
    let before = world.role.service.resident_kib();
    for (case, fault) in faults(world.chain.rpc()) {
        let (header, ran) = (Draft::new().header(), world.application.ran());
        world.endpoint.always(fault);
        let started = Instant::now();
        let verdict = world.role.ask("verify", &Draft::new().body());
        let words = format!("{verdict:?} {}", verdict.text());
        assert!(!words.contains(CANARY) && !words.contains("127.0.0.1"), "{case}: {words}");
        assert_eq!(verdict.status, 503, "{case}: {verdict:?}");
        assert_eq!(verdict.json()["code"], "chain_unavailable", "{case}");
        let outcome = world.role.ask("settle", &Draft::new().body());
        assert_eq!(outcome.status, 503, "{case}: {outcome:?}");
        assert_eq!(outcome.json()["code"], "chain_unavailable", "{case}");
        let answer = world.pay(&header);
        assert!([502, 503].contains(&answer.status), "{case}: {answer:?}");
        assert!(!answer.text().contains(CANARY), "{case}: {answer:?}");
        assert!(started.elapsed() < PATIENCE, "{case}");
        assert_eq!(world.application.ran(), ran, "{case}: no handler runs without a verdict");
        world.heal();
        let answer = world.pay(&header);
        assert_eq!(answer.status, 200, "{case}: {answer:?}");
        world.assert_conserved(case);
        assert!(world.role.service.is_alive(), "{case}");
    }
    assert!(!world.role.service.stderr().contains(CANARY), "the URL's key is in the log");
    let now = world.role.service.resident_kib();
    println!("{} MiB resident after {} MB answers", now / 1024, FLOOD >> 20);
    assert!(now.saturating_sub(before) < GROWTH_KIB, "{before} KiB, then {now} KiB");
}

/// From the moment that the transaction is sent, the endpoint does as `fault` says; whether the
/// chain gets the transaction is `arrives`.
fn in_the_middle(case: &str, fault: &Reaction, arrives: bool) {
    let world = World::start();
    let rpc = world.chain.rpc().to_owned();
    let (begun, fault) = (Arc::new(AtomicBool::new(false)), fault.clone());
    world.endpoint.react(move |asked| {
        let sends = asked.body.windows(SEND.len()).any(|part| part == SEND);
        let first = sends && !begun.swap(true, Ordering::SeqCst);
        match (first && arrives, begun.load(Ordering::SeqCst)) {
            (true, _) => Reaction::Swallow(rpc.clone()),
            (false, true) => fault.clone(),
            (false, false) => Reaction::Pass(rpc.clone()),
        }
    });
    let draft = Draft::new();
    let outcome = world.role.ask("settle", &draft.body());
    assert_eq!(outcome.status, 200, "{case}: {outcome:?}");
    assert_eq!(outcome.json()["errorReason"], "settlement_pending", "{case}: {outcome:?}");
    assert_eq!(world.chain.sent(), u64::from(arrives), "{case}");
    world.heal();
    let settled = until_settled(case, &world.role, &draft);
    let params = json!([settled["transaction"]]);
    let receipt = world.chain.reader.call("eth_getTransactionReceipt", &params);
    assert_eq!(receipt["status"], "0x1", "{case}");
    assert_eq!((world.chain.sent(), world.chain.paid()), (1, u128::from(PRICE)), "{case}");
}

fn until_settled(case: &str, role: &Role, draft: &Draft) -> Value {
    let started = Instant::now();
    loop {
        let outcome = role.ask("settle", &draft.body()).json();
        if outcome["success"] == true {
            return outcome;
        }
        assert_eq!(outcome["errorReason"], "settlement_pending", "{case}");
        assert!(started.elapsed() < PATIENCE, "{case}: no end: {outcome}");
        std::thread::sleep(PAUSE);
    }
}

#[test]
fn an_endpoint_that_fails_while_a_payment_is_sent_loses_nothing() {
    let faults = faults("http://127.0.0.1:9");
    std::thread::scope(|scope| {
        for (case, fault) in faults.iter().filter(|(case, _)| *case != "slow") {
            for arrives in [true, false] {
                scope.spawn(move || in_the_middle(case, fault, arrives));
            }
        }
    });
}

/// Another chain id than the configured one.
fn lie(rpc: &str) -> Reaction {
    Reaction::Change(
        rpc.to_owned(),
        Arc::new(|body| String::from_utf8(body).unwrap().replace("0x14a34", "0x1").into_bytes()),
    )
}

#[test]
fn an_endpoint_of_another_chain_ends_the_start() {
    let chain = DevChain::start();
    let endpoint = ScriptedServer::before(chain.rpc());
    endpoint.always(lie(chain.rpc()));
    let mut role = roles::facilitator_unready(&endpoint.url, &Extra::default());
    let status = role.service.ended(PATIENCE);
    assert!(!status.success(), "{status}");
    let said = role.service.stderr();
    assert!(said.contains("84532") && said.contains("serves chain 1,"), "{said}");
}

#[test]
fn an_endpoint_that_turns_into_another_chain_gets_no_transaction() {
    let mut world = World::start();
    // It goes away and comes back as another.
    world.endpoint.always(Reaction::Close);
    assert_eq!(world.role.ask("verify", &Draft::new().body()).status, 503);
    world.endpoint.always(lie(world.chain.rpc()));
    let draft = Draft::new();
    let verdict = world.role.ask("verify", &draft.body());
    assert_ne!(verdict.status, 200, "{verdict:?}");
    let outcome = world.role.ask("settle", &draft.body());
    assert_ne!(outcome.json()["success"], true, "{outcome:?}");
    let answer = world.pay(&draft.header());
    assert!([502, 503].contains(&answer.status), "{answer:?}");
    let url = world.role.readiness_url();
    world.role.service.until("doubt", || http::get(&url).status == 503);
    assert_eq!(world.chain.sent(), 0);
    world.heal();
    assert_eq!(world.pay(&draft.header()).status, 200);
    world.assert_conserved("healed");
}

#[test]
fn a_facilitator_whose_chain_is_down_starts_and_is_ready_when_the_chain_is() {
    let chain = DevChain::start();
    let endpoint = ScriptedServer::before(chain.rpc());
    endpoint.always(Reaction::Close);
    let mut role = roles::facilitator_unready(&endpoint.url, &extra());
    let url = role.readiness_url();
    let answers = || http::try_request("GET", &url, &[], b"").is_ok();
    role.service.until("an answer", answers);
    assert_eq!(http::get(&url).status, 503);
    let verdict = role.ask("verify", &Draft::new().body());
    assert_eq!(verdict.status, 503, "{verdict:?}");
    endpoint.always(Reaction::Pass(chain.rpc().to_owned()));
    role.ready();
    until_settled("up again", &role, &Draft::new());
}
