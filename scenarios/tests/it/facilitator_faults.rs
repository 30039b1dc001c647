//! The facilitator behind a gate is gone, slow or talks nonsense: before settlement nothing is
//! charged, after it nobody is told to pay again, and what was paid is served. P18, F16, O16.

use std::time::{Duration, Instant};

use faregate_protocol::header::{PAYMENT_RESPONSE, PAYMENT_SIGNATURE};

use crate::application::Application;
use crate::dev_chain::DevChain;
use crate::draft::{Draft, PRICE};
use crate::http::{self, Answer};
use crate::roles::{self, Extra, Role};
use crate::scripted_server::{Reaction, ScriptedServer};

const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);
const FLOOD: usize = 50 << 20;
/// What the gate may grow by, in KiB: less than the flood.
const GROWTH_KIB: u64 = 32 * 1024;
/// Longer than the gate waits for a verdict.
const NO_VERDICT: Duration = Duration::from_secs(12);
/// Longer than the gate waits for a settlement.
const NO_OUTCOME: Duration = Duration::from_secs(18);

struct World {
    chain: DevChain,
    facilitator: Role,
    /// Between the gate and the facilitator.
    wire: ScriptedServer,
    application: Application,
    gate: Role,
    granted: u64,
}

impl World {
    fn start() -> Self {
        let chain = DevChain::start();
        let facilitator = roles::facilitator_at(chain.rpc(), &Extra::default());
        let wire = ScriptedServer::before(&facilitator.url);
        let application = Application::start();
        let gate = roles::gate(&application.url, &wire.url);
        Self { chain, facilitator, wire, application, gate, granted: 0 }
    }

    /// From now on `path` fails like this.
    fn fail(&self, path: &'static str, fault: Reaction) {
        let url = self.facilitator.url.clone();
        self.wire.react(move |asked| {
            if asked.target == path { fault.clone() } else { Reaction::Pass(url.clone()) }
        });
    }

    fn heal(&self) {
        self.wire.always(Reaction::Pass(self.facilitator.url.clone()));
    }

    fn pay(&mut self, header: &str) -> Answer {
        let answer = http::get_with(&self.gate.priced_url(), &[(PAYMENT_SIGNATURE, header)]);
        self.granted += u64::from(answer.status == 200);
        answer
    }

    /// Sends the header until it is served.
    fn insist(&mut self, case: &str, header: &str) {
        let started = Instant::now();
        let served = loop {
            let answer = self.pay(header);
            match answer.status {
                200 => break answer,
                409 | 503 => assert!(started.elapsed() < PATIENCE, "{case}: {answer:?}"),
                _ => panic!("{case}: a buyer that may have paid was told {answer:?}"),
            }
            std::thread::sleep(PAUSE);
        };
        let ran = self.application.ran();
        let again = http::get_with(&self.gate.priced_url(), &[(PAYMENT_SIGNATURE, header)]);
        assert!(again.repeats(&served), "{case}: {again:?}");
        assert_eq!(self.application.ran(), ran, "{case}: served once");
    }

    fn assert_conserved(&self, case: &str) {
        assert_eq!(self.chain.paid(), u128::from(self.granted * PRICE), "{case}");
        assert_eq!(self.chain.sent(), self.granted, "{case}: one transaction for each");
    }
}

