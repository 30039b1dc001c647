//! The answer leaves and the money follows: within the configured exposure, and never for an answer
//! that did not leave.

use std::sync::Arc;
use std::time::Duration;

use faregate_gate::{AssetLimits, DeferredConfig, GateBody, GateConfig, Route, SettleMode};
use faregate_ledger::{ClaimState, DeferralState, DeferredStore};
use faregate_protocol::{Amount, FacilitatorError};
use futures::future::join_all;
use http::Response;
use serde_json::Value;
use tower::ServiceExt;

use crate::faulty_ledger::{FaultyLedger, Latch, When};
use crate::payment::{fresh, key, now, requirements};
use crate::scripted_facilitator::{Outcome, TRANSACTION};
use crate::world::{
    Resource, SECRET, World, answering, config, on_both_stores, priced_route, request,
};

on_both_stores! {
    the_answer_leaves_before_the_money_and_a_repeat_tells_where_it_is
    beyond_the_exposure_the_money_moves_first
    gates_that_share_a_ledger_never_exceed_the_exposure
    nobody_pays_for_what_failed
    an_authorization_that_ends_too_soon_is_settled_first
    who_owes_pays_first
    without_books_the_money_moves_first
    what_was_kept_and_not_granted_is_granted_later_or_given_up
    whatever_call_of_the_ledger_fails_the_payment_is_served_and_charged_once
}

pub(crate) fn deferred(payer: u64, total: u64) -> GateConfig {
    let own = requirements();
    let limits = AssetLimits {
        network: own.network,
        asset: own.asset,
        payer: payer.into(),
        total: total.into(),
    };
    let route = Route { settle: SettleMode::Deferred, ..priced_route() };
    let mut config = config(vec![route]);
    config.deferred = Some(DeferredConfig::new(vec![limits]));
    config
}

pub(crate) fn roomy() -> GateConfig {
    deferred(1_000_000, 1_000_000)
}

pub(crate) async fn unsettled(store: &Arc<dyn DeferredStore>) -> Amount {
    let figures = store.queue_figures().await.unwrap();
    figures.exposure.first().map_or(Amount::ZERO, |exposure| exposure.unsettled)
}

pub(crate) async fn deferral(
    store: &Arc<dyn DeferredStore>,
    payment: &Value,
) -> Option<DeferralState> {
    store.find_claim(&key(payment)).await.unwrap().unwrap().deferral
}

async fn the_answer_leaves_before_the_money_and_a_repeat_tells_where_it_is(
    store: Arc<dyn DeferredStore>,
) {
    let world = World::with_books(store.clone(), roomy(), answering(SECRET));
    let payment = fresh();
    let bought = world.pay("/weather", &payment).await;
    assert!(bought.is_granted(), "{bought:?}");
    let receipt = bought.receipt().unwrap();
    assert!(!receipt.success, "the money has not moved");
    assert_eq!(receipt.error_reason.as_deref(), Some("settlement_pending"));
    assert!(receipt.transaction.is_empty());
    assert!(world.facilitator.settled().is_empty());
    assert_eq!(unsettled(&store).await, 10_000.into());
    let repeat = world.pay("/weather", &payment).await;
    assert_eq!(repeat.answer(), bought.answer());
    world.gate.dispatch_once().await;
    assert_eq!(world.facilitator.settled().len(), 1);
    assert_eq!(deferral(&store, &payment).await, Some(DeferralState::Settled));
    assert_eq!(unsettled(&store).await, Amount::ZERO);
    let later = world.pay("/weather", &payment).await;
    assert_eq!(later.content(), bought.content());
    let receipt = later.receipt().unwrap();
    assert!(receipt.success && receipt.transaction == TRANSACTION);
    assert_eq!((world.runs(), world.grants(&key(&payment)).await), (1, 1));
}

