//! The queue behind deferred answers: what is asked, how often, and what is left at the end.

use std::sync::Arc;
use std::time::Duration;

use faregate_ledger::{DeferralState, DeferredStore};
use faregate_protocol::{Amount, Reason};
use futures::future::join_all;

use crate::deferred::{deferral, roomy, unsettled};
use crate::payment::{fresh, key};
use crate::scripted_facilitator::{Outcome, TRANSACTION};
use crate::world::{SECRET, World, answering, on_both_stores};

on_both_stores! {
    what_is_due_is_asked_for_as_soon_as_its_answer_left
    at_its_end_the_dispatcher_empties_the_queue
    an_end_without_answers_comes_in_time
    a_refusal_is_no_proof
    money_of_a_stranger_settles_what_was_served
    dispatchers_that_share_a_queue_ask_once
    rows_of_another_facilitator_are_left_alone
    what_an_earlier_configuration_deferred_is_settled
}

async fn what_is_due_is_asked_for_as_soon_as_its_answer_left(store: Arc<dyn DeferredStore>) {
    let world = World::with_books(store.clone(), roomy(), answering(SECRET));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let dispatcher = world.gate.spawn_dispatcher(async move {
        let _ = stopped.await;
    });
    let payments: Vec<_> = (0..20).map(|_| fresh()).collect();
    let all = join_all(payments.iter().map(|payment| world.pay("/weather", payment))).await;
    assert!(all.iter().all(crate::world::Seen::is_granted));
    for _ in 0..500 {
        if unsettled(&store).await == Amount::ZERO {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.send(()).unwrap();
    dispatcher.await.unwrap();
    assert_eq!(world.facilitator.settled().len(), 20);
    for payment in &payments {
        assert_eq!(deferral(&store, payment).await, Some(DeferralState::Settled));
    }
}

async fn at_its_end_the_dispatcher_empties_the_queue(store: Arc<dyn DeferredStore>) {
    let mut config = roomy();
    if let Some(deferred) = &mut config.deferred {
        deferred.at_once = 2;
    }
    let world = World::with_books(store.clone(), config, answering(SECRET));
    for _ in 0..10 {
        assert!(world.pay("/weather", &fresh()).await.is_granted());
        world.facilitator.will_settle(Outcome::PaidAfter(Duration::from_millis(5)));
    }
    world.gate.spawn_dispatcher(async {}).await.unwrap();
    assert_eq!(unsettled(&store).await, Amount::ZERO);
    assert_eq!(world.facilitator.settled().len(), 10);
}

async fn an_end_without_answers_comes_in_time(store: Arc<dyn DeferredStore>) {
    let mut config = roomy();
    if let Some(deferred) = &mut config.deferred {
        deferred.drain = Duration::from_millis(100);
    }
    config.limits.settle_timeout = Duration::from_secs(60);
    let mut quick = roomy();
    quick.limits.settle_timeout = Duration::from_millis(200);
    let payment = fresh();
    let world = World::with_books(store.clone(), quick, answering(SECRET));
    assert!(world.pay("/weather", &payment).await.is_granted());
    let slow = World::with_books(store.clone(), config, answering(SECRET));
    slow.facilitator.will_settle(Outcome::Hang);
    slow.gate.spawn_dispatcher(async {}).await.unwrap();
    assert_eq!(deferral(&store, &payment).await, Some(DeferralState::Settling));
    assert_eq!(unsettled(&store).await, 10_000.into(), "the next start goes on");
}

async fn a_refusal_is_no_proof(store: Arc<dyn DeferredStore>) {
    let world = World::with_books(store.clone(), roomy(), answering(SECRET));
    let payment = fresh();
    assert!(world.pay("/weather", &payment).await.is_granted());
    for outcome in [
        Outcome::Refused("invalid_exact_evm_insufficient_balance".to_owned()),
        Outcome::RefusedWith(Reason::SettlementPending, "0xsent"),
        Outcome::Panic,
    ] {
        world.facilitator.will_settle(outcome);
        world.gate.dispatch_once().await;
        assert_eq!(deferral(&store, &payment).await, Some(DeferralState::Settling));
        assert_eq!(unsettled(&store).await, 10_000.into());
        // The next try is not due at once.
        let asked = world.facilitator.settled().len();
        world.gate.dispatch_once().await;
        assert_eq!(world.facilitator.settled().len(), asked);
        until_due(&world).await;
    }
    let repeat = world.pay("/weather", &payment).await;
    assert_eq!(repeat.receipt().unwrap().transaction, "0xsent");
    assert!(!repeat.receipt().unwrap().success);
    world.gate.dispatch_once().await;
    assert_eq!(deferral(&store, &payment).await, Some(DeferralState::Settled));
}

/// Waits as the row does: half a second, then twice as long each time.
async fn until_due(world: &World) {
    let tries = world.facilitator.settled().len();
    let pause = 500 * 2_u64.pow(u32::try_from(tries).unwrap() - 1);
    tokio::time::sleep(Duration::from_millis(pause + 50)).await;
}

async fn money_of_a_stranger_settles_what_was_served(store: Arc<dyn DeferredStore>) {
    let world = World::with_books(store.clone(), roomy(), answering(SECRET));
    let payment = fresh();
    assert!(world.pay("/weather", &payment).await.is_granted());
    world.facilitator.will_settle(Outcome::RefusedWith(Reason::SettledElsewhere, TRANSACTION));
    world.gate.dispatch_once().await;
    assert_eq!(deferral(&store, &payment).await, Some(DeferralState::Settled));
    assert!(store.find_debt(&key(&payment)).await.unwrap().is_none());
}

async fn dispatchers_that_share_a_queue_ask_once(store: Arc<dyn DeferredStore>) {
    let worlds: Vec<_> =
        (0..4).map(|_| World::with_books(store.clone(), roomy(), answering(SECRET))).collect();
    for _ in 0..20 {
        assert!(worlds[0].pay("/weather", &fresh()).await.is_granted());
    }
    join_all(worlds.iter().map(|world| world.gate.dispatch_once())).await;
    let asked: usize = worlds.iter().map(|world| world.facilitator.settled().len()).sum();
    assert_eq!(asked, 20);
    assert_eq!(unsettled(&store).await, Amount::ZERO);
}

async fn rows_of_another_facilitator_are_left_alone(store: Arc<dyn DeferredStore>) {
    let world = World::with_books(store.clone(), roomy(), answering(SECRET));
    let payment = fresh();
    assert!(world.pay("/weather", &payment).await.is_granted());
    let other = World::with_books(store.clone(), roomy(), answering(SECRET));
    other.facilitator.call_it("another");
    other.gate.dispatch_once().await;
    assert!(other.facilitator.settled().is_empty());
    assert_eq!(deferral(&store, &payment).await, Some(DeferralState::Queued));
}

async fn what_an_earlier_configuration_deferred_is_settled(store: Arc<dyn DeferredStore>) {
    let world = World::with_books(store.clone(), roomy(), answering(SECRET));
    assert!(world.pay("/weather", &fresh()).await.is_granted());
    let plain = crate::world::config(vec![crate::world::priced_route()]);
    let next = World::with_books(store.clone(), plain, answering(SECRET));
    assert!(next.pay("/weather", &fresh()).await.receipt().unwrap().success);
    next.gate.dispatch_once().await;
    assert_eq!(unsettled(&store).await, Amount::ZERO);
}
