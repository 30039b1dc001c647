//! One header, many requests at once.

use std::sync::Arc;
use std::time::Duration;

use faregate_gate::GateBody;
use faregate_ledger::ClaimStore;
use faregate_protocol::Reason;
use futures::future::join_all;
use http::Response;

use crate::payment::{fresh, key};
use crate::scripted_facilitator::Verdict;
use crate::world::{SECRET, World, config, on_both_stores, priced_route};

const WAYS: usize = 64;

on_both_stores! {
    copies_of_one_header_buy_one_answer
    copies_for_two_requests_buy_one_answer
    gates_that_share_a_ledger_grant_once
    a_copy_that_is_verified_after_the_money_moved_is_told_to_pay_for_nothing
}

async fn a_copy_that_is_verified_after_the_money_moved_is_told_to_pay_for_nothing(
    store: Arc<dyn ClaimStore>,
) {
    let world = World::with(store, config(vec![priced_route()]), crate::world::answering(SECRET));
    let payment = fresh();
    let used = Verdict::InvalidAfter(Duration::from_millis(300), Reason::EvmNonceAlreadyUsed);
    world.facilitator.will_say(used);
    let early = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.pay("/weather", &payment).await
    };
    let (late, early) = tokio::join!(world.pay("/weather", &payment), early);
    assert!(early.is_granted(), "{early:?}");
    assert_eq!(late.answer(), early.answer(), "{late:?}");
    assert!(late.challenge().is_none());
    assert_eq!(world.runs(), 1);
    // Of a payment that nobody has claimed the verdict counts.
    let used = Verdict::InvalidAfter(Duration::ZERO, Reason::EvmNonceAlreadyUsed);
    world.facilitator.will_say(used);
    let refused = world.pay("/weather", &fresh()).await;
    refused.expect_refusal(402, Reason::EvmNonceAlreadyUsed.code());
}

fn slow() -> crate::world::Resource {
    Arc::new(|_| {
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            Response::new(GateBody::full(SECRET))
        })
    })
}

async fn race(worlds: &[&World], uris: &[&str]) {
    let payment = fresh();
    let barrier = Arc::new(tokio::sync::Barrier::new(WAYS));
    let requests = (0..WAYS).map(|i| {
        let (barrier, world) = (Arc::clone(&barrier), worlds[i % worlds.len()]);
        let (payment, uri) = (&payment, uris[i % uris.len()]);
        async move {
            barrier.wait().await;
            world.pay(uri, payment).await
        }
    });
    let seen = join_all(requests).await;
    // Whoever comes after the grant gets the same answer.
    let first = seen.iter().find(|seen| seen.is_granted()).unwrap();
    for seen in &seen {
        match seen.status.as_u16() {
            200 => assert_eq!(seen.answer(), first.answer()),
            409 => assert!(!seen.is_granted()),
            _ => panic!("{seen:?}"),
        }
    }
    for (i, world) in worlds.iter().cycle().take(8).enumerate() {
        let uri = uris[i % uris.len()];
        let late = world.pay(uri, &payment).await;
        let code = late.code();
        let is_other = uris.len() > 1 && code == "payment_already_claimed";
        assert!(is_other || late.answer() == first.answer(), "{late:?}");
    }
    let runs: usize = worlds.iter().map(|world| world.runs()).sum();
    let settled: usize = worlds.iter().map(|world| world.facilitator.settled().len()).sum();
    assert_eq!((runs, settled), (1, 1));
    assert_eq!(worlds[0].grants(&key(&payment)).await, 1);
}

async fn copies_of_one_header_buy_one_answer(store: Arc<dyn ClaimStore>) {
    let world = World::with(store, config(vec![priced_route()]), slow());
    race(&[&world], &["/weather"]).await;
}

async fn copies_for_two_requests_buy_one_answer(store: Arc<dyn ClaimStore>) {
    let world = World::with(store, config(vec![priced_route()]), slow());
    race(&[&world], &["/weather", "/weather?b"]).await;
}

async fn gates_that_share_a_ledger_grant_once(store: Arc<dyn ClaimStore>) {
    let world = World::with(store, config(vec![priced_route()]), slow());
    let second = world.restarted(config(vec![priced_route()]));
    let third = world.restarted(config(vec![priced_route()]));
    race(&[&world, &second, &third], &["/weather"]).await;
}
