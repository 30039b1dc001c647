//! Honest sellers.

use faregate_buyer::choose::ChooseError;
use faregate_buyer::{BuyerError, BuyerRequest, Quoted};
use faregate_evm::mechanisms::eip3009::sign_authorization;
use faregate_evm::wallet::Wallet;
use faregate_protocol::PaymentRequirements;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::harness::{
    Act, CONTENT, KEY, home, honest_seller, now_unix, payload, quote, read, seller,
};

#[tokio::test]
async fn a_priced_resource_is_paid_once_and_received() {
    let (home, seller) = (home(), honest_seller().await);
    let outcome = home.buyer().pay(&seller.request()).await.unwrap();
    assert_eq!((outcome.status, outcome.paid, outcome.attempts), (200, true, 1));
    assert_eq!(&outcome.body[..], CONTENT.as_bytes());
    let payment = outcome.payment.unwrap();
    assert_eq!(payment.price, "0.01 USDC");
    assert_eq!(payment.transaction.as_deref(), Some("0xfeed"));
    assert_eq!((seller.asked(), seller.debits(), home.records()), (2, 1, 0));
}

#[tokio::test]
async fn what_is_signed_is_built_from_the_option_and_known_values() {
    let (home, seller) = (home(), honest_seller().await);
    home.buyer().pay(&seller.request()).await.unwrap();
    let header = seller.payments().remove(0);
    let sent = payload(&header);
    assert_eq!(Value::Object(sent.accepted), quote());
    assert_eq!(sent.resource.unwrap()["url"], "http://seller/thing");
    assert_eq!(sent.extensions.unwrap()["note"]["info"]["a"], 1);
    let signed = read(&header);
    let valid_before: u64 = signed.authorization.valid_before.try_into().unwrap();
    assert!((now_unix() + 55..=now_unix() + 60).contains(&valid_before));
    let requirements: PaymentRequirements = serde_json::from_value(quote()).unwrap();
    let wallet = Wallet::from_hex(KEY).unwrap();
    let nonce = signed.authorization.nonce;
    let want = sign_authorization(&wallet, &requirements, 0, valid_before, nonce).unwrap();
    assert_eq!(signed, want);
}

#[tokio::test]
async fn two_purchases_are_two_payments() {
    let (home, seller) = (home(), honest_seller().await);
    let buyer = home.buyer();
    buyer.pay(&seller.request()).await.unwrap();
    buyer.pay(&seller.request()).await.unwrap();
    assert_eq!(seller.debits(), 2);
}

#[tokio::test]
async fn a_free_resource_costs_nothing() {
    let (home, seller) = (home(), seller(|_, _| Act::Status(404)).await);
    let outcome = home.buyer().pay(&seller.request()).await.unwrap();
    assert_eq!((outcome.status, outcome.paid, outcome.attempts), (404, false, 0));
    assert!(outcome.payment.is_none() && seller.payments().is_empty());
}

#[tokio::test]
async fn a_post_is_sent_whole_both_times() {
    let (home, seller) = (home(), honest_seller().await);
    let mut headers = HeaderMap::new();
    headers.insert("accept", "text/plain".parse().unwrap());
    let url = format!("{}/thing", seller.url);
    let request = BuyerRequest::new(Method::POST, &url, headers, "question").unwrap();
    let outcome = home.buyer().pay(&request).await.unwrap();
    assert_eq!((outcome.status, seller.debits()), (200, 1));
    assert_eq!(*seller.books.bodies.lock().unwrap(), [b"question", b"question"]);
}

#[tokio::test]
async fn a_quote_signs_nothing() {
    let (home, seller) = (home(), honest_seller().await);
    let Quoted::Priced(found) = home.buyer().quote(&seller.request()).await.unwrap() else {
        panic!("free")
    };
    assert_eq!((found.price.as_str(), found.valid_for_secs), ("0.01 USDC", 60));
    assert!(!found.unresolved && seller.payments().is_empty());
    assert_eq!(home.records(), 0);
}

#[tokio::test]
async fn above_the_limit_nothing_is_signed_and_price_and_limit_are_told() {
    let home = home();
    let seller = seller(|_, _| {
        let mut dear = quote();
        dear["amount"] = json!("100001");
        Act::Quote(dear)
    })
    .await;
    for error in [
        home.buyer().pay(&seller.request()).await.unwrap_err(),
        home.buyer().quote(&seller.request()).await.unwrap_err(),
    ] {
        assert!(matches!(error, BuyerError::Choose(ChooseError::AboveLimit { .. })), "{error}");
        assert!(error.to_string().contains("0.100001 USDC"), "{error}");
        assert!(error.to_string().contains("$0.10"), "{error}");
    }
    assert!(seller.payments().is_empty());
    assert_eq!(home.records(), 0);
}

#[tokio::test]
async fn an_outcome_is_json() {
    let (home, seller) = (home(), honest_seller().await);
    let outcome = home.buyer().pay(&seller.request()).await.unwrap();
    let value = serde_json::to_value(&outcome).unwrap();
    assert_eq!((&value["body"], &value["price"]), (&json!(CONTENT), &json!("0.01 USDC")));
    assert_eq!((&value["paid"], &value["network"]), (&json!(true), &json!("eip155:84532")));
    assert!(!value.to_string().contains(&seller.payments()[0]));
}
