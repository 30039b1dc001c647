//! Sellers that speak version 1 only, honest and hostile: the same rules, other names.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use faregate_buyer::{BuyerError, Quoted, Version};
use faregate_protocol::header::{PAYMENT_SIGNATURE, X_PAYMENT};
use faregate_protocol::v1::PaymentPayloadV1;
use faregate_protocol::{PaymentRequirements, header};
use serde_json::{Value, json};

use crate::harness::{Act, CONTENT, Seller, home, now_unix, option_v1, quote, quote_for, read};
use crate::harness::{seller, seller_of};

fn settle_then(act: Act) -> Act {
    Act::SettleThen(Box::new(act))
}

async fn v1(script: impl Fn(usize, bool) -> Act + Send + Sync + 'static) -> Seller {
    seller_of(Version::V1, script).await
}

async fn honest() -> Seller {
    v1(|_, paid| if paid { settle_then(Act::Deliver) } else { Act::Challenge }).await
}

#[tokio::test]
async fn a_seller_of_version_1_is_paid_in_x_payment() {
    let (home, seller) = (home(), honest().await);
    let outcome = home.buyer().pay(&seller.request()).await.unwrap();
    assert_eq!((outcome.status, outcome.paid, outcome.attempts), (200, true, 1));
    assert_eq!(&outcome.body[..], CONTENT.as_bytes());
    let payment = outcome.payment.unwrap();
    assert_eq!((payment.price.as_str(), payment.network.as_str()), ("0.01 USDC", "eip155:84532"));
    assert_eq!(payment.transaction.as_deref(), Some("0xfeed"));
    assert_eq!((seller.asked(), seller.debits(), home.records()), (2, 1, 0));
    assert_eq!(*seller.books.names.lock().unwrap(), [X_PAYMENT]);
}

#[tokio::test]
async fn the_payment_has_the_shape_of_version_1_and_a_checked_content() {
    let (home, seller) = (home(), honest().await);
    home.buyer().pay(&seller.request()).await.unwrap();
    let text = seller.payments().remove(0);
    let sent: PaymentPayloadV1 = header::decode(text.as_bytes()).unwrap();
    assert_eq!((sent.x402_version, sent.scheme.as_str()), (1, "exact"));
    assert_eq!(sent.network, "base-sepolia");
    let value: Value = header::decode(text.as_bytes()).unwrap();
    let members: Vec<_> = value.as_object().unwrap().keys().collect();
    assert_eq!(members, ["x402Version", "scheme", "network", "payload"]);
    let signed = read(&text).authorization;
    let own: PaymentRequirements = serde_json::from_value(quote()).unwrap();
    assert_eq!((signed.value, signed.to.to_checksum(None)), (own.amount, own.pay_to));
    assert!(signed.valid_after.is_zero());
    let valid_before: u64 = signed.valid_before.try_into().unwrap();
    assert!((now_unix() + 55..=now_unix() + 60).contains(&valid_before));
}

#[tokio::test]
async fn who_speaks_both_is_paid_in_version_2() {
    let home = home();
    let seller = seller(|_, paid| match paid {
        true => settle_then(Act::Deliver),
        false => Act::Both,
    })
    .await;
    home.buyer().pay(&seller.request()).await.unwrap();
    assert_eq!(*seller.books.names.lock().unwrap(), [PAYMENT_SIGNATURE]);
    assert_eq!(seller.debits(), 1);
}

#[tokio::test]
async fn a_quote_signs_nothing_and_the_limit_holds() {
    let (home, seller) = (home(), honest().await);
    let Quoted::Priced(found) = home.buyer().quote(&seller.request()).await.unwrap() else {
        panic!("free")
    };
    assert_eq!((found.price.as_str(), found.valid_for_secs), ("0.01 USDC", 60));
    let dear = v1(|_, _| {
        let mut dear = quote();
        dear["amount"] = json!("100001");
        Act::Quote(dear)
    })
    .await;
    let error = home.buyer().pay(&dear.request()).await.unwrap_err();
    assert!(error.to_string().contains("0.100001 USDC"), "{error}");
    assert!(dear.payments().is_empty() && seller.payments().is_empty());
    assert_eq!(home.records(), 0);
}

#[tokio::test]
async fn every_unknown_ends_in_the_content_with_one_debit() {
    for first in [
        Act::After(Duration::from_secs(60), Box::new(Act::Deliver)),
        Act::Cut,
        Act::Pending,
        Act::Status(500),
        Act::Status(503),
        Act::Says(409, "payment_in_progress", None),
        Act::Refuse("settlement_pending"),
    ] {
        let (home, bad) = (home(), first.clone());
        let seller = v1(move |earlier, paid| match (paid, earlier) {
            (false, _) => Act::Challenge,
            (true, 0) => settle_then(bad.clone()),
            (true, _) => settle_then(Act::Deliver),
        })
        .await;
        let mut config = home.config();
        config.limits.request_timeout = Duration::from_secs(2);
        let buyer = faregate_buyer::Buyer::new(config).unwrap();
        let outcome = buyer.pay(&seller.request()).await.unwrap();
        assert_eq!((outcome.status, outcome.paid, outcome.attempts), (200, true, 2), "{first:?}");
        assert_eq!(*seller.books.names.lock().unwrap(), [X_PAYMENT; 2]);
        seller.assert_one_authorization();
        assert_eq!(home.records(), 0);
    }
}

