//! Sellers that mean harm before a payment.

use std::time::{Duration, Instant};

use faregate_buyer::{BuyerError, BuyerRequest};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::harness::{Act, home, now_unix, quote, read, seller};

#[tokio::test]
async fn hostile_quotes_get_no_payment() {
    for (member, value) in [
        ("network", json!("eip155:8453")),
        ("network", json!("eip155:1")),
        ("asset", json!("0x209693Bc6afc0C5328bA36FaF03C514EF312287C")),
        ("extra", json!({"name": "USD Coin", "version": "2"})),
        ("extra", json!({})),
        ("payTo", json!("0x0000000000000000000000000000000000000000")),
        ("amount", json!("-10000")),
        (
            "amount",
            json!("115792089237316195423570985008687907853269984665640564039457584007913129639935"),
        ),
        ("amount", json!("9".repeat(200))),
        ("maxTimeoutSeconds", json!(0)),
    ] {
        let home = home();
        let (key, hostile) = (member, value.clone());
        let seller = seller(move |_, _| {
            let mut option = quote();
            option[key] = hostile.clone();
            Act::Quote(option)
        })
        .await;
        let result = home.buyer().pay(&seller.request()).await;
        assert!(matches!(result, Err(BuyerError::Choose(_))), "{member} {value}");
        assert!(seller.payments().is_empty(), "{member} {value}");
        assert_eq!(home.records(), 0);
    }
}

#[tokio::test]
async fn ten_years_become_an_hour() {
    let home = home();
    let seller = seller(|_, paid| {
        let mut option = quote();
        option["maxTimeoutSeconds"] = json!(315_360_000_u64);
        if paid { Act::Deliver } else { Act::Quote(option) }
    })
    .await;
    home.buyer().pay(&seller.request()).await.unwrap();
    let valid_before: u64 =
        read(&seller.payments()[0]).authorization.valid_before.try_into().unwrap();
    assert!(valid_before <= now_unix() + 3600);
}

#[tokio::test]
async fn challenges_that_are_none_get_no_payment() {
    let home = home();
    for act in [Act::Status(402), Act::Says(402, "pay", None)] {
        let seller = seller(move |_, _| act.clone()).await;
        let result = home.buyer().pay(&seller.request()).await;
        assert!(matches!(result, Err(BuyerError::Challenge(_))));
        assert!(seller.payments().is_empty());
    }
}

/// Answers every connection with `head` and then `filler` bytes.
async fn raw_seller(head: &'static str, filler: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/thing", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(head.as_bytes()).await;
                let chunk = vec![b'A'; 64 * 1024];
                for _ in 0..filler / chunk.len() {
                    if stream.write_all(&chunk).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn a_ten_megabyte_header_is_an_error_before_any_payment() {
    let home = home();
    let url = raw_seller("HTTP/1.1 402 Payment Required\r\nPAYMENT-REQUIRED: ", 10 << 20).await;
    let error = home.buyer().pay(&BuyerRequest::get(&url).unwrap()).await.unwrap_err();
    assert!(matches!(error, BuyerError::Unreachable { .. }), "{error}");
    assert_eq!(home.records(), 0);
}

#[tokio::test]
async fn an_endless_body_is_cut_at_the_limit() {
    let home = home();
    let mut config = home.config();
    config.limits.max_body_bytes = 1 << 20;
    let buyer = faregate_buyer::Buyer::new(config).unwrap();
    let url = raw_seller("HTTP/1.1 402 Payment Required\r\n\r\n", 200 << 20).await;
    let begun = Instant::now();
    let error = buyer.pay(&BuyerRequest::get(&url).unwrap()).await.unwrap_err();
    assert!(matches!(error, BuyerError::AnswerTooLarge { after_payment: false, .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn what_is_not_http_or_not_there_is_an_error_before_any_payment() {
    let home = home();
    let nobody = "http://127.0.0.1:1/".to_owned();
    for url in [nobody, raw_seller("hello\r\n\r\n", 0).await, raw_seller("", 0).await] {
        let error = home.buyer().pay(&BuyerRequest::get(&url).unwrap()).await.unwrap_err();
        assert!(matches!(error, BuyerError::Unreachable { .. }), "{error}");
        assert!(!error.to_string().contains("127.0.0.1"), "{error}");
    }
}
