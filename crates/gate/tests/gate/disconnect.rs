//! A client that goes away changes nothing about its payment, and gets the resource when it comes
//! back.

use std::sync::Arc;
use std::time::Duration;

use faregate_gate::GateBody;
use faregate_ledger::{ClaimState, ClaimStore};
use http::Response;
use tower::ServiceExt;

use crate::payment::{fresh, key};
use crate::scripted_facilitator::Outcome;
use crate::world::{SECRET, World, config, on_both_stores, priced_route, request};

on_both_stores! {
    whoever_disconnects_at_any_moment_is_served_at_the_next_try
    an_answer_that_nobody_waits_for_is_not_granted
}

async fn whoever_disconnects_at_any_moment_is_served_at_the_next_try(store: Arc<dyn ClaimStore>) {
    let slow: crate::world::Resource = Arc::new(|_| {
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Response::new(GateBody::full(SECRET))
        })
    });
    let world = World::with(store, config(vec![priced_route()]), slow);
    for ms in (0..60).step_by(3) {
        let payment = fresh();
        let (settled, run_before) = (world.facilitator.settled().len(), world.runs());
        world.facilitator.will_settle(Outcome::PaidAfter(Duration::from_millis(20)));
        let asked = world.service().oneshot(request("GET", "/weather", Some(&payment)));
        let gone = tokio::time::timeout(Duration::from_millis(ms), asked).await.is_err();
        assert!(world.gate.wait_idle(Duration::from_secs(5)).await);
        world.until_unheld(&key(&payment)).await;
        let runs = world.runs();
        let seen = world.pay("/weather", &payment).await;
        assert!(seen.is_granted(), "{gone} after {ms} ms: {seen:?}");
        // At the very first moment nothing had begun.
        assert_eq!(world.runs() - runs, usize::from(runs == run_before), "after {ms} ms");
        assert_eq!(world.facilitator.settled().len(), settled + 1, "after {ms} ms");
        assert_eq!(world.grants(&key(&payment)).await, 1);
    }
}

async fn an_answer_that_nobody_waits_for_is_not_granted(store: Arc<dyn ClaimStore>) {
    let mut config = config(vec![priced_route()]);
    // Nobody has to wait for a lease that its holder does not need any more.
    config.lease_ms = 600_000;
    let world = World::with(store, config, crate::world::answering(SECRET));
    let payment = fresh();
    world.facilitator.will_settle(Outcome::PaidAfter(Duration::from_millis(50)));
    let asked = world.service().oneshot(request("GET", "/weather", Some(&payment)));
    assert!(tokio::time::timeout(Duration::from_millis(20), asked).await.is_err());
    assert!(world.gate.wait_idle(Duration::from_secs(5)).await);
    world.until_unheld(&key(&payment)).await;
    assert_eq!(world.state(&key(&payment)).await, Some(ClaimState::Settled));
    assert_eq!(world.grants(&key(&payment)).await, 0);
}
