//! Claims whose holder is gone, without the buyer's help.

use std::sync::Arc;
use std::time::Duration;

use faregate_ledger::{ClaimState, ClaimStore};
use faregate_protocol::FacilitatorError;

use crate::abandoned::{claimed, left_in};
use crate::payment::{fresh, key};
use crate::scripted_facilitator::{Outcome, TRANSACTION};
use crate::world::{World, on_both_stores};

on_both_stores! {
    an_unresolved_settlement_is_asked_about_until_it_is_proven
    what_was_never_sent_is_released_and_nothing_else
    the_sweeper_ends_with_its_shutdown
}

async fn an_unresolved_settlement_is_asked_about_until_it_is_proven(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    let payment = fresh();
    world.facilitator.will_settle(Outcome::Fail(FacilitatorError::TimedOut));
    world.pay("/weather", &payment).await.expect_refusal(503, "settlement_pending");
    world.until_unheld(&key(&payment)).await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let sweeper = world.gate.spawn_sweeper(async move {
        let _ = stopped.await;
    });
    for _ in 0..600 {
        if world.state(&key(&payment)).await == Some(ClaimState::Settled) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.send(()).unwrap();
    sweeper.await.unwrap();
    let claim = world.store.find_claim(&key(&payment)).await.unwrap().unwrap();
    assert_eq!((claim.state, claim.transaction.as_str()), (ClaimState::Settled, TRANSACTION));
    assert_eq!(world.grants(&key(&payment)).await, 0, "only a request can be granted");
    let asked = world.facilitator.settled();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].1.settle_id, asked[1].1.settle_id);
    world.until_unheld(&key(&payment)).await;
    assert_eq!(world.pay("/weather", &payment).await.status, 200);
    assert_eq!(world.facilitator.settled().len(), 2);
}

async fn what_was_never_sent_is_released_and_nothing_else(store: Arc<dyn ClaimStore>) {
    use ClaimState::{Executed, Released, Settled, Settling, Unresolved, Verified};
    let world = World::new(store);
    let mut left = Vec::new();
    for (state, then) in [
        (Verified, Released),
        (Executed, Released),
        // Without the payment itself the question cannot be repeated; see the file's head.
        (Settling, Settling),
        (Unresolved, Unresolved),
        (Settled, Settled),
    ] {
        let payment = fresh();
        left_in(&world, &payment, state).await;
        left.push((payment, then));
    }
    let held = fresh();
    claimed(&world, &held, 60_000).await;
    world.gate.sweep().await;
    for (payment, then) in &left {
        assert_eq!(world.state(&key(payment)).await, Some(*then));
    }
    assert_eq!(world.state(&key(&held)).await, Some(Verified));
    assert_eq!(world.facilitator.settled().len(), 0);
    for (payment, _) in &left {
        assert_eq!(world.pay("/weather", payment).await.status, 200);
    }
}

async fn the_sweeper_ends_with_its_shutdown(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    let sweeper = world.gate.spawn_sweeper(std::future::ready(()));
    tokio::time::timeout(Duration::from_secs(1), sweeper).await.unwrap().unwrap();
}