async fn beyond_the_exposure_the_money_moves_first(store: Arc<dyn DeferredStore>) {
    let world = World::with_books(store.clone(), deferred(20_000, 1_000_000), answering(SECRET));
    for n in 0..4 {
        let seen = world.pay("/weather", &fresh()).await;
        assert!(seen.is_granted(), "{seen:?}");
        assert_eq!(seen.receipt().unwrap().success, n >= 2, "payment {n}");
    }
    assert_eq!(unsettled(&store).await, 20_000.into());
    world.expect_metric(r#"faregate_not_deferred_total{why="payer_limit"}"#, 2);
    world.gate.dispatch_once().await;
    assert_eq!(unsettled(&store).await, Amount::ZERO);
    assert!(!world.pay("/weather", &fresh()).await.receipt().unwrap().success, "room again");
}

async fn gates_that_share_a_ledger_never_exceed_the_exposure(store: Arc<dyn DeferredStore>) {
    let worlds: Vec<_> = (0..3)
        .map(|_| World::with_books(store.clone(), deferred(50_000, 1_000_000), answering(SECRET)))
        .collect();
    let payments: Vec<_> = (0..24).map(|_| fresh()).collect();
    let all =
        payments.iter().enumerate().map(|(n, payment)| worlds[n % 3].pay("/weather", payment));
    let seen = join_all(all).await;
    assert!(seen.iter().all(crate::world::Seen::is_granted));
    let deferred = seen.iter().filter(|seen| !seen.receipt().unwrap().success).count();
    assert_eq!(deferred, 5);
    assert_eq!(unsettled(&store).await, 50_000.into());
}

async fn nobody_pays_for_what_failed(store: Arc<dyn DeferredStore>) {
    let failing: Resource = Arc::new(|_| {
        Box::pin(async { Response::builder().status(500).body(GateBody::full("no")).unwrap() })
    });
    let breaking: Resource = Arc::new(|_| Box::pin(async { panic!("scripted") }));
    for resource in [failing, breaking] {
        let world = World::with_books(store.clone(), roomy(), resource);
        let payment = fresh();
        assert_eq!(world.pay("/weather", &payment).await.status, 500);
        assert_eq!(world.state(&key(&payment)).await, Some(ClaimState::Released));
        assert_eq!(unsettled(&store).await, Amount::ZERO);
        world.gate.dispatch_once().await;
        assert!(world.facilitator.settled().is_empty());
    }
}

async fn an_authorization_that_ends_too_soon_is_settled_first(store: Arc<dyn DeferredStore>) {
    let mut config = roomy();
    if let Some(deferred) = &mut config.deferred {
        // A payment of these tests lives for 200 s.
        deferred.min_left = Duration::from_secs(250);
    }
    let world = World::with_books(store.clone(), config, answering(SECRET));
    assert!(world.pay("/weather", &fresh()).await.receipt().unwrap().success);
    assert_eq!(unsettled(&store).await, Amount::ZERO);
    world.expect_metric(r#"faregate_not_deferred_total{why="time"}"#, 1);
}

async fn who_owes_pays_first(store: Arc<dyn DeferredStore>) {
    let world = World::with_books(store.clone(), roomy(), answering(SECRET));
    let payment = fresh();
    assert!(world.pay("/weather", &payment).await.is_granted());
    let never = Outcome::RefusedWith(faregate_protocol::Reason::PaymentNotCharged, "");
    world.facilitator.will_settle(never);
    world.gate.dispatch_once().await;
    assert_eq!(deferral(&store, &payment).await, Some(DeferralState::NotCharged));
    let repeat = world.pay("/weather", &payment).await;
    assert!(repeat.is_granted(), "what was given is not taken back");
    let receipt = repeat.receipt().unwrap();
    assert_eq!(receipt.error_reason.as_deref(), Some("payment_not_charged"));
    let next = world.pay("/weather", &fresh()).await;
    assert!(next.receipt().unwrap().success);
    world.expect_metric(r#"faregate_not_deferred_total{why="open_debt"}"#, 1);
    assert!(store.close_debt(&key(&payment), "cash").await.unwrap());
    assert!(!store.close_debt(&key(&payment), "cash").await.unwrap());
    assert!(!world.pay("/weather", &fresh()).await.receipt().unwrap().success);
}

async fn without_books_the_money_moves_first(store: Arc<dyn DeferredStore>) {
    let world = World::with(store.clone(), roomy(), answering(SECRET));
    assert!(world.pay("/weather", &fresh()).await.receipt().unwrap().success);
    world.gate.dispatch_once().await;
    assert_eq!(unsettled(&store).await, Amount::ZERO);
}

async fn what_was_kept_and_not_granted_is_granted_later_or_given_up(store: Arc<dyn DeferredStore>) {
    for too_late in [false, true] {
        // Its client goes away when the payment is claimed: after the look up, the second call.
        let latch = Latch::closed();
        let waiting = Arc::new(FaultyLedger::waiting(store.clone(), When::After, 1, &latch));
        let mut config = roomy();
        let payment = if too_late { ending_in(17) } else { fresh() };
        if let Some(deferred) = &mut config.deferred {
            deferred.min_left = Duration::ZERO;
        }
        config.routes[0].upstream_timeout = Duration::from_secs(1);
        config.limits.settle_timeout = Duration::from_millis(50);
        let world = World::with_books(waiting, config, answering(SECRET));
        let asked = world.service().oneshot(request("GET", "/weather", Some(&payment)));
        tokio::select! {
            _ = asked => panic!("nobody waited"),
            () = latch.reached() => {}
        }
        latch.open();
        assert!(world.gate.wait_idle(Duration::from_secs(5)).await);
        world.until_unheld(&key(&payment)).await;
        assert_eq!(world.state(&key(&payment)).await, Some(ClaimState::Deferred));
        world.gate.dispatch_once().await;
        assert!(world.facilitator.settled().is_empty(), "nobody was served");
        if too_late {
            tokio::time::sleep(Duration::from_millis(2500)).await;
            world.gate.sweep().await;
            assert_eq!(world.state(&key(&payment)).await, Some(ClaimState::Released));
        } else {
            world.gate.sweep().await;
            assert!(world.pay("/weather", &payment).await.is_granted());
            assert_eq!(world.runs(), 1);
            world.gate.dispatch_once().await;
        }
        assert_eq!(unsettled(&store).await, Amount::ZERO);
    }
}

fn ending_in(secs: u64) -> Value {
    let mut payment = fresh();
    payment["payload"]["authorization"]["validBefore"] = (now() + secs).to_string().into();
    payment
}

async fn whatever_call_of_the_ledger_fails_the_payment_is_served_and_charged_once(
    store: Arc<dyn DeferredStore>,
) {
    for when in [When::Before, When::After] {
        for first in [true, false] {
            let (mut calls, mut from) = (usize::MAX, 0);
            while from < calls {
                let case = format!("{when:?} {from} {first}");
                let faulty = Arc::new(FaultyLedger::new(store.clone(), when, from, 1));
                let mut config = roomy();
                config.lease_ms = 300;
                let world = World::with_books(faulty.clone(), config, answering(SECRET));
                if !first {
                    let silence = Outcome::Fail(FacilitatorError::TimedOut);
                    world.facilitator.will_settle(silence);
                }
                let payment = fresh();
                served_and_settled(&world, &store, &payment, &case).await;
                assert_eq!(world.grants(&key(&payment)).await, 1, "{case}");
                assert!(world.runs() <= 2, "{case}: {} runs", world.runs());
                assert_eq!(unsettled(&store).await, Amount::ZERO, "{case}");
                let settled = world.facilitator.settled();
                let ids: std::collections::HashSet<_> =
                    settled.iter().map(|(_, terms)| terms.settle_id).collect();
                assert_eq!(ids.len(), 1, "{case}");
                (calls, from) = (faulty.calls(), from + 1);
            }
        }
    }
}

async fn served_and_settled(
    world: &World,
    store: &Arc<dyn DeferredStore>,
    payment: &Value,
    case: &str,
) {
    let mut served = false;
    for _ in 0..100 {
        if served {
            world.gate.dispatch_once().await;
            if deferral(store, payment).await == Some(DeferralState::Settled) {
                return;
            }
        } else {
            let seen = world.pay("/weather", payment).await;
            assert_ne!(seen.status, 402, "{case}: told to pay again");
            served = seen.is_granted();
            assert!(served || world.facilitator.settled().is_empty(), "{case}: charged unserved");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{case}: no end, served: {served}");
}
