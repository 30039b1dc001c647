//! What callers are told, alone and together.

use std::sync::Arc;

use faregate_ledger::{ClaimStore, PayeeStore, SettlementState};
use faregate_protocol::receipt::SettleMeaning;
use faregate_protocol::{Facilitator, FacilitatorError, SettleTerms};
use uuid::Uuid;

use crate::world::{NOW, World, is, key, payment};

#[tokio::test]
async fn a_payment_settles_with_evidence_and_a_journal() {
    let world = World::new(true).await;
    let request = payment(1);
    assert!(world.engine.verify(&request).await.unwrap().is_valid);
    let answer = world.settle(&request, Uuid::new_v4()).await;
    assert!(answer.success, "{answer:?}");
    let stored = world.stored(&request).await.unwrap();
    let proof = stored.evidence.unwrap();
    assert_eq!(answer.transaction, proof.transaction);
    assert!(proof.block_number > stored.new.head_at_claim);
    world.assert_moved(1);
    let moves: Vec<_> = world.ledger.journal(&key(&request)).await.unwrap();
    let names: Vec<_> = moves.iter().map(|entry| entry.to_state.as_str()).collect();
    // Whether BROADCAST is recorded before the proof is a race that nobody loses.
    assert_eq!(names.first(), Some(&"RESERVED"));
    assert_eq!(names.get(1), Some(&"SIGNED"));
    assert!(names.contains(&"MINED"), "{names:?}");
}

#[tokio::test]
async fn the_same_settle_id_always_gets_the_same_answer() {
    let world = World::new(true).await;
    let (request, id) = (payment(1), Uuid::new_v4());
    let first = world.settle(&request, id).await;
    assert!(first.success);
    for _ in 0..3 {
        assert_eq!(world.settle(&request, id).await, first);
    }
    assert_eq!(world.chain.broadcasts(), 1);
}

#[tokio::test]
async fn another_caller_gets_duplicate_settlement_with_the_transaction() {
    let world = World::new(true).await;
    let request = payment(1);
    let first = world.settle(&request, Uuid::new_v4()).await;
    for answer in
        [world.settle(&request, Uuid::new_v4()).await, world.settle_keyless(&request).await]
    {
        assert!(is(&answer, "duplicate_settlement"), "{answer:?}");
        assert_eq!(answer.transaction, first.transaction);
    }
    world.assert_moved(1);
}

#[tokio::test]
async fn of_64_callers_without_a_key_one_is_told_success() {
    let world = Arc::new(World::new(true).await);
    let callers: Vec<_> = (0..64)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.keyless_outcome(&payment(1)).await })
        })
        .collect();
    let mut successes = 0;
    for caller in callers {
        let answer = caller.await.unwrap();
        successes += u32::from(answer.success);
        assert!(answer.success || is(&answer, "duplicate_settlement"), "{answer:?}");
    }
    assert_eq!(successes, 1);
    world.assert_moved(1);
}

#[tokio::test]
async fn other_requirements_or_another_signature_are_refused_while_it_is_pending_and_after() {
    let world = World::new(false).await;
    let (request, id) = (payment(1), Uuid::new_v4());
    assert!(is(&world.settle(&request, id).await, "settlement_pending"));
    let mut dearer = request.clone();
    dearer.payment_requirements.amount = 1.into();
    let mut longer = request.clone();
    longer.payment_requirements.max_timeout_seconds = 301.into();
    let mut signed = request.clone();
    signed.payment_payload.payload["signature"] = format!("0x{}", "cd".repeat(65)).into();
    for _ in 0..2 {
        for other in [&dearer, &longer, &signed] {
            let answer = world.settle(other, id).await;
            assert!(is(&answer, "requirements_changed"), "{answer:?}");
        }
        world.chain.mine();
        world.until(&request, SettlementState::Mined).await;
    }
}

