//! Many runs of one request at once.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use faregate_buyer::BuyerError;

use crate::harness::{Act, Home, Seller, home, seller};

/// 64 runs at once, each with a buyer of its own.
async fn all_at_once(home: &Arc<Home>, seller: &Arc<Seller>) -> Vec<Result<u16, BuyerError>> {
    let mut runs = JoinSet::new();
    for _ in 0..64 {
        let (home, seller) = (home.clone(), seller.clone());
        runs.spawn(async move {
            home.buyer().pay(&seller.request()).await.map(|outcome| outcome.status)
        });
    }
    runs.join_all().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_authorizations_are_never_alive_at_once() {
    let (live, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (alive, peak) = (live.clone(), most.clone());
    let seller = seller(move |earlier, paid| {
        if !paid {
            return Act::Challenge;
        }
        // Every payment is answered twice: unknown first, then with the content. It is alive
        // from its first sight to its end.
        if earlier % 2 == 0 {
            let now = alive.fetch_add(1, Ordering::SeqCst) + 1;
            peak.fetch_max(now, Ordering::SeqCst);
            return Act::Pending;
        }
        alive.fetch_sub(1, Ordering::SeqCst);
        Act::SettleThen(Box::new(Act::Deliver))
    })
    .await;
    let (home, seller) = (Arc::new(home()), Arc::new(seller));
    let results = all_at_once(&home, &seller).await;
    assert!(results.iter().all(|result| matches!(result, Ok(200))));
    assert_eq!(most.load(Ordering::SeqCst), 1);
    let payments = seller.payments();
    assert_eq!(payments.len(), 128);
    for pair in payments.chunks(2) {
        assert_eq!(pair[0], pair[1]);
    }
    assert_eq!((seller.debits(), home.records()), (64, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_one_payment_is_refused_nobody_signs_another() {
    let seller = seller(|_, paid| match paid {
        true => Act::SettleThen(Box::new(Act::Refuse("invalid_exact_evm_signature"))),
        false => Act::Challenge,
    })
    .await;
    let (home, seller) = (Arc::new(home()), Arc::new(seller));
    let results = all_at_once(&home, &seller).await;
    assert!(results.iter().all(|result| matches!(result, Ok(402))));
    let distinct: HashSet<_> = seller.payments().into_iter().collect();
    assert_eq!((distinct.len(), seller.debits()), (1, 1));
}

#[tokio::test]
async fn a_run_that_cannot_have_its_turn_sends_nothing() {
    let home = home();
    let seller =
        seller(|_, _| Act::After(Duration::from_secs(2), Box::new(Act::Status(200)))).await;
    let mut config = home.config();
    config.limits.wait = Duration::from_millis(50);
    let impatient = faregate_buyer::Buyer::new(config).unwrap();
    let (buyer, request) = (home.buyer(), seller.request());
    let second = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        impatient.pay(&request).await
    };
    let (first, second) = tokio::join!(buyer.pay(&request), second);
    assert!(first.is_ok() && matches!(second, Err(BuyerError::Busy)));
    assert_eq!(seller.asked(), 1);
}
