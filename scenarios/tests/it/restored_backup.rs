//! O4: the ledger is lost and an older copy of it is put in its place. What the chain has seen
//! meanwhile is found out by proof, and nothing is paid or sold twice.

use std::time::{Duration, Instant};

use faregate_protocol::header::PAYMENT_SIGNATURE;

use crate::application::Application;
use crate::draft::Draft;
use crate::http::{self, Answer};
use crate::real_chain::{BUYER, PAYEE, PRICE, RealChain, SIGNER};
use crate::roles::{self, Extra, Role};

const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);

fn pay(role: &Role, header: &str) -> Answer {
    http::get_with(&role.priced_url(), &[(PAYMENT_SIGNATURE, header)])
}

/// Sends the header until the answer is more than "not yet".
fn insist(role: &Role, header: &str) -> Answer {
    let started = Instant::now();
    loop {
        let answer = pay(role, header);
        let busy = answer.status == 409 && answer.text().contains("payment_in_progress");
        if answer.status != 503 && !busy {
            return answer;
        }
        assert!(started.elapsed() < PATIENCE, "no end: {answer:?}");
        std::thread::sleep(PAUSE);
    }
}

#[test]
fn an_older_copy_of_the_ledger_learns_from_the_chain_and_pays_nothing_twice() {
    let chain = RealChain::start();
    let application = Application::start();
    let quick = "settle_wait_ms = 1000".to_owned();
    let extra = Extra { facilitator: quick, ..Extra::default() };
    let mut role = roles::serve_at(chain.rpc(), &application.url, &extra);
    let [done, on_its_way, unknown_to_the_copy, new] = [(); 4].map(|()| Draft::new().header());

    assert_eq!(pay(&role, &done).status, 200);
    chain.hold_blocks();
    assert_eq!(pay(&role, &on_its_way).status, 503);
    role.service.kill();
    let copy = role.copy_ledger();
    role.start_again();
    chain.release_blocks();
    assert_eq!(insist(&role, &on_its_way).status, 200);
    assert_eq!(pay(&role, &unknown_to_the_copy).status, 200);
    assert_eq!(chain.reader.transfers_to(PAYEE), 3);

    role.service.kill();
    role.put_ledger_back(&copy);
    role.start_again();
    assert_eq!(insist(&role, &on_its_way).status, 200, "found mined");
    assert_eq!(chain.reader.transfers_to(PAYEE), 3, "and not paid again");
    let lost = insist(&role, &unknown_to_the_copy);
    assert_eq!(lost.status, 402, "{lost:?}");
    assert!(lost.text().contains("nonce_already_used"), "{lost:?}");
    // The copy would give the new payment a nonce that is used.
    assert_eq!(insist(&role, &new).status, 200);
    assert_eq!(insist(&role, &done).status, 200, "the answer was kept in the copy");
    assert_eq!(chain.reader.transfers_to(PAYEE), 4);
    assert_eq!(chain.reader.authorizations_used_by(BUYER), 4);
    assert_eq!(chain.reader.balance(PAYEE), 4 * PRICE);
    assert_eq!(chain.reader.transactions_of(SIGNER, "latest"), 4, "no transaction in vain");
}
