//! A client that goes away, and a process that dies, before and after every call to the ledger.
//! Whatever was interrupted: the retry gets the answer, the resource ran once unless nothing of it
//! was kept, and the payment was settled once.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use faregate_gate::GateBody;
use faregate_ledger::{ClaimStore, Sealer, SqliteLedger};
use http::Response;
use serde_json::Value;
use tower::ServiceExt;

use crate::faulty_ledger::{FaultyLedger, Latch, When};
use crate::payment::{fresh, key};
use crate::world::{Resource, SECRET, Seen, World, config, on_both_stores, priced_route, request};

on_both_stores! { whoever_disconnects_at_any_call_gets_the_answer_of_the_one_run }

/// Look up, claim, keep, SETTLING, SETTLED, GRANTED.
const CALLS: usize = 6;
/// Of these, the one that keeps the answer.
const KEEP: usize = 2;
const LEASE_MS: u64 = 300;

/// No two runs answer the same.
fn changing() -> Resource {
    Arc::new(|_| {
        Box::pin(async {
            Response::new(GateBody::full(format!("{SECRET} {}", uuid::Uuid::new_v4())))
        })
    })
}

fn cases() -> impl Iterator<Item = (usize, When)> {
    (0..CALLS).flat_map(|at| [When::Before, When::After].map(|when| (at, when)))
}

async fn whoever_disconnects_at_any_call_gets_the_answer_of_the_one_run(
    store: Arc<dyn ClaimStore>,
) {
    for (at, when) in cases() {
        let latch = Latch::closed();
        let waiting = FaultyLedger::waiting(Arc::clone(&store), when, at, &latch);
        let world = World::with(Arc::new(waiting), config(vec![priced_route()]), changing());
        let payment = fresh();
        let asked = world.service().oneshot(request("GET", "/weather", Some(&payment)));
        // Whoever loses this race is dropped where it is.
        tokio::select! {
            _ = asked => panic!("{at} {when:?}: nobody waited"),
            () = latch.reached() => {}
        }
        latch.open();
        assert!(world.gate.wait_idle(Duration::from_secs(5)).await);
        world.until_unheld_or_granted(&key(&payment)).await;
        let seen = world.pay("/weather", &payment).await;
        assert!(seen.is_granted(), "{at} {when:?}: {seen:?}");
        assert_eq!(world.pay("/weather", &payment).await.answer(), seen.answer());
        assert_eq!((world.runs(), world.facilitator.settled().len()), (1, 1), "{at} {when:?}");
        assert_eq!(world.grants(&key(&payment)).await, 1);
    }
}

fn sealer() -> Sealer {
    Sealer::new(&"11".repeat(32), &[]).unwrap()
}

/// A process: it ends with the runtime that it runs on, in the middle of whatever it does.
pub(crate) fn process<T>(life: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let lived = runtime.block_on(life);
    runtime.shutdown_timeout(Duration::from_secs(5));
    lived
}

pub(crate) async fn opened(path: &Path) -> SqliteLedger {
    for _ in 0..200 {
        if let Ok(ledger) = SqliteLedger::open(path, sealer()).await {
            return ledger;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    SqliteLedger::open(path, sealer()).await.unwrap()
}

fn short_lease() -> faregate_gate::GateConfig {
    let mut config = config(vec![priced_route()]);
    config.lease_ms = LEASE_MS;
    config
}

/// Lives until it comes to the latch, and dies there. Returns how often the resource ran and how
/// often it was asked to settle.
fn dies(path: &Path, payment: &Value, (at, when): (usize, When)) -> (usize, usize) {
    process(async {
        let latch = Latch::closed();
        let ledger = Arc::new(opened(path).await);
        let waiting = FaultyLedger::waiting(ledger, when, at, &latch);
        let world = World::with(Arc::new(waiting), short_lease(), changing());
        tokio::select! {
            _ = world.pay("/weather", payment) => panic!("{at} {when:?}: nobody waited"),
            () = latch.reached() => {}
        }
        (world.runs(), world.facilitator.settled().len())
    })
}

/// Lives on the same file and serves the buyer, twice.
fn serves(path: &Path, payment: &Value) -> (Seen, usize, usize) {
    process(async {
        let ledger = opened(path).await;
        let world = World::with(Arc::new(ledger.clone()), short_lease(), changing());
        let mut seen = world.pay("/weather", payment).await;
        for _ in 0..200 {
            if seen.status == 200 {
                break;
            }
            seen.expect_refusal(409, "payment_in_progress");
            tokio::time::sleep(Duration::from_millis(10)).await;
            seen = world.pay("/weather", payment).await;
        }
        assert_eq!(world.pay("/weather", payment).await.answer(), seen.answer());
        assert_eq!(world.grants(&key(payment)).await, 1);
        let counts = (world.runs(), world.facilitator.settled().len());
        ledger.close().await;
        (seen, counts.0, counts.1)
    })
}

#[test]
fn a_process_that_dies_at_any_call_is_survived_by_the_answer() {
    for (at, when) in cases() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.db");
        let payment = fresh();
        let (runs, _) = dies(&path, &payment, (at, when));
        let (seen, runs_after, settled_after) = serves(&path, &payment);
        assert!(seen.is_granted(), "{at} {when:?}: {seen:?}");
        let kept = at > KEEP || (at == KEEP && when == When::After);
        // Asked before and not known to be proven: the same question again, under the same id.
        let proven = at > 4 || (at == 4 && when == When::After);
        assert_eq!(runs, usize::from(at >= KEEP), "{at} {when:?}");
        assert_eq!(runs_after, usize::from(!kept), "{at} {when:?}");
        assert_eq!(settled_after, usize::from(!proven), "{at} {when:?}");
        let third = serves(&path, &payment);
        assert_eq!((third.0.answer(), third.1, third.2), (seen.answer(), 0, 0));
    }
}

#[test]
fn a_kept_answer_is_sealed_on_disk() {
    const CANARY: &str = "canary-in-the-body-on-disk";
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let resource: Resource = Arc::new(|_| {
        Box::pin(async {
            let answer = Response::builder().header("x-canary", "canary-in-a-header-on-disk");
            answer.body(GateBody::full(CANARY)).unwrap()
        })
    });
    process(async {
        let ledger = opened(&path).await;
        let world = World::with(Arc::new(ledger.clone()), short_lease(), resource);
        let payment = fresh();
        assert_eq!(world.pay("/weather", &payment).await.body, CANARY);
        assert_eq!(world.pay("/weather", &payment).await.body, CANARY);
        assert_no_canary(dir.path());
        ledger.close().await;
        assert_no_canary(dir.path());
    });
}

#[track_caller]
fn assert_no_canary(dir: &Path) {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let content = std::fs::read(entry.unwrap().path()).unwrap();
        bytes += content.len();
        for canary in [b"canary-in-".as_slice(), crate::payment::SIGNATURE_CANARY.as_bytes()] {
            assert!(!content.windows(canary.len()).any(|window| window == canary));
        }
        // A body in the head's way of writing bytes: "canary" as numbers.
        let numbers = b"99,97,110,97,114,121";
        assert!(!content.windows(numbers.len()).any(|window| window == numbers));
    }
    assert!(bytes > 4096, "the ledger was read");
}
