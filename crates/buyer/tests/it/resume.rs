//! One purchase over several runs: the same header until that payment is dead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use faregate_buyer::{Buyer, BuyerError, Quoted};

use crate::harness::{Act, Home, Seller, home, quote_for, seller};

fn settle_then(act: Act) -> Act {
    Act::SettleThen(Box::new(act))
}

/// Does `bad` with every payment while `broken`, then delivers.
async fn mending(bad: Act, life_secs: u64) -> (Seller, Arc<AtomicBool>) {
    let broken = Arc::new(AtomicBool::new(true));
    let flag = broken.clone();
    let seller = seller(move |_, paid| match (paid, flag.load(Ordering::SeqCst)) {
        (false, _) => Act::Quote(quote_for(life_secs)),
        (true, true) => bad.clone(),
        (true, false) => settle_then(Act::Deliver),
    })
    .await;
    (seller, broken)
}

async fn run(home: &Home, seller: &Seller) -> Result<faregate_buyer::Outcome, BuyerError> {
    // A buyer of its own for each run, as from another process.
    home.hurried().pay(&seller.request()).await
}

#[tokio::test]
async fn the_next_run_sends_the_identical_header_and_asks_for_no_new_quote() {
    for bad in [
        settle_then(Act::Status(503)),
        settle_then(Act::Cut),
        settle_then(Act::After(Duration::from_secs(60), Box::new(Act::Deliver))),
        Act::Pending,
    ] {
        let (home, (seller, broken)) = (home(), mending(bad.clone(), 60).await);
        let error = run(&home, &seller).await.unwrap_err();
        assert!(matches!(error, BuyerError::Unresolved { .. }), "{error}");
        let Quoted::Priced(quote) = home.buyer().quote(&seller.request()).await.unwrap() else {
            panic!("free")
        };
        assert!(quote.unresolved);
        broken.store(false, Ordering::SeqCst);
        let outcome = run(&home, &seller).await.unwrap();
        assert_eq!((outcome.status, outcome.resumed, outcome.attempts), (200, true, 1));
        assert_eq!((seller.debits(), home.records()), (1, 0), "{bad:?}");
        seller.assert_one_authorization();
    }
}

#[tokio::test]
async fn a_refused_payment_that_can_still_move_money_is_not_followed_by_a_second() {
    for bad in [
        settle_then(Act::Refuse("invalid_exact_evm_signature")),
        settle_then(Act::Refuse("payment_not_charged")),
        settle_then(Act::Says(409, "payment_already_claimed", None)),
        settle_then(Act::Status(404)),
    ] {
        let (home, (seller, broken)) = (home(), mending(bad.clone(), 60).await);
        for _ in 0..3 {
            let outcome = run(&home, &seller).await.unwrap();
            assert!(!outcome.paid && outcome.attempts == 1, "{bad:?}");
        }
        seller.assert_one_authorization();
        broken.store(false, Ordering::SeqCst);
        assert!(run(&home, &seller).await.unwrap().paid);
        seller.assert_one_authorization();
    }
}

#[tokio::test]
async fn after_its_end_a_refused_payment_makes_room_for_a_new_one() {
    let (home, (seller, broken)) = (home(), mending(Act::Refuse("deadline_too_close"), 1).await);
    assert_eq!(run(&home, &seller).await.unwrap().status, 402);
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    // Still refusing what is dead, and then paid anew: refused again, and that is told.
    assert_eq!(run(&home, &seller).await.unwrap().status, 402);
    let payments = seller.payments();
    assert_eq!(payments.len(), 3);
    assert!(payments[0] == payments[1] && payments[1] != payments[2]);
    broken.store(false, Ordering::SeqCst);
    assert!(run(&home, &seller).await.unwrap().resumed);
    assert_eq!(seller.debits(), 1);
}

#[tokio::test]
async fn an_unknown_payment_is_asked_about_after_its_end_before_anything_new() {
    for (then, runs_to_a_new_one) in
        [(Act::Refuse("payment_not_charged"), 1), (Act::Refuse("deadline_too_close"), 2)]
    {
        let (home, broken) = (home(), Arc::new(AtomicBool::new(true)));
        let flag = broken.clone();
        let seller = seller(move |_, paid| match (paid, flag.load(Ordering::SeqCst)) {
            (false, _) => Act::Quote(quote_for(1)),
            (true, true) => Act::Status(503),
            (true, false) => then.clone(),
        })
        .await;
        assert!(matches!(run(&home, &seller).await, Err(BuyerError::Unresolved { .. })));
        tokio::time::sleep(Duration::from_millis(2_100)).await;
        broken.store(false, Ordering::SeqCst);
        for _ in 0..runs_to_a_new_one {
            assert_eq!(run(&home, &seller).await.unwrap().status, 402);
        }
        let distinct: std::collections::HashSet<_> = seller.payments().into_iter().collect();
        assert_eq!(distinct.len(), 2);
    }
}

#[tokio::test]
async fn a_limit_that_was_lowered_holds_for_the_payment_on_record() {
    let (home, (seller, broken)) = (home(), mending(Act::Pending, 60).await);
    assert!(run(&home, &seller).await.is_err());
    // The last attempt was cut by the end of the run and may still be on its way.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let sent = seller.payments().len();
    broken.store(false, Ordering::SeqCst);
    let mut config = home.config();
    config.max_price = "$0.009".parse().unwrap();
    let error = Buyer::new(config).unwrap().pay(&seller.request()).await.unwrap_err();
    assert!(error.to_string().contains("0.01 USDC"), "{error}");
    assert!(error.to_string().contains("$0.009"), "{error}");
    assert_eq!(seller.payments().len(), sent);
    assert!(run(&home, &seller).await.unwrap().paid);
}

#[tokio::test]
async fn the_header_is_on_disk_before_it_is_sent() {
    let home = home();
    let path = home.path().to_owned();
    let seller = seller(move |_, paid| match paid {
        false => Act::Challenge,
        true => {
            let mut files = std::fs::read_dir(&path).unwrap().map(|file| file.unwrap().path());
            let found = files.find(|file| file.extension().unwrap() == "json");
            let text = found.map(|file| std::fs::read_to_string(file).unwrap());
            match text {
                Some(text) if text.contains("\"state\":\"sent\"") => settle_then(Act::Deliver),
                _ => Act::Status(418),
            }
        }
    })
    .await;
    assert_eq!(run(&home, &seller).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_run_that_is_dropped_anywhere_leaves_at_most_one_authorization() {
    for after_ms in (0..60).step_by(3) {
        let home = home();
        let slow = Act::After(Duration::from_millis(20), Box::new(settle_then(Act::Deliver)));
        let seller =
            seller(move |_, paid| if paid { slow.clone() } else { Act::Quote(quote_for(60)) })
                .await;
        let (buyer, request) = (home.buyer(), seller.request());
        let cut = tokio::time::timeout(Duration::from_millis(after_ms), buyer.pay(&request)).await;
        drop(buyer);
        if cut.is_err() {
            assert!(run(&home, &seller).await.unwrap().paid);
        }
        assert!(seller.debits() <= 1, "{after_ms} ms: money moved twice");
        seller.assert_one_authorization();
    }
}
