//! A process is killed while a payment is on its way. The buyer sends the same header again until
//! there is an answer: paid once, answered, and never told to pay again.

use std::time::{Duration, Instant};

use faregate_protocol::SettleResponse;
use faregate_protocol::header::{PAYMENT_RESPONSE, PAYMENT_SIGNATURE};

use crate::application::Application;
use crate::http::{self, Answer};
use crate::payment;
use crate::real_chain::{BUYER, BUYER_KEY, RealChain, SIGNER};
use crate::roles::{self, Extra, Role};

const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);

type Sent = std::thread::JoinHandle<std::io::Result<Answer>>;

/// A payment that is on its way.
struct World {
    chain: RealChain,
    application: Application,
    /// The process with the gate in it.
    gate: Role,
    /// The other one, if there are two.
    facilitator: Option<Role>,
    header: String,
}

impl World {
    fn of_one_process() -> Self {
        let chain = RealChain::start();
        let application = Application::start();
        let gate = roles::serve(&chain, &application.url);
        Self::with(chain, application, gate, None)
    }

    fn of_two_processes() -> Self {
        let chain = RealChain::start();
        let application = Application::start();
        let facilitator = roles::facilitator(&chain);
        let gate = roles::gate(&application.url, &facilitator.url);
        Self::with(chain, application, gate, Some(facilitator))
    }

    fn with(
        chain: RealChain,
        application: Application,
        gate: Role,
        facilitator: Option<Role>,
    ) -> Self {
        let header = payment::header_for(&gate.priced_url(), BUYER_KEY);
        Self { chain, application, gate, facilitator, header }
    }

    /// Sends the header and does not wait for the answer.
    fn pay(&self) -> Sent {
        let (url, header) = (self.gate.priced_url(), self.header.clone());
        std::thread::spawn(move || {
            http::try_request("GET", &url, &[(PAYMENT_SIGNATURE, &header)], b"")
        })
    }

    /// Sends the header and waits until the settlement is in the pool of the node; it is in no
    /// block before the chain is told to mine.
    fn pay_until_broadcast(&mut self) -> Sent {
        self.chain.hold_blocks();
        let sent = self.pay();
        let reader = &self.chain.reader;
        self.gate.service.until("broadcast", || {
            reader.transactions_of(SIGNER, "pending") > reader.transactions_of(SIGNER, "latest")
        });
        sent
    }

