//! `faregate serve` is killed while a payment is on its way. The buyer sends the same header again
//! until there is an answer: paid once, answered, and never told to pay again.

use std::time::{Duration, Instant};

use faregate_protocol::SettleResponse;
use faregate_protocol::header::{PAYMENT_RESPONSE, PAYMENT_SIGNATURE};

use crate::application::Application;
use crate::http::{self, Answer};
use crate::payment;
use crate::real_chain::{BUYER_KEY, RealChain, SIGNER};
use crate::roles::{self, Role};

const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);

/// Everything up to the kill: the settlement is in the pool of the node and in no block.
struct Killed {
    chain: RealChain,
    application: Application,
    role: Role,
    header: String,
}

fn killed_after_broadcast() -> Killed {
    let chain = RealChain::start();
    let application = Application::start();
    let mut role = roles::serve(&chain, &application.url);
    chain.hold_blocks();
    let url = role.priced_url();
    let header = payment::header_for(&url, BUYER_KEY);
    let buyer = {
        let (url, header) = (url.clone(), header.clone());
        std::thread::spawn(move || {
            http::try_request("GET", &url, &[(PAYMENT_SIGNATURE, &header)], b"")
        })
    };
    let reader = &chain.reader;
    role.service.until("broadcast", || {
        reader.transactions_of(SIGNER, "pending") > reader.transactions_of(SIGNER, "latest")
    });
    role.service.kill();
    assert!(buyer.join().unwrap().is_err(), "there was no answer");
    assert_eq!(application.ran(), 1);
    Killed { chain, application, role, header }
}

/// Sends the header until it is served.
fn insist(url: &str, header: &str) -> Answer {
    let started = Instant::now();
    loop {
        let answer = http::get_with(url, &[(PAYMENT_SIGNATURE, header)]);
        match answer.status {
            200 => return answer,
            409 | 503 => assert!(started.elapsed() < PATIENCE, "no end: {answer:?}"),
            _ => panic!("a buyer that paid was told {answer:?}"),
        }
        std::thread::sleep(PAUSE);
    }
}

fn assert_served_and_paid_once(killed: &Killed) {
    let Killed { chain, role, header, .. } = killed;
    let answer = insist(&role.priced_url(), header);
    let receipt: SettleResponse = answer.decoded(PAYMENT_RESPONSE);
    assert!(receipt.success);
    let params = serde_json::json!([receipt.transaction]);
    assert_eq!(chain.reader.call("eth_getTransactionReceipt", &params)["status"], "0x1");
    chain.assert_paid_once();
    let again = http::get_with(&role.priced_url(), &[(PAYMENT_SIGNATURE, header)]);
    assert_eq!(again.status, 409, "{again:?}");
    chain.assert_paid_once();
}

#[test]
fn killed_after_broadcast_and_mined_while_down_it_is_paid_once_and_answered() {
    let mut killed = killed_after_broadcast();
    killed.chain.release_blocks();
    killed.chain.assert_paid_once();
    killed.role.start_again();
    assert_served_and_paid_once(&killed);
    let ran = killed.application.ran();
    assert!(ran <= 2, "the handler ran {ran} times for two holders of the claim");
}

#[test]
fn killed_after_broadcast_and_mined_after_the_restart_it_is_paid_once_and_answered() {
    let mut killed = killed_after_broadcast();
    killed.role.start_again();
    let first = http::get_with(&killed.role.priced_url(), &[]);
    assert_eq!(first.status, 402, "others are served as ever");
    killed.chain.release_blocks();
    assert_served_and_paid_once(&killed);
}

#[test]
fn killed_twice_it_is_paid_once_and_answered() {
    let mut killed = killed_after_broadcast();
    killed.role.start_again();
    killed.role.start_again();
    killed.chain.release_blocks();
    assert_served_and_paid_once(&killed);
}
