//! A payment goes to one URL. What redirects may do, they may do before it.

use reqwest::Method;
use reqwest::header::HeaderMap;

use crate::harness::{Act, home, honest_seller, seller};
use faregate_buyer::{BuyerError, BuyerRequest};

#[tokio::test]
async fn a_payment_never_follows_a_redirect() {
    for status in [301, 302, 303, 307, 308] {
        let (home, thief) = (home(), honest_seller().await);
        let to = format!("{}/loot", thief.url);
        let seller = seller(move |_, paid| match paid {
            true => Act::Redirect(status, to.clone()),
            false => Act::Challenge,
        })
        .await;
        let outcome = home.buyer().pay(&seller.request()).await.unwrap();
        assert_eq!((outcome.status, outcome.paid), (status, false));
        assert_eq!(thief.asked(), 0);

        let at_home = self::seller(move |_, paid| match paid {
            true => Act::Redirect(status, "/other".into()),
            false => Act::Challenge,
        })
        .await;
        assert_eq!(home.buyer().pay(&at_home.request()).await.unwrap().status, status);
        assert_eq!(at_home.payments().len(), 1);
    }
}

#[tokio::test]
async fn a_cross_origin_redirect_is_not_followed_before_a_payment_either() {
    let (home, other) = (home(), honest_seller().await);
    let to = format!("{}/thing", other.url);
    let seller = seller(move |_, _| Act::Redirect(302, to.clone())).await;
    let outcome = home.buyer().pay(&seller.request()).await.unwrap();
    assert_eq!((outcome.status, other.asked()), (302, 0));
}

#[tokio::test]
async fn a_get_follows_its_origin_and_pays_where_it_arrives() {
    let home = home();
    // The first request is answered with a redirect, the second with a challenge.
    let first = std::sync::atomic::AtomicBool::new(true);
    let seller = seller(move |_, paid| match paid {
        true => Act::SettleThen(Box::new(Act::Deliver)),
        false if first.swap(false, std::sync::atomic::Ordering::SeqCst) => {
            Act::Redirect(307, "/moved#part".into())
        }
        false => Act::Challenge,
    })
    .await;
    let outcome = home.buyer().pay(&seller.request()).await.unwrap();
    assert_eq!((outcome.status, seller.debits()), (200, 1));
    let paths: Vec<_> =
        seller.books.seen.lock().unwrap().iter().map(|(path, _)| path.clone()).collect();
    assert_eq!(paths, ["/thing", "/moved", "/moved"]);
}

#[tokio::test]
async fn a_post_follows_nothing_and_circles_end() {
    let (home, seller) = (home(), seller(|_, _| Act::Redirect(307, "/thing".into())).await);
    let url = format!("{}/thing", seller.url);
    let post = BuyerRequest::new(Method::POST, &url, HeaderMap::new(), "x").unwrap();
    assert_eq!(home.buyer().pay(&post).await.unwrap().status, 307);
    assert_eq!(seller.asked(), 1);
    let error = home.buyer().pay(&seller.request()).await.unwrap_err();
    assert!(matches!(error, BuyerError::Unreachable { .. }));
    assert_eq!(seller.asked(), 1 + 6);
}