fn nonsense() -> Vec<(&'static str, Reaction)> {
    vec![
        ("gone", Reaction::Close),
        ("200 in HTML", Reaction::html(200)),
        ("503 in HTML", Reaction::html(503)),
        ("500", Reaction::json(500, r#"{"error":"Internal Server Error"}"#)),
        ("cut in the middle", Reaction::half(r#"{"isValid":true,"success":true}"#)),
        ("empty", Reaction::json(200, "")),
        ("object", Reaction::json(200, "{}")),
        ("array", Reaction::json(200, "[]")),
        ("array that looks like a verdict", Reaction::json(200, "[true]")),
        ("words", Reaction::json(200, r#"{"isValid":"yes","success":"yes"}"#)),
        ("success without a transaction", Reaction::json(200, r#"{"success":true}"#)),
        ("redirect", Reaction::Raw(redirect())),
        ("50 MB", Reaction::Flood(FLOOD)),
    ]
}

fn redirect() -> Vec<u8> {
    b"HTTP/1.1 307 Elsewhere\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n".to_vec()
}

#[test]
fn without_a_verdict_nothing_runs_and_nothing_is_charged() {
    let mut world = World::start();
    let before = world.gate.service.resident_kib();
    for (case, fault) in nonsense() {
        let (header, ran) = (Draft::new().header(), world.application.ran());
        world.fail("/verify", fault);
        let answer = world.pay(&header);
        assert_eq!(answer.status, 502, "{case}: {answer:?}");
        assert_eq!(answer.json()["error"], "facilitator_unavailable", "{case}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{case}");
        assert_eq!(world.application.ran(), ran, "{case}");
        world.heal();
        assert_eq!(world.pay(&header).status, 200, "{case}");
        world.assert_conserved(case);
    }
    assert!(world.gate.service.is_alive());
    let now = world.gate.service.resident_kib();
    println!("{} MiB resident after {} MB answers", now / 1024, FLOOD >> 20);
    assert!(now.saturating_sub(before) < GROWTH_KIB, "{before} KiB, then {now} KiB");
}

#[test]
fn without_an_outcome_nobody_is_told_to_pay_again_and_the_retry_is_served() {
    let mut world = World::start();
    let swallowed = Reaction::Swallow(world.facilitator.url.clone());
    for (case, fault) in nonsense().into_iter().chain([("settled in silence", swallowed)]) {
        let header = Draft::new().header();
        world.fail("/settle", fault);
        let answer = world.pay(&header);
        assert_eq!(answer.status, 503, "{case}: {answer:?}");
        assert!(answer.header("retry-after").is_some(), "{case}: {answer:?}");
        assert!(answer.header(PAYMENT_RESPONSE).is_some(), "{case}: {answer:?}");
        assert!(!answer.text().contains("served"), "{case}: {answer:?}");
        world.heal();
        world.insist(case, &header);
        world.assert_conserved(case);
    }
    assert!(world.gate.service.is_alive());
}

#[test]
fn a_facilitator_that_is_too_slow_with_its_verdict_is_unavailable() {
    let mut world = World::start();
    let url = world.facilitator.url.clone();
    world.fail("/verify", Reaction::After(NO_VERDICT, Box::new(Reaction::Pass(url))));
    let header = Draft::new().header();
    let answer = world.pay(&header);
    assert_eq!(answer.status, 502, "{answer:?}");
    assert_eq!(world.application.ran(), 0);
    world.heal();
    assert_eq!(world.pay(&header).status, 200);
    world.assert_conserved("slow verdict");
}

#[test]
fn a_facilitator_that_is_too_slow_with_its_outcome_leaves_it_open() {
    let mut world = World::start();
    let url = world.facilitator.url.clone();
    world.fail("/settle", Reaction::After(NO_OUTCOME, Box::new(Reaction::Pass(url))));
    let header = Draft::new().header();
    let answer = world.pay(&header);
    assert_eq!(answer.status, 503, "{answer:?}");
    world.heal();
    world.insist("slow outcome", &header);
    world.assert_conserved("slow outcome");
}

#[test]
fn a_facilitator_that_is_down_costs_nothing_and_is_found_again() {
    let mut world = World::start();
    let header = Draft::new().header();
    world.facilitator.service.kill();
    let answer = world.pay(&header);
    assert_eq!(answer.status, 502, "{answer:?}");
    assert_eq!(world.application.ran(), 0);
    assert_eq!(http::get(&world.gate.priced_url()).status, 402, "the price is still told");
    world.facilitator.start_again();
    assert_eq!(world.pay(&header).status, 200);
    world.assert_conserved("down");
}
