//! What a chain, its endpoint or a stranger can do to a settlement.

use std::time::{Duration, Instant};

use faregate_chain::Broadcast;
use faregate_chain::simulated::Faults;
use faregate_ledger::SettlementState as State;
use faregate_protocol::FacilitatorError;
use faregate_protocol::receipt::SettleMeaning;
use uuid::Uuid;

use crate::world::{PAYEE, PAYER, SIGNER, World, is, nonce, payment};

/// Mines until money has moved.
async fn until_transfer(world: &World, began: Instant) {
    while world.chain.transfers() == 0 {
        world.chain.mine();
        assert!(began.elapsed().as_secs() < 60, "not mined");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn an_unmined_payment_is_pending_and_then_paid_by_the_same_transaction() {
    let mut world = World::new(false).await;
    let (request, id) = (payment(1), Uuid::new_v4());
    let pending = world.settle(&request, id).await;
    assert!(is(&pending, "settlement_pending"), "{pending:?}");
    assert!(!pending.transaction.is_empty());
    world.restart();
    world.chain.mine();
    let paid = world.outcome(&request, id).await;
    assert!(paid.success);
    assert_eq!(paid.transaction, pending.transaction);
    world.assert_moved(1);
}

#[tokio::test]
async fn bytes_that_were_accepted_and_forgotten_are_sent_again_unchanged() {
    let world = World::new(true).await;
    world.chain.set_faults(Faults { swallow: true, ..Faults::default() });
    let (request, id) = (payment(1), Uuid::new_v4());
    assert!(is(&world.settle(&request, id).await, "settlement_pending"));
    world.chain.set_faults(Faults::default());
    assert!(world.outcome(&request, id).await.success);
    assert_eq!(world.chain.distinct_transactions(), 1);
    assert!(world.chain.broadcasts() > 1);
    world.assert_moved(1);
}

#[tokio::test]
async fn an_answer_that_got_lost_changes_nothing() {
    let world = World::new(true).await;
    world.chain.set_faults(Faults { lose_answer: true, ..Faults::default() });
    let request = payment(1);
    assert!(world.outcome(&request, Uuid::new_v4()).await.success);
    world.assert_moved(1);
}

#[tokio::test]
async fn every_refusal_of_the_endpoint_is_waited_out() {
    for word in [Broadcast::Underpriced, Broadcast::InsufficientFunds, Broadcast::Rejected] {
        let world = World::new(true).await;
        world.chain.set_faults(Faults { refuse: Some(word), ..Faults::default() });
        let (request, id) = (payment(1), Uuid::new_v4());
        assert!(is(&world.settle(&request, id).await, "settlement_pending"), "{word:?}");
        world.chain.set_faults(Faults::default());
        assert!(world.outcome(&request, id).await.success, "{word:?}");
        assert_eq!(world.chain.distinct_transactions(), 1, "{word:?}");
    }
}

#[tokio::test]
async fn a_silent_chain_takes_up_nothing() {
    let world = World::new(true).await;
    world.chain.set_faults(Faults { down: true, ..Faults::default() });
    let request = payment(1);
    let refused = world.try_settle(&request, Uuid::new_v4()).await;
    assert_eq!(refused, Err(FacilitatorError::Unavailable("chain_unavailable")));
    assert!(world.stored(&request).await.is_none());
}

#[tokio::test]
async fn a_signer_that_is_down_delays_and_loses_nothing() {
    let world = World::new(true).await;
    world.chain.set_faults(Faults { signer_down: true, ..Faults::default() });
    let (request, id) = (payment(1), Uuid::new_v4());
    let pending = world.settle(&request, id).await;
    assert!(is(&pending, "settlement_pending"), "{pending:?}");
    assert_eq!(pending.transaction, "", "nothing was signed");
    world.chain.set_faults(Faults::default());
    assert!(world.outcome(&request, id).await.success);
    world.assert_moved(1);
}

#[tokio::test]
async fn e22_an_empty_signer_takes_no_new_work_and_is_not_ready() {
    let world = World::new(true).await;
    assert!(world.engine.ready().await.is_ok());
    world.chain.set_faults(Faults { no_gas_money: true, ..Faults::default() });
    assert!(world.engine.ready().await.is_err());
    let (request, id) = (payment(1), Uuid::new_v4());
    assert!(is(&world.settle(&request, id).await, "settlement_pending"));
    assert_eq!(world.chain.broadcasts(), 0);
    world.chain.set_faults(Faults::default());
    assert!(world.outcome(&request, id).await.success);
    world.assert_moved(1);
}

#[tokio::test]
async fn not_charged_is_said_only_after_the_end_at_a_final_block() {
    let world = World::new(true).await;
    world.chain.set_faults(Faults { swallow: true, ..Faults::default() });
    let (request, id) = (payment(1), Uuid::new_v4());
    assert!(is(&world.settle(&request, id).await, "settlement_pending"));
    world.pass_time(301);
    world.chain.mine();
    assert!(is(&world.settle(&request, id).await, "settlement_pending"), "expired, not final");
    world.chain.mine();
    world.chain.mine();
    let dead = world.outcome(&request, id).await;
    assert!(is(&dead, "payment_not_charged"), "{dead:?}");
    assert_eq!(world.stored(&request).await.unwrap().state, State::Dead);
    world.assert_moved(0);
}

#[tokio::test]
async fn a_cancelled_payment_is_not_charged_once_that_is_final() {
    let world = World::new(false).await;
    let (request, id) = (payment(1), Uuid::new_v4());
    assert!(is(&world.settle(&request, id).await, "settlement_pending"));
    world.chain.cancel(PAYER, nonce(1));
    assert!(is(&world.settle(&request, id).await, "settlement_pending"));
    world.chain.mine();
    world.chain.mine();
    assert!(is(&world.outcome(&request, id).await, "payment_not_charged"));
    world.assert_moved(0);
}

#[tokio::test]
async fn a_strangers_settlement_of_our_payment_is_a_payment() {
    let world = World::with(false, |limits| limits.exclusive_pay_to = true).await;
    let (request, id) = (payment(1), Uuid::new_v4());
    world.chain.set_faults(Faults { swallow: true, ..Faults::default() });
    assert!(is(&world.settle(&request, id).await, "settlement_pending"));
    world.chain.front_run(&request);
    let paid = world.outcome(&request, id).await;
    assert!(paid.success);
    assert!(paid.transaction.contains("stranger"), "{}", paid.transaction);
    world.assert_moved(1);
}

#[tokio::test]
async fn p4_a_strangers_settlement_is_told_apart_where_the_payee_may_have_another_ledger() {
    let world = World::new(false).await;
    let (request, id) = (payment(1), Uuid::new_v4());
    world.chain.set_faults(Faults { swallow: true, ..Faults::default() });
    assert!(is(&world.settle(&request, id).await, "settlement_pending"));
    world.chain.front_run(&request);
    until_transfer(&world, Instant::now()).await;
    let began = Instant::now();
    while !world.stored(&request).await.unwrap().state.is_paid() {
        assert!(began.elapsed().as_secs() < 60, "not seen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let early = world.settle(&request, id).await;
    assert!(is(&early, "settlement_pending"), "a reorganisation can take it back: {early:?}");
    world.chain.mine();
    world.chain.mine();
    let told = world.outcome(&request, id).await;
    assert!(is(&told, "settled_elsewhere") && !told.success, "{told:?}");
    assert!(told.transaction.contains("stranger"), "{}", told.transaction);
    assert_eq!(told.meaning(), SettleMeaning::Unknown, "no refusal: the money is there");
    assert_eq!(world.outcome(&request, id).await, told, "and it stays so");
    // One transfer is owed by one caller.
    for other in
        [world.settle_keyless(&request).await, world.settle(&request, Uuid::new_v4()).await]
    {
        assert!(is(&other, "duplicate_settlement"), "{other:?}");
    }
    assert!(world.stored(&request).await.unwrap().state.is_paid());
    world.assert_moved(1);
}

/// Found by the simulation: the payer was charged and the settlement never had an outcome.
#[tokio::test]
async fn a_strangers_settlement_in_a_block_below_the_claims_head_is_a_payment() {
    let world = World::with(false, |limits| limits.exclusive_pay_to = true).await;
    let (request, id) = (payment(1), Uuid::new_v4());
    world.chain.set_faults(Faults { swallow: true, ..Faults::default() });
    assert!(is(&world.settle(&request, id).await, "settlement_pending"));
    // The authorization was unused in the block that a reorganisation takes away, so this use of
    // it is later than the claim whatever its number is.
    world.chain.reorganise(1, false);
    world.chain.front_run(&request);
    assert!(world.outcome(&request, id).await.success);
    world.assert_moved(1);
}

#[tokio::test]
async fn an_authorization_that_was_used_before_is_refused() {
    let world = World::new(true).await;
    world.chain.front_run(&payment(1));
    let answer = world.settle(&payment(1), Uuid::new_v4()).await;
    assert!(is(&answer, "invalid_exact_evm_nonce_already_used"), "{answer:?}");
    assert_eq!(world.chain.broadcasts(), 0);
}

#[tokio::test]
async fn a_payment_that_fell_out_in_a_reorganisation_settles_again_with_the_same_bytes() {
    let world = World::new(false).await;
    let (request, id) = (payment(1), Uuid::new_v4());
    assert!(is(&world.settle(&request, id).await, "settlement_pending"));
    world.chain.mine();
    assert!(world.outcome(&request, id).await.success);
    let first = world.stored(&request).await.unwrap().evidence.unwrap();
    world.chain.reorganise(1, false);
    world.assert_moved(0);
    let began = Instant::now();
    while world.chain.transfers() == 0 {
        world.chain.mine();
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(began.elapsed().as_secs() < 60, "it did not come back");
    }
    world.chain.mine();
    world.chain.mine();
    world.until(&request, State::Final).await;
    let second = world.stored(&request).await.unwrap().evidence.unwrap();
    assert_eq!(first.transaction, second.transaction);
    assert_ne!(first.block_hash, second.block_hash);
    assert_eq!(world.chain.distinct_transactions(), 1);
    world.assert_moved(1);
}

#[tokio::test]
async fn an_endpoint_that_has_not_seen_the_proofs_block_undoes_nothing() {
    let world = World::new(false).await;
    let (request, id) = (payment(1), Uuid::new_v4());
    assert!(is(&world.settle(&request, id).await, "settlement_pending"));
    world.chain.mine();
    assert!(world.outcome(&request, id).await.success);
    let version = world.stored(&request).await.unwrap().version;
    world.chain.reorganise(1, true);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let stored = world.stored(&request).await.unwrap();
    assert_eq!((stored.state, stored.version), (State::Mined, version));
}

#[tokio::test]
async fn a_payment_that_a_reorganisation_put_into_another_block_is_proven_anew() {
    let world = World::new(false).await;
    let (request, id) = (payment(1), Uuid::new_v4());
    assert!(is(&world.settle(&request, id).await, "settlement_pending"));
    world.chain.mine();
    assert!(world.outcome(&request, id).await.success);
    let first = world.stored(&request).await.unwrap().evidence.unwrap();
    world.chain.reorganise(1, true);
    for _ in 0..3 {
        world.chain.mine();
    }
    world.until(&request, State::Final).await;
    let second = world.stored(&request).await.unwrap().evidence.unwrap();
    assert_eq!(first.transaction, second.transaction);
    assert_ne!(first.block_hash, second.block_hash);
    world.assert_moved(1);
}

#[tokio::test]
async fn a_nonce_that_a_reorganisation_took_back_is_mined_again_before_later_ones() {
    let world = World::new(false).await;
    // Two, because the third block would make the first one final.
    let requests: Vec<_> = (1..=2).map(payment).collect();
    for (n, request) in requests.iter().enumerate() {
        let id = Uuid::from_u128(n as u128);
        assert!(is(&world.settle(request, id).await, "settlement_pending"));
        world.chain.mine();
        assert!(world.outcome(request, id).await.success);
    }
    // Both fall out of the chain and of the pool.
    world.chain.reorganise(2, false);
    world.assert_moved(0);
    let began = Instant::now();
    while world.chain.transfers() < 2 {
        world.chain.mine();
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(began.elapsed().as_secs() < 60, "only {} came back", world.chain.transfers());
    }
    for request in &requests {
        world.chain.mine();
        world.chain.mine();
        world.until(request, State::Final).await;
    }
    assert_eq!(world.chain.distinct_transactions(), 2, "the same bytes");
    world.assert_moved(2);
}

#[tokio::test]
async fn a_stuck_transaction_is_replaced_with_higher_fees_and_the_same_intent() {
    let world = World::with(false, |limits| {
        limits.bump_after = Duration::from_millis(30);
        limits.attempts_per_slot = 3;
    })
    .await;
    let (request, id) = (payment(1), Uuid::new_v4());
    let began = Instant::now();
    while world.chain.distinct_transactions() < 3 {
        assert!(is(&world.settle(&request, id).await, "settlement_pending"));
        assert!(began.elapsed().as_secs() < 60, "not replaced");
    }
    assert!(is(&world.settle(&request, id).await, "settlement_pending"));
    assert_eq!(world.chain.distinct_transactions(), 3, "no more than the limit");
    world.chain.mine();
    assert!(world.outcome(&request, id).await.success);
    world.assert_moved(1);
}

#[tokio::test]
async fn a_transaction_that_endpoints_find_too_cheap_is_replaced_and_not_only_sent_again() {
    let world = World::with(false, |limits| {
        limits.bump_after = Duration::from_millis(100);
    })
    .await;
    let refuse = Some(Broadcast::Underpriced);
    world.chain.set_faults(Faults { refuse, ..Faults::default() });
    let (request, id) = (payment(1), Uuid::new_v4());
    let began = Instant::now();
    while world.chain.distinct_transactions() < 2 {
        assert!(is(&world.settle(&request, id).await, "settlement_pending"));
        assert!(began.elapsed().as_secs() < 60, "sent {} times", world.chain.broadcasts());
    }
    world.chain.set_faults(Faults::default());
    until_transfer(&world, began).await;
    assert!(world.outcome(&request, id).await.success);
    world.assert_moved(1);
}

#[tokio::test]
async fn a_stuck_transaction_is_replaced_although_no_process_lives_as_long() {
    const BUMP_AFTER: Duration = Duration::from_millis(1500);
    // It waits in a pool, or no endpoint takes it any more.
    for refuse in [None, Some(Broadcast::Underpriced)] {
        let mut world = World::with(false, |limits| {
            limits.lease_ttl = Duration::from_millis(100);
            limits.bump_after = BUMP_AFTER;
        })
        .await;
        world.chain.set_faults(Faults { refuse, ..Faults::default() });
        let (request, id) = (payment(1), Uuid::new_v4());
        assert!(is(&world.settle(&request, id).await, "settlement_pending"));
        let began = Instant::now();
        // A slow machine needs longer lives to get anything done.
        let mut life = Duration::from_millis(300);
        while world.chain.distinct_transactions() < 2 {
            world.restart();
            // Its caller goes on asking: what nobody wants before it is signed is not sent.
            assert!(is(&world.settle(&request, id).await, "settlement_pending"));
            tokio::time::sleep(life).await;
            life = (life + Duration::from_millis(100)).min(BUMP_AFTER * 3 / 4);
            assert!(began.elapsed() < Duration::from_secs(60), "not replaced, {refuse:?}");
        }
        world.chain.set_faults(Faults::default());
        until_transfer(&world, began).await;
        assert!(world.outcome(&request, id).await.success);
        world.assert_moved(1);
    }
}

#[tokio::test]
async fn a_payment_whose_caller_left_before_it_was_signed_is_never_charged() {
    let world = World::new(true).await;
    world.chain.set_faults(Faults { signer_down: true, ..Faults::default() });
    let (request, id) = (payment(1), Uuid::new_v4());
    assert!(is(&world.settle(&request, id).await, "settlement_pending"));
    tokio::time::sleep(Duration::from_millis(600)).await;
    world.chain.set_faults(Faults::default());
    world.until(&request, State::Dormant).await;
    world.assert_moved(0);
    // Its nonce was given to a no-op, so the lane goes on.
    assert!(world.outcome(&payment(2), Uuid::new_v4()).await.success);
    world.assert_moved(1);
    assert!(world.outcome(&request, id).await.success, "its caller came back");
    world.assert_moved(2);
}

#[tokio::test]
async fn a_nonce_that_the_operator_used_by_hand_costs_a_new_nonce_and_nothing_else() {
    let world = World::new(false).await;
    let (request, id) = (payment(1), Uuid::new_v4());
    assert!(is(&world.settle(&request, id).await, "settlement_pending"));
    world.chain.use_nonce(SIGNER);
    // Asking again puts the payment into the next slot once the nonce is known to be lost.
    let deadline = Instant::now() + Duration::from_secs(20);
    while world.chain.distinct_transactions() < 2 {
        assert!(is(&world.settle(&request, id).await, "settlement_pending"));
        assert!(Instant::now() < deadline, "no second slot");
    }
    world.chain.mine();
    assert!(world.outcome(&request, id).await.success);
    world.assert_moved(1);
}

/// Found by the simulation: the payment stayed in a closed slot and was let die.
#[tokio::test]
async fn a_nonce_that_was_used_by_hand_before_anything_was_signed_costs_a_new_nonce_only() {
    let world = World::new(true).await;
    world.chain.set_faults(Faults { signer_down: true, ..Faults::default() });
    let (request, id) = (payment(1), Uuid::new_v4());
    assert!(is(&world.settle(&request, id).await, "settlement_pending"));
    world.chain.use_nonce(SIGNER);
    tokio::time::sleep(Duration::from_millis(100)).await;
    world.chain.set_faults(Faults::default());
    assert!(world.outcome(&request, id).await.success);
    world.assert_moved(1);
}

#[tokio::test]
async fn a_revert_of_ours_is_no_failure_and_costs_a_bounded_number_of_transactions() {
    let world = World::new(false).await;
    let (request, id) = (payment(1), Uuid::new_v4());
    assert!(is(&world.settle(&request, id).await, "settlement_pending"));
    // The payer moves the money away before the block.
    world.chain.mint(PAYER, 0);
    world.chain.mine();
    world.until(&request, State::Reserved).await;
    for _ in 0..3 {
        assert!(is(&world.settle(&request, id).await, "settlement_pending"));
    }
    assert_eq!(world.chain.distinct_transactions(), 1, "nothing is sent that would revert");
    world.chain.mint(PAYER, 1_000_000);
    while world.chain.distinct_transactions() < 2 {
        assert!(is(&world.settle(&request, id).await, "settlement_pending"));
    }
    world.chain.mine();
    assert!(world.outcome(&request, id).await.success);
    assert_eq!(world.chain.balance(PAYEE), 10_000.into());
}

/// What its first transaction came to says nothing about its second.
#[tokio::test]
async fn a_second_transaction_that_no_endpoint_shows_is_not_followed_by_a_third() {
    let world = World::new(false).await;
    let (request, id) = (payment(1), Uuid::new_v4());
    assert!(is(&world.settle(&request, id).await, "settlement_pending"));
    world.chain.mint(PAYER, 0);
    world.chain.mine();
    world.until(&request, State::Reserved).await;
    world.chain.set_faults(Faults { swallow: true, ..Faults::default() });
    world.chain.mint(PAYER, 1_000_000);
    while world.stored(&request).await.unwrap().nonces < 2 {
        assert!(is(&world.settle(&request, id).await, "settlement_pending"));
    }
    for _ in 0..4 {
        assert!(is(&world.settle(&request, id).await, "settlement_pending"));
    }
    let stored = world.stored(&request).await.unwrap();
    assert_eq!(stored.nonces, 2, "{:?}", stored.state);
    assert!(stored.in_open_slot, "{:?}", stored.state);
    world.chain.set_faults(Faults::default());
    let began = Instant::now();
    while world.chain.balance(PAYEE) != 10_000.into() {
        world.chain.mine();
        assert!(began.elapsed().as_secs() < 60, "not mined");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(world.outcome(&request, id).await.success);
}
