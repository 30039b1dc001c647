//! Several processes on one ledger; here each is a ledger with connections of its own.

use std::time::Duration;

use faregate_ledger::{
    ClaimMove, ClaimState, ClaimStore, Claimed, DeferredClaim, DeferredStore, ExposureLimits, Hold,
    LedgerError, NewClaim, PostgresLedger, SettlementState, SettlementStore, StoredAnswer, Tried,
};
use serde_json::json;
use sqlx::Row as _;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{raw, run, until_somebody_waits};
use crate::bench::{Bench, NETWORK, SIGNER, WAIT_MS, attempt};
use crate::cluster;
use crate::samples::{LEASE_MS, new_claim, new_settlement, request};
use crate::seed::Dice;
use crate::stores::connect;

const RACERS: usize = 64;
const ROUNDS: u8 = 5;
const PAYMENTS: u8 = 20;
/// Short, so that leases run out in the middle of the work.
const TTL_MS: u64 = 15;
const WORKERS: u64 = 4;
/// Longer than a call takes, far shorter than a call waits.
const LOCKED_MS: u64 = 500;

async fn processes<const N: usize>() -> (String, [PostgresLedger; N]) {
    let cluster = cluster::shared();
    let database = cluster.database().await;
    let mut ledgers = Vec::with_capacity(N);
    for _ in 0..N {
        ledgers.push(connect(&cluster.url(&database)).await);
    }
    (database, ledgers.try_into().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn u1_of_64_racing_claims_over_three_processes_one_wins() {
    let (_, ledgers) = processes::<3>().await;
    for n in 0..ROUNDS {
        let mut racers = JoinSet::new();
        for i in 0..RACERS {
            let ledger = ledgers[i % ledgers.len()].clone();
            racers.spawn(async move { ledger.claim(&new_claim(n), LEASE_MS).await });
        }
        let mut winners = 0;
        while let Some(claimed) = racers.join_next().await {
            winners += u32::from(matches!(claimed.unwrap().unwrap(), Claimed::Won(_)));
        }
        assert_eq!(winners, 1, "round {n}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_racing_sweepers_one_takes_a_claim_over() {
    let (_, ledgers) = processes::<3>().await;
    for n in 0..ROUNDS {
        let Claimed::Won(hold) = ledgers[0].claim(&new_claim(n), 0).await.unwrap() else {
            panic!("not won")
        };
        let mut racers = JoinSet::new();
        for i in 0..RACERS / 4 {
            let (ledger, key) = (ledgers[i % ledgers.len()].clone(), hold.key);
            let state = faregate_ledger::ClaimState::Verified;
            racers.spawn(async move { ledger.take_over(&key, state, LEASE_MS).await });
        }
        let mut takers = 0;
        while let Some(taken) = racers.join_next().await {
            takers += u32::from(taken.unwrap().unwrap().is_some());
        }
        assert_eq!(takers, 1, "round {n}");
        let claim = ledgers[1].find_claim(&hold.key).await.unwrap().unwrap();
        assert_eq!(claim.token, hold.token + 1);
    }
}

/// A write that began under a lease ends before the next holder has it, however late that is.
#[tokio::test]
async fn u5_a_lease_changes_hands_only_between_writes() {
    use SettlementState as S;
    let (database, [one, two]) = processes().await;
    let key = new_settlement(1).key;
    one.reserve(&new_settlement(1), WAIT_MS).await.unwrap();
    let lease = one.lease("lane", Uuid::new_v4(), LOCKED_MS).await.unwrap().unwrap();
    let mut beside = raw(cluster::shared(), &database).await;
    run(&mut beside, "begin; update settlements set tries = tries + 1").await;
    let write = tokio::spawn(async move {
        one.move_settlement(&lease, &key, S::Reserved, S::Dormant, json!({})).await
    });
    until_somebody_waits(&mut raw(cluster::shared(), &database).await).await;
    // Its lease runs out in the middle of the write.
    tokio::time::sleep(Duration::from_millis(LOCKED_MS)).await;
    let mut next = tokio::spawn(async move { two.lease("lane", Uuid::new_v4(), WAIT_MS).await });
    let early = tokio::time::timeout(Duration::from_millis(LOCKED_MS), &mut next).await;
    assert!(early.is_err(), "it was taken in the middle of a write: {early:?}");
    run(&mut beside, "commit").await;
    assert!(write.await.unwrap().unwrap());
    assert_eq!(next.await.unwrap().unwrap().unwrap().token, 2);
}

/// A payment that is being moved gets a slot only as what it is afterwards.
#[tokio::test]
async fn no_slot_is_given_to_a_payment_that_is_ending() {
    let (database, [ledger]) = processes().await;
    let bench = Bench::new(ledger).await;
    let key = bench.reserved(1).await;
    let mut beside = raw(cluster::shared(), &database).await;
    run(&mut beside, "begin; update settlements set state = 6").await;
    let (slot, ()) = tokio::join!(bench.slot(0, &key), async {
        let mut third = raw(cluster::shared(), &database).await;
        let wait = until_somebody_waits(&mut third);
        let waited = tokio::time::timeout(Duration::from_millis(LOCKED_MS * 3), wait).await;
        run(&mut beside, "commit").await;
        assert!(waited.is_ok(), "the slot was given without asking");
    });
    assert_eq!(slot, None);
}

/// Workers of two processes steal one lane from each other, and sleep through the ends of their
/// leases: every payment still gets one nonce and is signed once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn u5_u6_u7_workers_that_steal_one_lane_from_each_other_sign_each_payment_once() {
    let seed = Dice::seed();
    println!("FAREGATE_TEST_SEED={seed}");
    let (database, ledgers) = processes::<2>().await;
    for n in 0..PAYMENTS {
        ledgers[0].reserve(&new_settlement(n), WAIT_MS * 10).await.unwrap();
    }
    let mut workers = JoinSet::new();
    for i in 0..WORKERS {
        let ledger = ledgers[usize::try_from(i).unwrap() % ledgers.len()].clone();
        workers.spawn(work(ledger, Dice::new(seed.wrapping_add(i))));
    }
    let mut lost = 0;
    while let Some(times) = workers.join_next().await {
        lost += times.unwrap();
    }
    println!("a lease was lost {lost} times");
    for n in 0..PAYMENTS {
        let row = ledgers[0].find_settlement(&new_settlement(n).key).await.unwrap().unwrap();
        assert_eq!((row.state, row.transactions.len()), (SettlementState::Signed, 1), "{n}");
    }
    let lane = ledgers[0].lane(NETWORK, SIGNER).await.unwrap();
    let nonces: Vec<_> = lane.open.iter().map(|slot| slot.nonce).collect();
    assert_eq!(nonces, (0..u64::from(PAYMENTS)).collect::<Vec<_>>(), "dense");
    let mut beside = raw(cluster::shared(), &database).await;
    let signed = "select count(*) from journal where to_state = 'SIGNED'";
    let signed: i64 = sqlx::query(signed).fetch_one(&mut beside).await.unwrap().get(0);
    assert_eq!(signed, i64::from(PAYMENTS));
}

/// Takes the lane when it can and works on it until nothing is wanted; how often it lost it.
async fn work(ledger: PostgresLedger, mut dice: Dice) -> u32 {
    let (owner, mut lost) = (Uuid::new_v4(), 0);
    loop {
        let Some(lease) = ledger.lease("lane", owner, TTL_MS).await.unwrap() else {
            tokio::time::sleep(Duration::from_millis(dice.below(TTL_MS))).await;
            continue;
        };
        let lane = ledger.lane(NETWORK, SIGNER).await.unwrap();
        let unsigned = lane.open.into_iter().find(|slot| slot.attempts.is_empty());
        let wanted = ledger.wanted(NETWORK, 0, 1).await.unwrap().pop();
        // A pause of a process: sometimes beyond the end of the lease.
        tokio::time::sleep(Duration::from_millis(dice.below(TTL_MS * 2))).await;
        let done = match (unsigned, wanted) {
            (Some(slot), _) => {
                let n = slot.members[0].key.0[0];
                ledger.record_attempt(&lease, &slot, &attempt(n)).await.map(|_| ())
            }
            (None, Some(row)) => {
                let slot = ledger.allocate_slot(&lease, NETWORK, SIGNER, 0, &[row.new.key]).await;
                slot.map(|_| ())
            }
            (None, None) => return lost,
        };
        match done {
            Ok(()) => {}
            Err(LedgerError::LeaseLost { .. }) => lost += 1,
            Err(error) => panic!("{error}"),
        }
    }
}

/// The limits hold over any number of gates: a sum is never read and raised in two steps.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_racing_claims_over_three_processes_the_exposure_is_never_exceeded() {
    let (database, ledgers) = processes::<3>().await;
    let limits = ExposureLimits { payer: 130_000.into(), total: 250_000.into() };
    let mut racers = JoinSet::new();
    for n in 0..RACERS {
        let ledger = ledgers[n % ledgers.len()].clone();
        let number = u8::try_from(n).unwrap();
        let payer = format!("0xpayer{}", n % 2);
        let new = NewClaim { payer, valid_before: 4_000_000_000, ..new_claim(number) };
        racers.spawn(async move {
            let claimed = ledger.claim_deferred(&new, LEASE_MS, &request(), limits).await.unwrap();
            let DeferredClaim::Claimed(Claimed::Won(hold)) = claimed else { return false };
            // Some are served and settled, some are given up, some stay on the books.
            match n % 4 {
                0 => serve_and_settle(&ledger, &hold).await,
                1 => give_up(&ledger, &hold).await,
                _ => {}
            }
            true
        });
    }
    let watch = sum_of_everybody(&database);
    let (booked, highest) = tokio::join!(
        async {
            let mut booked = 0_u64;
            while let Some(done) = racers.join_next().await {
                booked += u64::from(done.unwrap());
            }
            booked
        },
        watch
    );
    assert!(highest <= 250_000, "{highest} on the books");
    assert!(booked >= 25, "only {booked} found room");
    let mut beside = raw(cluster::shared(), &database).await;
    let open = "select coalesce(count(*), 0) from deferrals where state in (0, 1, 2)";
    let open: i64 = sqlx::query(open).fetch_one(&mut beside).await.unwrap().get(0);
    let sums = "select unsettled::bigint from exposures order by payer";
    let sums = sqlx::query(sums).fetch_all(&mut beside).await.unwrap();
    let sums: Vec<i64> = sums.iter().map(|row| row.get(0)).collect();
    assert_eq!(sums[0], open * 10_000, "everybody's");
    assert_eq!(sums[1..].iter().sum::<i64>(), sums[0]);
    assert!(sums[1..].iter().all(|sum| *sum <= 130_000), "{sums:?}");
}

async fn serve_and_settle(ledger: &PostgresLedger, hold: &Hold) {
    let answer = StoredAnswer { status: 200, headers: Vec::new(), body: Vec::new().into() };
    assert!(ledger.keep_answer(hold, &answer, &request()).await.unwrap());
    assert!(ledger.grant(hold, Uuid::new_v4()).await.unwrap());
    for due in ledger.take_due("local", 10, LEASE_MS).await.unwrap() {
        let paid = Tried::Settled { transaction: "0x1".into() };
        assert!(ledger.record_try(&due.hold, &paid).await.unwrap());
        assert!(!ledger.record_try(&due.hold, &paid).await.unwrap());
    }
}

async fn give_up(ledger: &PostgresLedger, hold: &Hold) {
    let (from, to) = (ClaimState::Verified, ClaimState::Released);
    let step = ClaimMove { from, to, transaction: None, evidence: json!({}) };
    assert!(ledger.move_claim(hold, step).await.unwrap());
}

/// The highest that an observer sees in a while.
async fn sum_of_everybody(database: &str) -> i64 {
    let mut beside = raw(cluster::shared(), database).await;
    let mut highest = 0;
    for _ in 0..100 {
        let sum = "select coalesce(max(unsettled), 0)::bigint from exposures where payer = ''";
        let sum: i64 = sqlx::query(sum).fetch_one(&mut beside).await.unwrap().get(0);
        highest = highest.max(sum);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    highest
}
