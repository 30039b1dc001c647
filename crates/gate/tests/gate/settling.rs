//! Every answer to settle, and what the buyer is told. A payment that was asked for is never
//! answered with a fresh challenge unless it is proven that it moved nothing.

use std::sync::Arc;
use std::time::Duration;

use faregate_ledger::{ClaimState, ClaimStore};
use faregate_protocol::{FacilitatorError, Reason};

use crate::payment::{fresh, key};
use crate::scripted_facilitator::{Outcome, TRANSACTION};
use crate::world::{Seen, World, on_both_stores};

on_both_stores! {
    a_refusal_is_402_without_a_challenge
    proof_of_no_charge_is_402_with_a_challenge
    money_that_a_stranger_moved_is_owed_and_buys_nothing
    pending_is_asked_about_exactly_once_more
    pending_that_is_proven_at_the_second_question_is_paid
    a_refusal_after_pending_is_not_believed
    codes_that_prove_nothing_are_unknown
    silence_is_unknown
    what_was_not_taken_up_is_released
}

fn pending(hash: &'static str) -> Outcome {
    Outcome::RefusedWith(Reason::SettlementPending, hash)
}

#[track_caller]
fn expect_pending(seen: &Seen, transaction: &str) {
    seen.expect_refusal(503, "settlement_pending");
    assert_eq!(seen.header("retry-after"), "2");
    let receipt = seen.receipt().unwrap();
    assert!(!receipt.success);
    assert_eq!(receipt.error_reason.as_deref(), Some("settlement_pending"));
    assert_eq!(receipt.transaction, transaction);
    assert!(!format!("{receipt:?}").contains("canary"));
}

async fn a_refusal_is_402_without_a_challenge(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    for (said, code) in [
        (Reason::EvmInsufficientBalance.code(), Reason::EvmInsufficientBalance.code()),
        ("a_code_of_tomorrow", "a_code_of_tomorrow"),
        ("https://rpc.example/canary", Reason::UnexpectedSettleError.code()),
    ] {
        let payment = fresh();
        world.facilitator.will_settle(Outcome::Refused(said.to_owned()));
        let seen = world.pay("/weather", &payment).await;
        seen.expect_refusal(402, code);
        assert!(seen.challenge().is_none());
        let receipt = seen.receipt().unwrap();
        assert!(!receipt.success);
        assert_eq!(receipt.error_reason.as_deref(), Some(code));
        assert!(!format!("{seen:?}{receipt:?}").contains("canary"));
        assert_eq!(world.state(&key(&payment)).await, Some(ClaimState::Released));
    }
}

async fn proof_of_no_charge_is_402_with_a_challenge(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    let payment = fresh();
    world.facilitator.will_settle(Outcome::RefusedWith(Reason::PaymentNotCharged, TRANSACTION));
    let seen = world.pay("/weather", &payment).await;
    seen.expect_refusal(402, "payment_not_charged");
    assert!(seen.challenge().is_some() && !seen.receipt().unwrap().success);
    assert_eq!(world.state(&key(&payment)).await, Some(ClaimState::NotCharged));
    let again = world.pay("/weather", &payment).await;
    again.expect_refusal(402, "payment_not_charged");
    assert!(again.challenge().is_some());
    assert_eq!((world.runs(), world.facilitator.settled().len()), (1, 1));
}

/// P4, P16: another ledger may have sold it.
async fn money_that_a_stranger_moved_is_owed_and_buys_nothing(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    let elsewhere = || Outcome::RefusedWith(Reason::SettledElsewhere, TRANSACTION);
    for first in [elsewhere(), pending(TRANSACTION), Outcome::Fail(FacilitatorError::TimedOut)] {
        let payment = fresh();
        let runs = world.runs();
        world.facilitator.will_settle(first);
        world.facilitator.will_settle(elsewhere());
        let mut seen = world.pay("/weather", &payment).await;
        if seen.status == 503 {
            world.until_unheld_or_granted(&key(&payment)).await;
            seen = world.pay("/weather", &payment).await;
        }
        let later = world.pay("/weather", &payment).await;
        for (seen, code) in [(seen, "settled_elsewhere"), (later, "payment_owed")] {
            seen.expect_refusal(409, code);
            assert!(seen.challenge().is_none(), "nobody is told to pay again");
            assert!(format!("{seen:?}").contains(TRANSACTION), "{seen:?}");
        }
        assert_eq!(world.state(&key(&payment)).await, Some(ClaimState::Credit));
        assert_eq!(world.runs(), runs + 1);
        world.facilitator.forget_outcomes();
    }
}

