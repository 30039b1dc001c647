//! After the payment was sent: every way of not being told, and the same header again.

use std::time::{Duration, Instant};

use faregate_buyer::BuyerError;

use crate::harness::{Act, CONTENT, Seller, home, quote_for, seller};

const LONG: Duration = Duration::from_secs(60);

fn settle_then(act: Act) -> Act {
    Act::SettleThen(Box::new(act))
}

/// Does `first` with the first payment, and delivers when the same payment comes again.
async fn once(first: Act) -> Seller {
    seller(move |earlier, paid| match (paid, earlier) {
        (false, _) => Act::Challenge,
        (true, 0) => settle_then(first.clone()),
        (true, _) => settle_then(Act::Deliver),
    })
    .await
}

#[tokio::test]
async fn every_unknown_ends_in_the_content_with_one_debit() {
    for first in [
        Act::After(LONG, Box::new(Act::Deliver)),
        Act::Cut,
        Act::Pending,
        Act::Status(500),
        Act::Status(502),
        Act::Status(503),
        Act::Status(504),
        Act::Says(409, "payment_in_progress", None),
        Act::Says(429, "rate_limited", Some(0)),
        Act::Refuse("settlement_pending"),
    ] {
        let (home, seller) = (home(), once(first.clone()).await);
        let mut config = home.config();
        config.limits.request_timeout = Duration::from_secs(2);
        let buyer = faregate_buyer::Buyer::new(config).unwrap();
        let outcome = buyer.pay(&seller.request()).await.unwrap();
        assert_eq!((outcome.status, outcome.paid, outcome.attempts), (200, true, 2), "{first:?}");
        assert_eq!(&outcome.body[..], CONTENT.as_bytes());
        assert_eq!((seller.debits(), seller.payments().len()), (1, 2), "{first:?}");
        seller.assert_one_authorization();
        assert_eq!(home.records(), 0);
    }
}

#[tokio::test]
async fn a_slow_answer_within_the_timeout_is_an_answer() {
    let slow = Act::After(Duration::from_millis(200), Box::new(Act::Deliver));
    let (home, seller) = (home(), once(slow).await);
    let outcome = home.buyer().pay(&seller.request()).await.unwrap();
    assert_eq!((outcome.status, outcome.attempts), (200, 1));
    assert!(outcome.elapsed_ms >= 200);
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let (home, seller) = (home(), once(Act::Says(503, "settlement_pending", Some(1))).await);
    let mut config = home.config();
    config.limits.wait = Duration::from_secs(5);
    let begun = Instant::now();
    faregate_buyer::Buyer::new(config).unwrap().pay(&seller.request()).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1));
    seller.assert_one_authorization();
}

#[tokio::test]
async fn pursuit_is_bounded_and_an_absurd_retry_after_does_no_harm() {
    for retry_after in [None, Some(0), Some(3_600), Some(u64::MAX)] {
        let home = home();
        let seller = seller(move |_, paid| match paid {
            true => settle_then(Act::Says(503, "settlement_pending", retry_after)),
            false => Act::Challenge,
        })
        .await;
        let begun = Instant::now();
        let error = home.hurried().pay(&seller.request()).await.unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        let BuyerError::Unresolved { attempts, last, .. } = error else { panic!("{error}") };
        assert!((1..=100).contains(&attempts), "{attempts}");
        assert_eq!(last, "503 settlement_pending");
        seller.assert_one_authorization();
        assert_eq!(home.records(), 1);
    }
}

#[tokio::test]
async fn what_the_seller_said_is_told_although_the_end_of_patience_cut_the_last_attempt() {
    let home = home();
    let seller = seller(|earlier, paid| match (paid, earlier) {
        (false, _) => Act::Challenge,
        (true, 0) => settle_then(Act::Says(503, "settlement_pending", None)),
        (true, _) => Act::After(LONG, Box::new(Act::Deliver)),
    })
    .await;
    let mut config = home.config();
    config.limits.wait = Duration::from_secs(1);
    let error = faregate_buyer::Buyer::new(config).unwrap().pay(&seller.request()).await;
    let Err(BuyerError::Unresolved { attempts: 2, last, .. }) = error else { panic!("{error:?}") };
    assert_eq!(last, "503 settlement_pending");
}

#[tokio::test]
async fn a_seller_that_says_nothing_until_the_end_of_patience_did_not_answer() {
    let home = home();
    let seller = seller(|_, paid| match paid {
        false => Act::Challenge,
        true => Act::After(LONG, Box::new(Act::Deliver)),
    })
    .await;
    let error = home.hurried().pay(&seller.request()).await;
    let Err(BuyerError::Unresolved { last, .. }) = error else { panic!("{error:?}") };
    assert_eq!(last, "the seller did not answer in time");
}

#[tokio::test]
async fn pursuit_ends_with_the_authorization() {
    let home = home();
    let seller = seller(|_, paid| match paid {
        true => Act::Pending,
        false => Act::Quote(quote_for(1)),
    })
    .await;
    let mut config = home.config();
    config.limits.wait = Duration::from_secs(30);
    let begun = Instant::now();
    let error = faregate_buyer::Buyer::new(config).unwrap().pay(&seller.request()).await;
    assert!(matches!(error, Err(BuyerError::Unresolved { transaction: Some(_), .. })));
    assert!(begun.elapsed() < Duration::from_secs(15));
}

#[tokio::test]
async fn a_402_after_the_payment_is_final_for_the_run() {
    let home = home();
    let seller = seller(|_, paid| match paid {
        true => settle_then(Act::Refuse("invalid_exact_evm_insufficient_balance")),
        false => Act::Challenge,
    })
    .await;
    let outcome = home.buyer().pay(&seller.request()).await.unwrap();
    assert_eq!((outcome.status, outcome.paid, outcome.attempts), (402, false, 1));
    assert_eq!(outcome.reason.as_deref(), Some("invalid_exact_evm_insufficient_balance"));
    assert_eq!(seller.payments().len(), 1);
}

#[tokio::test]
async fn an_answer_above_the_limit_keeps_the_payment_for_a_larger_limit() {
    let home = home();
    let seller = seller(|_, paid| match paid {
        true => settle_then(Act::Body(2 << 20)),
        false => Act::Challenge,
    })
    .await;
    let mut config = home.config();
    config.limits.max_body_bytes = 1 << 20;
    let error = faregate_buyer::Buyer::new(config).unwrap().pay(&seller.request()).await;
    assert!(matches!(error, Err(BuyerError::AnswerTooLarge { after_payment: true, .. })));
    let outcome = home.buyer().pay(&seller.request()).await.unwrap();
    assert_eq!((outcome.body.len(), outcome.resumed), (2 << 20, true));
    seller.assert_one_authorization();
}
