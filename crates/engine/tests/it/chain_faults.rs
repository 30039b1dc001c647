//! What a chain, its endpoint or a stranger can do to a settlement.

use faregate_chain::Broadcast;
use faregate_chain::simulated::Faults;
use faregate_ledger::SettlementState as State;
use faregate_protocol::FacilitatorError;
use uuid::Uuid;

use crate::world::{PAYEE, PAYER, SIGNER, World, is, nonce, payment};

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
    let world = World::new(false).await;
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
async fn an_authorization_that_was_used_before_is_refused() {
    let world = World::new(true).await;
    world.chain.front_run(&payment(1));
    let answer = world.settle(&payment(1), Uuid::new_v4()).await;
    assert!(is(&answer, "invalid_exact_evm_nonce_already_used"), "{answer:?}");
    assert_eq!(world.chain.broadcasts(), 0);
}

#[tokio::test]
async fn a_reorganisation_takes_the_payment_back_and_it_settles_again() {
    for keep in [true, false] {
        let world = World::new(false).await;
        let (request, id) = (payment(1), Uuid::new_v4());
        assert!(is(&world.settle(&request, id).await, "settlement_pending"));
        world.chain.mine();
        assert!(world.outcome(&request, id).await.success);
        world.chain.reorganise(1, keep);
        world.assert_moved(0);
        world.until(&request, State::Broadcast).await;
        world.chain.mine();
        if !keep {
            // The bytes fell out of the pool; the sweep sends them again.
            let sent = world.chain.broadcasts();
            while world.chain.broadcasts() == sent && world.chain.transfers() == 0 {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
            world.chain.mine();
        }
        world.until(&request, State::Mined).await;
        world.chain.mine();
        world.chain.mine();
        world.until(&request, State::Final).await;
        assert_eq!(world.chain.distinct_transactions(), 1, "keep = {keep}");
        world.assert_moved(1);
    }
}

#[tokio::test]
async fn a_nonce_that_the_operator_used_by_hand_costs_a_new_nonce_and_nothing_else() {
    let world = World::new(false).await;
    let (request, id) = (payment(1), Uuid::new_v4());
    assert!(is(&world.settle(&request, id).await, "settlement_pending"));
    world.chain.use_nonce(SIGNER);
    // Asking again puts the payment into the next slot once the nonce is known to be lost.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while world.chain.distinct_transactions() < 2 {
        assert!(is(&world.settle(&request, id).await, "settlement_pending"));
        assert!(std::time::Instant::now() < deadline, "no second slot");
    }
    world.chain.mine();
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
