//! Payments that share a transaction, and what one of them can do to the others.

use std::time::{Duration, Instant};

use faregate_chain::simulated::Faults;
use faregate_chain::{Broadcast, Chain};
use faregate_engine::Limits;
use faregate_ledger::{SettlementState as State, SettlementStore, SlotRow};
use faregate_protocol::receipt::SettleMeaning;
use faregate_protocol::{Facilitator, PaymentKey, PaymentRequest, SettleResponse, SettleTerms};
use futures::future::join_all;
use uuid::Uuid;

use crate::world::{MEMBERS, PAYER, SIGNER, World, is, nonce, payment};

const NETWORK: &str = "eip155:84532";
const PATIENCE: Duration = Duration::from_secs(120);

struct Crowd(Vec<(PaymentRequest, Uuid)>);

impl Crowd {
    fn of(count: u8) -> Self {
        Self((1..=count).map(|n| (payment(n), Uuid::from_u128(n.into()))).collect())
    }

    /// All at once, once.
    async fn settle(&self, world: &World) -> Vec<SettleResponse> {
        join_all(self.0.iter().map(|(request, id)| world.settle(request, *id))).await
    }

    async fn outcomes(&self, world: &World) -> Vec<SettleResponse> {
        join_all(self.0.iter().map(|(request, id)| world.outcome(request, *id))).await
    }

    /// All are reserved before any is signed.
    async fn gather(&self, world: &World) {
        world.chain.set_faults(Faults { signer_down: true, ..Faults::default() });
        let answers = self.settle(world).await;
        assert!(answers.iter().all(|answer| is(answer, "settlement_pending")));
    }

