//! Payers, and strangers who saw a payment, that try to get more than was paid for. P10, P13, P15,
//! P24.

use std::sync::Arc;

use alloy_primitives::{Address, U256};
use faregate_devnet::accounts;
use faregate_devnet::contracts::balance_slot;
use faregate_protocol::header::PAYMENT_SIGNATURE;

use crate::application::Application;
use crate::dev_chain::DevChain;
use crate::draft::{Draft, PRICE};
use crate::http::{self, Answer};
use crate::replays::at_once;
use crate::roles::{self, Extra};
use crate::scripted_server::{Reaction, ScriptedServer};

const GARBAGE: u8 = 100;
const COPIES: usize = 8;

fn own(chain: &DevChain, holder: Address, units: u64) {
    chain.node.set_storage(accounts::TOKEN, balance_slot(holder), U256::from(units));
}

fn pay(url: &str, header: &str) -> Answer {
    http::get_with(url, &[(PAYMENT_SIGNATURE, header)])
}

#[test]
fn p10_garbage_in_the_name_of_a_victim_does_not_stand_in_its_way() {
    let chain = DevChain::start();
    let application = Application::start();
    let role = roles::serve_at(chain.rpc(), &application.url, &Extra::default());
    let url = role.priced_url();
    let victim = Draft::new();
    for number in 0..GARBAGE {
        let mut forged = victim.clone();
        forged.signature = Some([number; 65].to_vec());
        assert_eq!(pay(&url, &forged.header()).status, 402);
        let outcome = role.ask("settle", &forged.body()).json();
        assert_eq!(outcome["errorReason"], "invalid_exact_evm_signature", "{outcome}");
    }
    assert_eq!(pay(&url, &victim.header()).status, 200, "at the first try");
    assert_eq!((chain.paid(), chain.sent()), (u128::from(PRICE), 1));
    assert_eq!(application.ran(), 1);
}

#[test]
fn p13_who_moves_the_money_while_the_application_runs_gets_no_answer() {
    let chain = Arc::new(DevChain::start());
    let moved = Arc::clone(&chain);
    let upstream = ScriptedServer::start(move |_| {
        own(&moved, accounts::BUYER.address, 0);
        Reaction::json(200, r#"{"secret":"sunny"}"#)
    });
    let role = roles::serve_at(chain.rpc(), &upstream.url, &Extra::default());
    let url = role.priced_url();
    let header = Draft::new().header();
    let answer = pay(&url, &header);
    assert_eq!(upstream.asked(), 1, "the money was there when it was looked at");
    assert!([402, 503].contains(&answer.status), "{answer:?}");
    assert!(!answer.text().contains("sunny"), "{answer:?}");
    assert_eq!(chain.paid(), 0);
    // The same authorization is good again when the money is back.
    upstream.always(Reaction::json(200, r#"{"secret":"sunny"}"#));
    own(&chain, accounts::BUYER.address, PRICE);
    assert_eq!(pay(&url, &header).status, 200);
    assert_eq!((chain.paid(), chain.sent()), (u128::from(PRICE), 1));
}

#[test]
fn p15_one_balance_pays_once() {
    let chain = DevChain::start();
    let application = Application::start();
    let role = roles::serve_at(chain.rpc(), &application.url, &Extra::default());
    let url = role.priced_url();
    own(&chain, accounts::BUYER.address, PRICE);
    let headers: Vec<String> = (0..COPIES).map(|_| Draft::new().header()).collect();
    let answers = at_once(COPIES, |number| pay(&url, &headers[number]));
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(chain.paid(), u128::from(PRICE));
}

#[test]
fn p24_one_nonce_signed_twice_is_one_payment() {
    let chain = DevChain::start();
    let application = Application::start();
    let role = roles::serve_at(chain.rpc(), &application.url, &Extra::default());
    let url = role.priced_url();
    let first = Draft::new();
    let drafts: Vec<Draft> = (0..COPIES as u64)
        .map(|number| {
            let mut draft = first.clone();
            draft.signed.valid_before -= U256::from(number);
            draft
        })
        .collect();
    let answers = at_once(COPIES, |number| pay(&url, &drafts[number].header()));
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), COPIES - 1);
    assert_eq!((chain.paid(), application.ran()), (u128::from(PRICE), 1));
}
