//! The first version of the protocol on a real node with the real token: official clients and
//! servers of that version against ours. Each row: the payee's balance, exactly one transfer, and a
//! replay that buys nothing more.

use faregate_protocol::header::{PAYMENT_SIGNATURE, X_PAYMENT};

use crate::node_server::NodeServer;
use crate::official_client::{fetch_pays, fetch_v1_pays};
use crate::real_chain::{BUYER_KEY, PAYEE, RealChain};
use crate::real_parts::{assert_buys_nothing_more, faregate_pays};
use crate::{http, payment, roles};

#[test]
fn the_official_client_of_version_1_pays_our_gate() {
    let chain = RealChain::start();
    let app = NodeServer::start("express-app.mjs", &[]);
    let role = roles::serve(&chain, &app.url);
    let said = fetch_v1_pays(&role.priced_url(), BUYER_KEY);
    assert_eq!(said["status"], 200, "{said}");
    assert!(said["body"].as_str().unwrap().contains("express"), "{said}");
    assert_eq!(said["receipt"]["success"], true, "{said}");
    assert_eq!(said["receipt"]["network"], "base-sepolia", "{said}");
    chain.assert_paid_once();
    let header = said["payment"].as_str().unwrap();
    let header = (X_PAYMENT, header);
    assert_buys_nothing_more(&chain, &role.priced_url(), header, &said["body"]);
    assert_eq!(app.served(), 1);
}

#[test]
fn the_official_client_of_version_1_pays_express_of_version_1_backed_by_our_facilitator() {
    let chain = RealChain::start();
    let facilitator = roles::facilitator(&chain);
    let seller = NodeServer::start("seller-v1.mjs", &[&facilitator.url, PAYEE]);
    let url = format!("{}/paid", seller.url);
    let said = fetch_v1_pays(&url, BUYER_KEY);
    assert_eq!(said["status"], 200, "{said}");
    assert_eq!(said["receipt"]["success"], true, "{said}");
    assert_eq!(said["receipt"]["network"], "base-sepolia", "{said}");
    chain.assert_paid_once();
    let again = http::get_with(&url, &[(X_PAYMENT, said["payment"].as_str().unwrap())]);
    assert_eq!(again.status, 402, "{again:?}");
    chain.assert_paid_once();
    assert_eq!(seller.served(), 1);
}

#[test]
fn our_buyer_pays_express_of_version_1_backed_by_our_facilitator() {
    let chain = RealChain::start();
    let facilitator = roles::facilitator(&chain);
    let seller = NodeServer::start("seller-v1.mjs", &[&facilitator.url, PAYEE]);
    let url = format!("{}/paid", seller.url);
    let state = tempfile::tempdir().unwrap();
    let said = faregate_pays(&url, state.path()).succeeded().json();
    assert_eq!(said["status"], 200, "{said}");
    assert_eq!(said["paid"], true, "{said}");
    assert_eq!(said["pay_to"], PAYEE, "{said}");
    chain.assert_paid_once();
    assert_eq!(seller.served(), 1);

    // Signed here, since our buyer shows nobody its header: served once, then refused.
    let header = payment::v1_header_for(&url, BUYER_KEY);
    let pay = || http::get_with(&url, &[(X_PAYMENT, header.as_str())]);
    let first = pay();
    assert_eq!(first.status, 200, "{first:?}");
    let again = pay();
    assert_eq!(again.status, 402, "{again:?}");
    assert_eq!(chain.reader.transfers_to(PAYEE), 2, "one for each header");
}

/// One authorization is one payment, however it is written.
#[test]
fn what_was_paid_in_one_version_buys_nothing_in_the_other() {
    let chain = RealChain::start();
    let app = NodeServer::start("express-app.mjs", &[]);
    let role = roles::serve(&chain, &app.url);
    let url = role.priced_url();
    let said = fetch_pays(&url, BUYER_KEY);
    assert_eq!(said["status"], 200, "{said}");
    let v2 = said["payment"].as_str().unwrap();
    let v1 = payment::as_v1(v2);
    for (name, value) in [(X_PAYMENT, v1.as_str()), (X_PAYMENT, v2), (PAYMENT_SIGNATURE, &v1)] {
        assert_buys_nothing_more(&chain, &url, (name, value), &said["body"]);
    }
    assert_eq!(app.served(), 1);
}