async fn pending_is_asked_about_exactly_once_more(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    let payment = fresh();
    world.facilitator.will_settle(pending(TRANSACTION));
    world.facilitator.will_settle(pending(TRANSACTION));
    expect_pending(&world.pay("/weather", &payment).await, TRANSACTION);
    let asked = world.facilitator.settled();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].0, asked[1].0, "the identical payload");
    assert_eq!(asked[0].1.settle_id, asked[1].1.settle_id);
    let claim = world.store.find_claim(&key(&payment)).await.unwrap().unwrap();
    assert_eq!((claim.state, claim.transaction.as_str()), (ClaimState::Unresolved, TRANSACTION));

    // Without a transaction there is nothing to wait for.
    let payment = fresh();
    world.facilitator.will_settle(pending(""));
    expect_pending(&world.pay("/weather", &payment).await, "");
    assert_eq!(world.facilitator.settled().len(), 3);
}

async fn pending_that_is_proven_at_the_second_question_is_paid(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    world.facilitator.will_settle(pending(TRANSACTION));
    assert_eq!(world.pay("/weather", &fresh()).await.status, 200);
    world.facilitator.will_settle(pending(TRANSACTION));
    world.facilitator.will_settle(Outcome::RefusedWith(Reason::PaymentNotCharged, ""));
    world.pay("/weather", &fresh()).await.expect_refusal(402, "payment_not_charged");
}

async fn a_refusal_after_pending_is_not_believed(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    for second in [
        Outcome::Refused(Reason::EvmInsufficientBalance.code().to_owned()),
        Outcome::Fail(FacilitatorError::Unavailable("x")),
        Outcome::Fail(FacilitatorError::Nonsense("x")),
        Outcome::Hang,
    ] {
        let payment = fresh();
        world.facilitator.will_settle(pending(TRANSACTION));
        world.facilitator.will_settle(second);
        expect_pending(&world.pay("/weather", &payment).await, TRANSACTION);
        assert_eq!(world.state(&key(&payment)).await, Some(ClaimState::Unresolved));
    }
}

async fn codes_that_prove_nothing_are_unknown(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    for (reason, transaction) in [
        (Reason::EvmNonceAlreadyUsed, ""),
        (Reason::DuplicateSettlement, TRANSACTION),
        (Reason::UnexpectedSettleError, ""),
        (Reason::InternalError, ""),
        (Reason::EvmTransactionFailed, TRANSACTION),
    ] {
        let payment = fresh();
        let before = world.facilitator.settled().len();
        world.facilitator.will_settle(Outcome::RefusedWith(reason, transaction));
        expect_pending(&world.pay("/weather", &payment).await, transaction);
        assert_eq!(world.facilitator.settled().len(), before + 1);
        assert_eq!(world.state(&key(&payment)).await, Some(ClaimState::Unresolved));
    }
}

async fn silence_is_unknown(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    for fault in [
        Outcome::Fail(FacilitatorError::Unreachable),
        Outcome::Fail(FacilitatorError::TimedOut),
        Outcome::Fail(FacilitatorError::Nonsense("x")),
        Outcome::Hang,
        Outcome::Panic,
        Outcome::PaidAfter(Duration::from_secs(5)),
    ] {
        let payment = fresh();
        world.facilitator.will_settle(fault);
        expect_pending(&world.pay("/weather", &payment).await, "");
        assert_eq!(world.state(&key(&payment)).await, Some(ClaimState::Unresolved));
    }
}

async fn what_was_not_taken_up_is_released(store: Arc<dyn ClaimStore>) {
    let world = World::new(store);
    let payment = fresh();
    world.facilitator.will_settle(Outcome::Fail(FacilitatorError::Unavailable("x")));
    let seen = world.pay("/weather", &payment).await;
    seen.expect_refusal(503, "facilitator_unavailable");
    assert_eq!(seen.header("retry-after"), "1");
    assert_eq!(world.state(&key(&payment)).await, Some(ClaimState::Released));
    assert_eq!(world.pay("/weather", &payment).await.status, 200);
    assert_eq!(world.grants(&key(&payment)).await, 1);
}