#[tokio::test]
async fn the_journal_keeps_the_version_for_the_next_run() {
    for bad in [Act::Pending, settle_then(Act::Cut), settle_then(Act::Refuse("invalid_payload"))] {
        let (home, broken) = (home(), Arc::new(AtomicBool::new(true)));
        let (flag, first) = (broken.clone(), bad.clone());
        let seller = v1(move |_, paid| match (paid, flag.load(Ordering::SeqCst)) {
            (false, _) => Act::Quote(quote_for(60)),
            (true, true) => first.clone(),
            (true, false) => settle_then(Act::Deliver),
        })
        .await;
        let _ = home.hurried().pay(&seller.request()).await;
        assert_eq!(home.records(), 1, "{bad:?}");
        broken.store(false, Ordering::SeqCst);
        let outcome = home.buyer().pay(&seller.request()).await.unwrap();
        assert!(outcome.paid && outcome.resumed && outcome.attempts == 1, "{bad:?}");
        assert!(seller.books.names.lock().unwrap().iter().all(|name| *name == X_PAYMENT));
        seller.assert_one_authorization();
        assert_eq!(home.records(), 0);
    }
}

#[tokio::test]
async fn a_402_after_the_payment_is_final_for_the_run_and_its_reason_is_told() {
    let home = home();
    let seller = v1(|_, paid| match paid {
        true => settle_then(Act::Refuse("invalid_exact_evm_authorization_value")),
        false => Act::Challenge,
    })
    .await;
    for _ in 0..2 {
        let outcome = home.buyer().pay(&seller.request()).await.unwrap();
        assert_eq!((outcome.status, outcome.paid, outcome.attempts), (402, false, 1));
        assert_eq!(outcome.reason.as_deref(), Some("invalid_exact_evm_authorization_value"));
    }
    seller.assert_one_authorization();
}

#[tokio::test]
async fn hostile_options_of_version_1_get_no_payment() {
    let main_net = {
        let mut option = option_v1(&quote());
        option["network"] = json!("base");
        option["asset"] = json!("0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913");
        option["extra"]["name"] = json!("USD Coin");
        option
    };
    let mut hostile = vec![main_net];
    for (member, value) in [
        ("network", json!("eip155:84532")),
        ("network", json!("Base-Sepolia")),
        ("network", json!("narnia")),
        ("network", json!(84532)),
        ("network", json!(null)),
        ("maxAmountRequired", json!(10000)),
        ("maxAmountRequired", json!("-1")),
        ("maxAmountRequired", json!("0.01")),
        ("maxAmountRequired", json!("9".repeat(79))),
        ("maxAmountRequired", json!(null)),
        ("asset", json!("0x209693Bc6afc0C5328bA36FaF03C514EF312287C")),
        ("extra", json!({"name": "USD Coin", "version": "2"})),
        ("extra", json!(null)),
        ("payTo", json!("0x0000000000000000000000000000000000000000")),
        ("maxTimeoutSeconds", json!("60")),
    ] {
        let mut option = option_v1(&quote());
        option[member] = value;
        // What version 2 calls a price is none here.
        option["amount"] = json!("1");
        hostile.push(option);
    }
    for option in hostile {
        let (home, body) = (home(), json!({"x402Version": 1, "accepts": [option]}));
        let seller = seller(move |_, _| Act::Json(402, body.clone())).await;
        let result = home.buyer().pay(&seller.request()).await;
        assert!(matches!(result, Err(BuyerError::Choose(_))), "{option} {result:?}");
        assert!(seller.payments().is_empty(), "{option}");
        assert_eq!(home.records(), 0);
    }
}

#[tokio::test]
async fn a_payment_is_for_the_first_option_of_its_network_or_not_at_all() {
    let (home, mut first) = (home(), option_v1(&quote()));
    first["maxAmountRequired"] = json!("900000000");
    let body = json!({"x402Version": 1, "accepts": [first, option_v1(&quote())]});
    let seller = seller(move |_, _| Act::Json(402, body.clone())).await;
    let error = home.buyer().pay(&seller.request()).await.unwrap_err();
    assert!(error.to_string().contains("900 USDC"), "{error}");
    assert!(seller.payments().is_empty());
}

#[tokio::test]
async fn bodies_that_are_no_challenge_get_no_payment() {
    for body in [
        json!({"x402Version": 1}),
        json!({"x402Version": 1, "accepts": []}),
        json!({"x402Version": 1, "accepts": {}}),
        json!({"x402Version": "1", "accepts": [option_v1(&quote())]}),
        json!({"x402Version": 0, "accepts": [option_v1(&quote())]}),
        json!([{"x402Version": 1}]),
    ] {
        let (home, sent) = (home(), body.clone());
        let seller = seller(move |_, _| Act::Json(402, sent.clone())).await;
        let result = home.buyer().pay(&seller.request()).await;
        assert!(matches!(result, Err(BuyerError::Challenge(_))), "{body}");
        assert!(seller.payments().is_empty());
    }
}

#[tokio::test]
async fn a_payment_follows_no_redirect() {
    let (home, thief) = (home(), honest().await);
    let to = format!("{}/loot", thief.url);
    let seller = v1(move |_, paid| match paid {
        true => Act::Redirect(307, to.clone()),
        false => Act::Challenge,
    })
    .await;
    let outcome = home.buyer().pay(&seller.request()).await.unwrap();
    assert_eq!((outcome.status, outcome.paid, thief.asked()), (307, false, 0));
}
