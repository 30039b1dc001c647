//! One payment buys one answer, however often it is sent.

use std::sync::Barrier;

use faregate_protocol::SettleResponse;
use faregate_protocol::header::{PAYMENT_RESPONSE, PAYMENT_SIGNATURE};

use crate::dev_world::DevWorld;
use crate::http::{self, Answer};
use crate::payment;

const PRICE: u128 = 10_000;
const COPIES: usize = 64;

pub(crate) fn at_once(copies: usize, send: impl Fn(usize) -> Answer + Sync) -> Vec<Answer> {
    let together = Barrier::new(copies);
    std::thread::scope(|scope| {
        let (together, send) = (&together, &send);
        let started: Vec<_> = (0..copies)
            .map(|number| {
                scope.spawn(move || {
                    together.wait();
                    send(number)
                })
            })
            .collect();
        started.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// One was served; the others got the same answer, if it was there already, or none.
fn assert_all_are_one(answers: &[Answer]) {
    let served: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    let refused = answers.iter().filter(|answer| answer.status == 409).count();
    assert!(served.iter().all(|answer| answer.repeats(served[0])), "{answers:?}");
    assert!(!served.is_empty() && served.len() + refused == answers.len(), "{answers:?}");
}

#[test]
fn the_same_header_buys_nothing_more_here_or_elsewhere() {
    let world = DevWorld::start();
    let chain = world.chain();
    let header = payment::header_for(world.paid_url(), world.buyer_key());
    let pay = |url: &str| http::get_with(url, &[(PAYMENT_SIGNATURE, header.as_str())]);
    let first = pay(world.paid_url());
    assert_eq!(first.status, 200, "{first:?}");
    let receipt: SettleResponse = first.decoded(PAYMENT_RESPONSE);
    assert!(receipt.success);

    let again = pay(world.paid_url());
    assert!(again.repeats(&first), "{again:?}");
    assert_eq!(again.header("cache-control"), Some("private, no-store"));
    let elsewhere = pay(&world.other_paid_url());
    assert_eq!(elsewhere.status, 409, "{elsewhere:?}");
    assert!(elsewhere.text().contains("payment_already_claimed"), "{elsewhere:?}");
    let other_query = pay(&format!("{}?city=oslo", world.paid_url()));
    assert_eq!(other_query.status, 409, "{other_query:?}");

    assert_eq!(world.served(), 1);
    assert_eq!(chain.balance(world.text("payTo")), PRICE);
    assert_eq!(chain.transfers_to(world.text("payTo")), 1);
}

#[test]
fn of_64_copies_of_one_header_at_once_one_is_served() {
    let world = DevWorld::start();
    let chain = world.chain();
    let header = payment::header_for(world.paid_url(), world.buyer_key());
    let url = world.paid_url();
    let answers = at_once(COPIES, |_| http::get_with(url, &[(PAYMENT_SIGNATURE, header.as_str())]));
    assert_all_are_one(&answers);
    assert_eq!(world.served(), 1);
    assert_eq!(chain.transfers_to(world.text("payTo")), 1);
    assert_eq!(chain.authorizations_used_by(world.buyer()), 1);
    assert_eq!(chain.balance(world.text("payTo")), PRICE);
}

#[test]
fn one_header_at_two_priced_addresses_at_once_is_served_at_one() {
    let world = DevWorld::start();
    let header = payment::header_for(world.paid_url(), world.buyer_key());
    let urls = [world.paid_url().to_owned(), world.other_paid_url()];
    let answers = at_once(COPIES, |number| {
        http::get_with(&urls[number % urls.len()], &[(PAYMENT_SIGNATURE, header.as_str())])
    });
    assert_all_are_one(&answers);
    assert_eq!(world.served(), 1);
    assert_eq!(world.chain().transfers_to(world.text("payTo")), 1);
}

#[test]
fn many_payments_at_once_are_all_served_and_all_paid() {
    const PAYMENTS: usize = 16;
    let world = DevWorld::start();
    let chain = world.chain();
    let header = || payment::header_for(world.paid_url(), world.buyer_key());
    let headers: Vec<String> = (0..PAYMENTS).map(|_| header()).collect();
    let url = world.paid_url();
    let answers = at_once(PAYMENTS, |number| {
        http::get_with(url, &[(PAYMENT_SIGNATURE, headers[number].as_str())])
    });
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200; PAYMENTS], "{answers:?}");
    assert_eq!(world.served(), PAYMENTS as u64);
    assert_eq!(chain.transfers_to(world.text("payTo")), PAYMENTS);
    assert_eq!(chain.balance(world.text("payTo")), PRICE * PAYMENTS as u128);
}
