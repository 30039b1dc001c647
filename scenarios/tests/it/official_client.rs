//! `@x402/fetch` pays the dev world, and `cast` reads the transaction.

use serde_json::Value;

use crate::dev_world::DevWorld;
use crate::service;
use faregate_protocol::header::PAYMENT_SIGNATURE;

use crate::http;

const PRICE: u128 = 10_000;

/// What `pay.mjs` printed.
pub(crate) fn fetch_pays(url: &str, key: &str) -> Value {
    paid_by("pay.mjs", url, key)
}

/// The same of the client of version 1.
pub(crate) fn fetch_v1_pays(url: &str, key: &str) -> Value {
    paid_by("pay-v1.mjs", url, key)
}

fn paid_by(script: &str, url: &str, key: &str) -> Value {
    let mut command = service::node_script(script);
    service::run(command.arg(url).env("BUYER_KEY", key)).succeeded().json()
}

#[test]
fn the_official_client_pays_the_dev_world_and_cast_can_read_the_transaction() {
    let world = DevWorld::start();
    let chain = world.chain();
    let before = chain.balance(world.text("payTo"));
    let said = fetch_pays(world.paid_url(), world.buyer_key());
    assert_eq!(said["status"], 200, "{said}");
    assert!(said["body"].as_str().unwrap().contains("sunny"), "{said}");
    assert_eq!(said["receipt"]["success"], true, "{said}");
    assert_eq!(said["receipt"]["network"], "eip155:84532", "{said}");
    let cache = said["cacheControl"].as_str().unwrap();
    assert!(cache.contains("private") && cache.contains("no-store"), "{cache}");

    let transaction = said["receipt"]["transaction"].as_str().unwrap();
    let cast = |command: &str| {
        let mut cast = service::foundry("cast");
        cast.args([command, transaction, "--json", "--rpc-url", world.text("rpc")]);
        service::run(&mut cast).succeeded().json()
    };
    let sent = cast("tx");
    assert_eq!(sent["hash"], transaction);
    assert_eq!(sent["to"].as_str().unwrap().to_lowercase(), world.text("token").to_lowercase());
    let receipt = cast("receipt");
    assert_eq!(receipt["status"], "0x1");
    assert_eq!(receipt["logs"].as_array().unwrap().len(), 2, "AuthorizationUsed and Transfer");

    assert_eq!(chain.balance(world.text("payTo")), before + PRICE);
    assert_eq!(chain.authorizations_used_by(world.buyer()), 1);
    assert_eq!(chain.transfers_to(world.text("payTo")), 1);

    let header = said["payment"].as_str().unwrap();
    let again = http::get_with(world.paid_url(), &[(PAYMENT_SIGNATURE, header)]);
    assert_eq!((again.status, again.text().as_str()), (200, said["body"].as_str().unwrap()));
    let elsewhere = http::get_with(&world.other_paid_url(), &[(PAYMENT_SIGNATURE, header)]);
    assert_eq!(elsewhere.status, 409, "{elsewhere:?}");
    assert_eq!(world.served(), 1);
    assert_eq!(chain.transfers_to(world.text("payTo")), 1);
}
