//! Payments are found in the blocks that hold them, by one watcher for all.

use std::time::Duration;

use faregate_chain::simulated::Faults;
use faregate_engine::Limits;
use faregate_ledger::SettlementState;
use faregate_protocol::{Facilitator, SettleTerms};
use uuid::Uuid;

use crate::world::{World, payment};

/// Nothing else would look within the time of a test: neither lanes nor looks that fall due.
fn by_blocks_alone(limits: &mut Limits) {
    const LONG: Duration = Duration::from_secs(600);
    limits.settle_wait = Duration::from_secs(60);
    limits.lease_ttl = LONG;
    limits.watch_every = LONG;
    limits.idle_every = LONG;
    limits.resend_after = LONG;
    limits.heal_after = LONG;
    limits.look_first = LONG;
    limits.look_max = LONG;
    limits.look_quiet = LONG;
}

type Settling = tokio::task::JoinHandle<bool>;

/// Calls of settle, once all are sent.
async fn sent(world: &World, payments: std::ops::RangeInclusive<u8>) -> Vec<Settling> {
    let settle = |n| {
        let engine = world.engine.clone();
        tokio::spawn(async move {
            let terms = SettleTerms { settle_id: Some(Uuid::new_v4()), ..SettleTerms::default() };
            engine.settle(&payment(n), &terms).await.unwrap().success
        })
    };
    let settling: Vec<_> = payments.clone().map(settle).collect();
    for n in payments {
        while world.stored(&payment(n)).await.is_none() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        world.until(&payment(n), SettlementState::Broadcast).await;
    }
    // Until the lane has heard of its own sends: from then on only a block is news to it.
    tokio::time::sleep(Duration::from_millis(200)).await;
    settling
}

#[tokio::test]
async fn the_block_that_holds_payments_is_enough_to_tell_all_their_callers() {
    let world = World::with(false, by_blocks_alone).await;
    let settling = sent(&world, 1..=16).await;
    world.chain.mine();
    for caller in settling {
        assert!(caller.await.unwrap());
    }
    world.assert_moved(16);
}

#[tokio::test]
async fn a_block_that_could_not_be_read_is_read_again() {
    let world = World::with(false, by_blocks_alone).await;
    let settling = sent(&world, 1..=16).await;
    world.chain.set_faults(Faults { together_fails: 2, ..Faults::default() });
    world.chain.mine();
    for caller in settling {
        assert!(caller.await.unwrap());
    }
    world.assert_moved(16);
}

#[tokio::test]
async fn a_block_that_replaced_another_is_read_when_the_next_does_not_follow() {
    let world = World::with(false, by_blocks_alone).await;
    // The watcher has seen this one.
    let first = sent(&world, 1..=1).await;
    world.chain.mine();
    for caller in first {
        assert!(caller.await.unwrap());
    }
    let settling = sent(&world, 2..=2).await;
    world.chain.reorganise(1, true);
    world.chain.mine();
    world.chain.mine();
    for caller in settling {
        assert!(caller.await.unwrap());
    }
    world.assert_moved(2);
}

#[tokio::test]
async fn payments_of_one_block_become_final_by_a_few_questions_for_all() {
    const PAYMENTS: u8 = 60;
    // Each is looked at several times before its block is final.
    let world = World::with(false, |limits| limits.settle_wait = Duration::from_secs(60)).await;
    let settling = sent(&world, 1..=PAYMENTS).await;
    world.chain.mine();
    for caller in settling {
        assert!(caller.await.unwrap());
    }
    let before = world.chain.observations();
    // What was proven just now is left alone for as long as two blocks take.
    while world.stored(&payment(1)).await.unwrap().looks < 3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for n in 1..=PAYMENTS {
        assert_eq!(world.stored(&payment(n)).await.unwrap().state, SettlementState::Mined);
    }
    let looks = world.stored(&payment(1)).await.unwrap().looks;
    for _ in 0..faregate_chain::simulated::FINALITY_DEPTH {
        world.chain.mine();
    }
    for n in 1..=PAYMENTS {
        world.until(&payment(n), SettlementState::Final).await;
    }
    let asked = world.chain.observations() - before;
    // Alone it would be one for each look at each payment.
    let alone = u64::from(PAYMENTS) * (u64::from(looks) + 1);
    assert!(asked <= alone / 10, "{asked} questions, {alone} one by one");
}

#[tokio::test]
async fn of_a_block_that_is_gone_each_payment_is_looked_at_again() {
    const PAYMENTS: u8 = 12;
    let world = World::with(false, |limits| limits.settle_wait = Duration::from_secs(60)).await;
    let settling = sent(&world, 1..=PAYMENTS).await;
    world.chain.mine();
    for caller in settling {
        assert!(caller.await.unwrap());
    }
    let gone = world.stored(&payment(1)).await.unwrap().evidence.unwrap().block_hash;
    world.chain.reorganise(1, false);
    // An endpoint that has not come so far proves nothing against a proof.
    tokio::time::sleep(Duration::from_millis(100)).await;
    for n in 1..=PAYMENTS {
        assert_eq!(world.stored(&payment(n)).await.unwrap().state, SettlementState::Mined);
    }
    for n in 1..=PAYMENTS {
        loop {
            let stored = world.stored(&payment(n)).await.unwrap();
            if stored.state == SettlementState::Final {
                assert_ne!(stored.evidence.unwrap().block_hash, gone);
                break;
            }
            world.chain.mine();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    world.assert_moved(u64::from(PAYMENTS));
}

#[tokio::test]
async fn payments_that_cannot_be_looked_at_together_become_final_one_by_one() {
    const PAYMENTS: u8 = 12;
    let world = World::with(false, |limits| limits.settle_wait = Duration::from_secs(60)).await;
    let settling = sent(&world, 1..=PAYMENTS).await;
    world.chain.set_faults(Faults { one_by_one: true, ..Faults::default() });
    for _ in 0..=faregate_chain::simulated::FINALITY_DEPTH {
        world.chain.mine();
    }
    for caller in settling {
        assert!(caller.await.unwrap());
    }
    for n in 1..=PAYMENTS {
        world.until(&payment(n), SettlementState::Final).await;
    }
    world.assert_moved(u64::from(PAYMENTS));
}
