//! The k-th ledger call fails, for every k, before and after it took effect; with and without the
//! death of the process right there. The payment settles once, and its owner learns of it.

use std::sync::Arc;

use faregate_protocol::{Facilitator, SettleTerms};
use uuid::Uuid;

use crate::failing_store::FailingStore;
use crate::world::{World, payment, start};

/// More calls than one settlement makes.
const MOST_CALLS: u64 = 40;

async fn one_run(k: u64, after: bool, dies: bool) -> bool {
    let mut world = World::new(true).await;
    let (request, id) = (payment(1), Uuid::new_v4());
    let store = Arc::new(FailingStore::new(world.ledger.clone(), k, after));
    world.stop().await;
    let (engine, running) = start(&world.chain, store.clone(), &world.clock);
    world.engine = engine;
    let terms = SettleTerms { settle_id: Some(id), ..SettleTerms::default() };
    let first = world.engine.settle(&request, &terms).await;
    let running = if dies {
        drop(running);
        world.restart();
        None
    } else {
        Some(running)
    };
    let last = world.outcome(&request, id).await;
    assert!(last.success, "k={k} after={after} dies={dies}: {last:?}");
    if let Ok(first) = first
        && first.success
    {
        assert_eq!(first, last, "k={k} after={after} dies={dies}");
    }
    world.assert_moved(1);
    assert_eq!(world.chain.distinct_transactions(), 1, "k={k} after={after} dies={dies}");
    drop(running);
    store.reached()
}

#[tokio::test]
async fn a_settlement_survives_the_failure_of_any_ledger_call() {
    for (after, dies) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut reached = 0;
        for k in 1..=MOST_CALLS {
            if !one_run(k, after, dies).await {
                break;
            }
            reached = k;
        }
        assert!(reached >= 6, "only {reached} calls were reached: after={after} dies={dies}");
    }
}