#[tokio::test]
async fn what_does_not_verify_is_not_reserved() {
    let world = World::new(true).await;
    let mut unsigned = payment(1);
    unsigned.payment_payload.payload["signature"] = format!("0x00{}", "ab".repeat(64)).into();
    let answer = world.settle(&unsigned, Uuid::new_v4()).await;
    assert!(is(&answer, "invalid_exact_evm_signature"), "{answer:?}");
    let mut elsewhere = payment(2);
    elsewhere.payment_requirements.network = "eip155:1".parse().unwrap();
    let answer = world.settle(&elsewhere, Uuid::new_v4()).await;
    assert!(is(&answer, "invalid_network"), "{answer:?}");
    assert!(world.stored(&unsigned).await.is_none());
    assert_eq!(world.chain.broadcasts(), 0);
}

#[tokio::test]
async fn forty_payments_over_a_lane_of_sixteen_all_settle() {
    let world = Arc::new(World::new(false).await);
    let miner = {
        let chain = Arc::clone(&world.chain);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                chain.mine();
            }
        })
    };
    let callers: Vec<_> = (1..=40)
        .map(|n| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.outcome(&payment(n), Uuid::from_u128(n.into())).await })
        })
        .collect();
    for caller in callers {
        let answer = caller.await.unwrap();
        assert!(answer.success, "{answer:?}");
    }
    miner.abort();
    world.assert_moved(40);
    // A caller that asks again a moment late may find its nonce given to a no-op.
    assert!(world.chain.distinct_transactions() < 48);
}

#[tokio::test]
async fn p4_a_payee_is_settled_for_by_one_ledger_until_it_is_released() {
    let world = World::new(true).await;
    let terms = |deployment| SettleTerms {
        settle_id: Some(Uuid::new_v4()),
        deployment: Some(Uuid::from_u128(deployment)),
        ..SettleTerms::default()
    };
    let settle =
        async |n, deployment| world.engine.settle(&payment(n), &terms(deployment)).await.unwrap();
    assert!(settle(1, 1).await.success);
    let refused = settle(2, 2).await;
    assert!(is(&refused, "payee_enrolled_elsewhere"), "{refused:?}");
    assert_eq!(refused.meaning(), SettleMeaning::Refused);
    assert_eq!(refused.transaction, "");
    assert!(world.stored(&payment(2)).await.is_none(), "nothing was begun");
    assert!(settle(3, 1).await.success, "its own goes on");
    assert!(world.settle(&payment(4), Uuid::new_v4()).await.success, "callers without a ledger");
    let payees = world.ledger.payees().await.unwrap();
    assert_eq!(payees.len(), 1);
    assert!(world.ledger.release_payee(&payees[0].network, &payees[0].pay_to).await.unwrap());
    assert!(settle(2, 2).await.success, "the operator gave it to another ledger");
    assert!(is(&settle(5, 1).await, "payee_enrolled_elsewhere"));
    world.assert_moved(4);
}

#[tokio::test]
async fn what_nobody_waits_for_is_kept_for_a_quiet_hour() {
    let world = World::new(true).await;
    world.chain.set_quiet_from(NOW + 100);
    let (request, id) = (payment(1), Uuid::new_v4());
    let patient = SettleTerms { settle_id: Some(id), patient: true, ..SettleTerms::default() };
    let quiet = FacilitatorError::Unavailable("quiet_hours");
    assert_eq!(world.engine.settle(&request, &patient).await, Err(quiet));
    assert!(world.stored(&request).await.is_none(), "nothing was begun");
    assert!(world.settle(&payment(2), Uuid::new_v4()).await.success, "who waits is served");
    world.pass_time(100);
    assert!(world.engine.settle(&request, &patient).await.unwrap().success);
    world.assert_moved(2);
}

#[tokio::test]
async fn what_is_under_way_is_not_kept_for_a_quiet_hour() {
    let world = World::new(false).await;
    let (request, id) = (payment(1), Uuid::new_v4());
    assert!(is(&world.settle(&request, id).await, "settlement_pending"));
    world.chain.set_quiet_from(NOW + 100);
    let patient = SettleTerms { settle_id: Some(id), patient: true, ..SettleTerms::default() };
    assert!(is(&world.engine.settle(&request, &patient).await.unwrap(), "settlement_pending"));
    world.chain.mine();
    assert!(world.outcome(&request, id).await.success);
}