    /// Sends the header until it is served.
    fn insist(&self) -> Answer {
        let started = Instant::now();
        let url = self.gate.priced_url();
        loop {
            let answer = http::get_with(&url, &[(PAYMENT_SIGNATURE, &self.header)]);
            match answer.status {
                200 => return answer,
                409 | 503 => assert!(started.elapsed() < PATIENCE, "no end: {answer:?}"),
                _ => panic!("a buyer that paid was told {answer:?}"),
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn assert_served_and_paid_once(&self) {
        let answer = self.insist();
        let receipt: SettleResponse = answer.decoded(PAYMENT_RESPONSE);
        assert!(receipt.success);
        let params = serde_json::json!([receipt.transaction]);
        let mined = self.chain.reader.call("eth_getTransactionReceipt", &params);
        assert_eq!(mined["status"], "0x1");
        self.chain.assert_paid_once();
        let again = http::get_with(&self.gate.priced_url(), &[(PAYMENT_SIGNATURE, &self.header)]);
        assert!(again.repeats(&answer), "{again:?}");
        self.chain.assert_paid_once();
        assert_eq!(self.chain.reader.transactions_of(SIGNER, "pending"), 1, "one transaction");
    }
}

fn assert_no_answer(sent: Sent) {
    let answer = sent.join().unwrap();
    assert!(answer.is_err(), "{answer:?}");
}

#[test]
fn killed_after_broadcast_and_mined_while_down_it_is_paid_once_and_answered() {
    let mut world = World::of_one_process();
    let sent = world.pay_until_broadcast();
    world.gate.service.kill();
    assert_no_answer(sent);
    world.chain.release_blocks();
    world.chain.assert_paid_once();
    world.gate.start_again();
    world.assert_served_and_paid_once();
    let ran = world.application.ran();
    assert!(ran <= 2, "the handler ran {ran} times for two holders of the claim");
}

#[test]
fn killed_after_broadcast_and_mined_after_the_restart_it_is_paid_once_and_answered() {
    let mut world = World::of_one_process();
    let sent = world.pay_until_broadcast();
    world.gate.service.kill();
    assert_no_answer(sent);
    world.gate.start_again();
    let other = http::get(&world.gate.priced_url());
    assert_eq!(other.status, 402, "others are served as ever");
    world.chain.release_blocks();
    world.assert_served_and_paid_once();
}

#[test]
fn killed_twice_it_is_paid_once_and_answered() {
    let mut world = World::of_one_process();
    let sent = world.pay_until_broadcast();
    world.gate.service.kill();
    assert_no_answer(sent);
    world.gate.start_again();
    world.gate.start_again();
    world.chain.release_blocks();
    world.assert_served_and_paid_once();
}

#[test]
fn killed_while_the_application_runs_nothing_was_charged_and_the_retry_pays_once() {
    let mut world = World::of_one_process();
    world.application.hold(true);
    let sent = world.pay();
    let application = &world.application;
    world.gate.service.until("request to the application", || application.ran() == 1);
    world.gate.service.kill();
    assert_no_answer(sent);
    world.application.hold(false);
    assert_eq!(world.chain.reader.authorizations_used_by(BUYER), 0, "nothing was charged");
    world.gate.start_again();
    world.assert_served_and_paid_once();
    assert_eq!(world.application.ran(), 2);
}

#[test]
fn killed_while_an_application_runs_that_must_not_run_twice_nothing_is_charged_or_run_again() {
    let chain = RealChain::start();
    let application = Application::start();
    let extra = Extra { route: "rerun = false".to_owned(), ..Extra::default() };
    let gate = roles::serve_at(chain.rpc(), &application.url, &extra);
    let mut world = World::with(chain, application, gate, None);
    world.application.hold(true);
    let sent = world.pay();
    let application = &world.application;
    world.gate.service.until("request to the application", || application.ran() == 1);
    world.gate.service.kill();
    assert_no_answer(sent);
    world.application.hold(false);
    world.gate.start_again();
    let started = Instant::now();
    let answer = loop {
        let url = world.gate.priced_url();
        let answer = http::get_with(&url, &[(PAYMENT_SIGNATURE, &world.header)]);
        if !answer.text().contains("payment_in_progress") {
            break answer;
        }
        assert!(started.elapsed() < PATIENCE, "{answer:?}");
        std::thread::sleep(PAUSE);
    };
    assert_eq!(answer.status, 409, "{answer:?}");
    assert!(answer.text().contains("handler_interrupted"), "{answer:?}");
    assert_eq!(world.application.ran(), 1);
    assert_eq!(world.chain.reader.authorizations_used_by(BUYER), 0, "nothing was charged");
}

#[test]
fn a_gate_that_is_killed_while_its_facilitator_settles_answers_after_its_restart() {
    let mut world = World::of_two_processes();
    let sent = world.pay_until_broadcast();
    world.gate.service.kill();
    assert_no_answer(sent);
    world.chain.release_blocks();
    world.gate.start_again();
    world.assert_served_and_paid_once();
}

#[test]
fn a_facilitator_that_is_killed_after_broadcast_is_unknown_and_then_paid_once() {
    let mut world = World::of_two_processes();
    let sent = world.pay_until_broadcast();
    let facilitator = world.facilitator.as_mut().unwrap();
    facilitator.service.kill();
    let answer = sent.join().unwrap().unwrap();
    assert_eq!(answer.status, 503, "not known is not refused: {answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    world.chain.release_blocks();
    world.facilitator.as_mut().unwrap().start_again();
    world.assert_served_and_paid_once();
}