    async fn until_sent(&self, world: &World) {
        let began = Instant::now();
        loop {
            self.settle(world).await;
            let pending = world.chain.lane_state(SIGNER).await.unwrap().pending_nonce;
            let open = world.ledger.lane(NETWORK, SIGNER).await.unwrap().open;
            // Whether it is recorded as sent is a race with the lease.
            let in_pool = |key: &PaymentKey| {
                let home = |slot: &&SlotRow| slot.members.iter().any(|member| member.key == *key);
                open.iter().find(home).is_some_and(|slot| slot.nonce < pending)
            };
            let mut sent = 0;
            for (request, _) in &self.0 {
                let stored = world.stored(request).await.unwrap();
                let told = stored.state == State::Broadcast;
                sent += usize::from(told || in_pool(&stored.new.key));
            }
            if sent == self.0.len() {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{sent} were sent");
        }
    }
}

fn full(count: u8, members: usize) -> usize {
    usize::from(count).div_ceil(members)
}

#[tokio::test]
async fn payments_that_wait_together_share_transactions() {
    const COUNT: u8 = 50;
    let (world, crowd) = (World::new(false).await, Crowd::of(COUNT));
    crowd.gather(&world).await;
    world.chain.set_faults(Faults::default());
    crowd.until_sent(&world).await;
    world.chain.mine();
    let outcomes = crowd.outcomes(&world).await;
    assert!(outcomes.iter().all(|outcome| outcome.success));
    world.assert_moved(COUNT.into());
    let batches = world.chain.batches(SIGNER);
    assert!(batches.iter().all(|members| *members <= MEMBERS), "{batches:?}");
    // Some may have left a batch that was not signed while the signer was down.
    assert!(batches.len() <= full(COUNT, MEMBERS) + 3, "{batches:?}");
    let transactions: std::collections::HashSet<_> =
        outcomes.iter().map(|outcome| &outcome.transaction).collect();
    assert_eq!(transactions.len(), batches.iter().filter(|members| **members > 0).count());
}

/// The lane has no more than so many transactions in flight, so a small one takes the place of a
/// full one.
#[tokio::test]
async fn while_one_is_in_flight_payments_wait_for_companions_unless_they_are_enough() {
    fn waits_long(limits: &mut Limits) {
        limits.settle_wait = PATIENCE;
        // One sixteenth for one in flight: longer than this test waits.
        limits.gather = PATIENCE * 16;
    }
    let world = World::with(false, waits_long).await;
    let crowd = Crowd::of(MEMBERS as u8 + 1);
    let all = crowd.0.iter().map(|(request, id)| {
        let (engine, request, id) = (world.engine.clone(), request.clone(), *id);
        async move {
            let terms = SettleTerms { settle_id: Some(id), ..SettleTerms::default() };
            engine.settle(&request, &terms).await.unwrap().success
        }
    });
    let mut settling: Vec<_> = Vec::new();
    for (n, call) in all.enumerate() {
        settling.push(tokio::spawn(call));
        if n == 0 {
            world.until(&crowd.0[0].0, State::Broadcast).await;
        } else if n < MEMBERS {
            let (request, _) = &crowd.0[n];
            world.until(request, State::Reserved).await;
        }
    }
    world.until(&crowd.0[MEMBERS].0, State::Broadcast).await;
    world.chain.mine();
    for caller in settling {
        assert!(caller.await.unwrap());
    }
    assert_eq!(world.chain.batches(SIGNER), [1, MEMBERS]);
}

/// Each would be good alone; the balance, or the authorization, is good for one of them.
#[tokio::test]
async fn payments_that_would_not_settle_now_hide_nobody_who_comes_after_them() {
    fn seldom(limits: &mut Limits) {
        limits.settle_wait = PATIENCE;
        limits.lease_ttl = PATIENCE;
        // Longer than a lane remembers.
        (limits.idle_every, limits.watch_every) = (PATIENCE, PATIENCE);
        limits.unfit_for = Duration::from_secs(1);
    }
    // More would be final, and dead, before the last.
    const UNFIT: u8 = 2;
    let world = World::with(false, seldom).await;
    world.chain.set_batch_members(1);
    let settle = |n: u8| {
        let engine = world.engine.clone();
        tokio::spawn(async move {
            let terms = SettleTerms { settle_id: Some(Uuid::new_v4()), ..SettleTerms::default() };
            engine.settle(&payment(n), &terms).await.unwrap().success
        })
    };
    let mut unfit = Vec::new();
    for n in 1..=UNFIT {
        unfit.push(settle(n));
        world.until(&payment(n), State::Broadcast).await;
        world.chain.cancel(PAYER, nonce(n));
        world.until(&payment(n), State::Reserved).await;
    }
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let good = settle(UNFIT + 1);
    world.until(&payment(UNFIT + 1), State::Broadcast).await;
    world.chain.mine();
    assert!(good.await.unwrap());
    unfit.iter().for_each(tokio::task::JoinHandle::abort);
}

/// A process that died with many payments in flight, and blocks that nobody saw.
#[tokio::test]
async fn of_a_batch_that_is_found_by_a_look_all_members_are_found_by_two_questions() {
    const COUNT: u8 = 20;
    let (mut world, crowd) = (World::new(false).await, Crowd::of(COUNT));
    crowd.gather(&world).await;
    world.chain.set_faults(Faults::default());
    crowd.until_sent(&world).await;
    world.stop().await;
    world.chain.mine();
    world.chain.mine();
    let before = world.chain.observations();
    world.restart();
    for (request, _) in &crowd.0 {
        let mined = |state| matches!(state, State::Mined | State::Final);
        while !mined(world.stored(request).await.unwrap().state) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    let asked = world.chain.observations() - before;
    let batches = world.chain.batches(SIGNER).len() as u64;
    assert!(asked <= 4 * batches, "{asked} questions for {COUNT} payments in {batches} batches");
}

#[tokio::test]
async fn a_payment_alone_goes_alone_and_at_once() {
    let world = World::new(true).await;
    for n in 1..=3 {
        assert!(world.settle(&payment(n), Uuid::new_v4()).await.success);
    }
    assert_eq!(world.chain.batches(SIGNER), [1, 1, 1]);
}

#[tokio::test]
async fn a_member_that_fails_harms_no_other() {
    const COUNT: u8 = 12;
    let (world, crowd) = (World::new(false).await, Crowd::of(COUNT));
    crowd.gather(&world).await;
    world.chain.set_faults(Faults::default());
    crowd.until_sent(&world).await;
    // In the same block, before the batch.
    world.chain.cancel(PAYER, nonce(7));
    for (n, (request, id)) in crowd.0.iter().enumerate() {
        if n != 6 {
            assert!(world.outcome(request, *id).await.success, "{n}");
        }
    }
    let (request, id) = &crowd.0[6];
    assert!(is(&world.settle(request, *id).await, "settlement_pending"));
    world.chain.mine();
    world.chain.mine();
    world.until(request, State::Dead).await;
    assert_eq!(world.outcome(request, *id).await.meaning(), SettleMeaning::Refused);
    world.assert_moved(u64::from(COUNT) - 1);
    let stored = world.stored(request).await.unwrap();
    assert_eq!(stored.transactions.len(), 1, "what cannot settle is not sent again");
}

#[tokio::test]
async fn a_member_that_a_stranger_settles_harms_no_other() {
    const COUNT: u8 = 5;
    let (world, crowd) = (World::new(false).await, Crowd::of(COUNT));
    crowd.gather(&world).await;
    world.chain.set_faults(Faults::default());
    crowd.until_sent(&world).await;
    world.chain.front_run(&crowd.0[2].0);
    for (n, (request, id)) in crowd.0.iter().enumerate() {
        if n != 2 {
            assert!(world.outcome(request, *id).await.success, "{n}");
        }
    }
    world.until(&crowd.0[2].0, State::Mined).await;
    world.assert_moved(COUNT.into());
}

#[tokio::test]
async fn a_batch_that_reverts_is_split_until_each_goes_alone() {
    const COUNT: u8 = 20;
    let (world, crowd) = (World::new(false).await, Crowd::of(COUNT));
    crowd.gather(&world).await;
    world.chain.set_faults(Faults { batches_revert: true, ..Faults::default() });
    let began = Instant::now();
    while world.chain.transfers() < usize::from(COUNT) {
        crowd.settle(&world).await;
        world.chain.mine();
        assert!(began.elapsed() < PATIENCE, "{} of {COUNT}", world.chain.transfers());
    }
    assert!(crowd.outcomes(&world).await.iter().all(|outcome| outcome.success));
    world.assert_moved(COUNT.into());
    for (request, _) in &crowd.0 {
        let stored = world.stored(request).await.unwrap();
        assert!(stored.transactions.len() <= 3, "{:?}", stored.transactions);
    }
    let batches = world.chain.batches(SIGNER);
    let small = batches.iter().filter(|members| (2..=2).contains(*members)).count();
    assert!(batches.contains(&1) && small > 0, "{batches:?}");
}

#[tokio::test]
async fn a_batch_is_sent_again_unchanged_and_replaced_with_the_same_members() {
    const COUNT: u8 = 6;
    let mut world = World::with(false, |limits| {
        limits.bump_after = Duration::from_millis(400);
        limits.attempts_per_slot = 2;
    })
    .await;
    let crowd = Crowd::of(COUNT);
    crowd.gather(&world).await;
    world.chain.set_faults(Faults { swallow: true, ..Faults::default() });
    crowd.until_sent(&world).await;
    let before = world.chain.distinct_transactions();
    world.restart();
    world.chain.set_faults(Faults::default());
    let began = Instant::now();
    while world.chain.distinct_transactions() < 2 * before {
        crowd.settle(&world).await;
        assert!(began.elapsed() < PATIENCE, "not replaced");
    }
    world.chain.set_faults(Faults { refuse: Some(Broadcast::Rejected), ..Faults::default() });
    world.chain.mine();
    assert!(crowd.outcomes(&world).await.iter().all(|outcome| outcome.success));
    world.assert_moved(COUNT.into());
    let members: usize = world.chain.batches(SIGNER).iter().sum();
    assert_eq!(members, usize::from(COUNT), "a replacement holds what it replaces");
}

#[tokio::test]
async fn a_batch_that_a_reorganisation_took_back_is_mined_again() {
    const COUNT: u8 = 8;
    let (world, crowd) = (World::new(false).await, Crowd::of(COUNT));
    crowd.gather(&world).await;
    world.chain.set_faults(Faults::default());
    crowd.until_sent(&world).await;
    world.chain.mine();
    assert!(crowd.outcomes(&world).await.iter().all(|outcome| outcome.success));
    let distinct = world.chain.distinct_transactions();
    world.chain.reorganise(1, false);
    world.assert_moved(0);
    let began = Instant::now();
    while world.chain.transfers() < usize::from(COUNT) {
        world.chain.mine();
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(began.elapsed() < PATIENCE, "{} came back", world.chain.transfers());
    }
    world.chain.mine();
    world.chain.mine();
    for (request, _) in &crowd.0 {
        world.until(request, State::Final).await;
    }
    assert_eq!(world.chain.distinct_transactions(), distinct, "the same bytes");
    world.assert_moved(COUNT.into());
}

#[tokio::test]
async fn an_unsigned_batch_is_taken_apart_where_payments_do_not_share_any_more() {
    const COUNT: u8 = 6;
    let (mut world, crowd) = (World::new(false).await, Crowd::of(COUNT));
    crowd.gather(&world).await;
    world.chain.set_batch_members(1);
    world.restart();
    world.chain.set_faults(Faults::default());
    crowd.until_sent(&world).await;
    world.chain.mine();
    assert!(crowd.outcomes(&world).await.iter().all(|outcome| outcome.success));
    world.assert_moved(COUNT.into());
    let batches = world.chain.batches(SIGNER);
    assert!(batches.iter().all(|members| *members <= 1), "{batches:?}");
}
