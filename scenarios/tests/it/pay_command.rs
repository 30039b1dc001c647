//! `faregate pay`, as a person and as a script use it.

use serde_json::Value;

use crate::dev_world::DevWorld;
use crate::http;

/// $0.01 in atomic units of USDC.
const PRICE: u128 = 10_000;

#[test]
fn the_pay_command_pays_and_shows_what_it_paid() {
    let world = DevWorld::start();
    let chain = world.chain();
    let before = chain.balance(world.text("payTo"));
    let paid = world.pay(&[world.paid_url()]).succeeded();
    let body: Value = paid.json();
    assert_eq!(body["report"]["weather"], "sunny");
    assert_eq!(chain.balance(world.text("payTo")), before + PRICE);
    assert_eq!(chain.authorizations_used_by(world.buyer()), 1);
    for shown in ["HTTP 200", "0.01 USDC", world.text("payTo"), "eip155:84532", " ms"] {
        assert!(paid.stderr.contains(shown), "{shown} is not in\n{}", paid.stderr);
    }
    let transaction =
        paid.stderr.lines().find_map(|line| line.strip_prefix("transaction ")).unwrap().trim();
    let receipt = chain.call("eth_getTransactionReceipt", &serde_json::json!([transaction]));
    assert_eq!(receipt["status"], "0x1");
    assert!(!paid.stderr.contains(world.buyer_key().trim_start_matches("0x")), "the key is shown");

    let metrics = http::get(&format!("{}/metrics", world.text("ops"))).text();
    for name in [
        "x402_payment_attempts_total{",
        "x402_payment_duration_seconds_count{",
        "x402_active_payments{",
        "x402_facilitator_requests_total{",
        "x402_gas_used_sum{",
    ] {
        assert!(metrics.contains(name), "{name} is not in\n{metrics}");
    }
}

#[test]
fn the_pay_command_speaks_json() {
    let world = DevWorld::start();
    let said = world.pay(&[world.paid_url(), "--json"]).succeeded().json();
    assert_eq!(said["status"], 200);
    assert_eq!(said["paid"], true);
    assert_eq!(said["amount"], "10000");
    assert_eq!(said["network"], "eip155:84532");
    assert_eq!(said["pay_to"], world.text("payTo"));
    assert_eq!(said["payer"], world.buyer());
    assert!(said["transaction"].as_str().unwrap().starts_with("0x"));
    assert!(said["elapsed_ms"].is_u64());
    assert!(said["body"].as_str().unwrap().contains("sunny"));

    let free = world.pay(&[world.text("freeUrl"), "--json"]).succeeded().json();
    assert_eq!(free["status"], 200);
    assert_eq!(free["paid"], false);
    assert!(free.get("transaction").is_none_or(Value::is_null));
}

#[test]
fn a_dry_run_and_a_price_above_the_limit_sign_nothing() {
    let world = DevWorld::start();
    let chain = world.chain();
    let dry = world.pay(&[world.paid_url(), "--dry-run"]).succeeded();
    assert!(dry.stdout.contains("0.01 USDC"), "{}", dry.stdout);
    assert!(dry.stdout.contains("nothing was signed"), "{}", dry.stdout);

    let refused = world.pay(&[world.paid_url(), "--max", "$0.001"]);
    assert!(!refused.status.success());
    assert!(refused.stdout.is_empty(), "{}", refused.stdout);
    assert!(refused.stderr.contains("0.01 USDC"), "{}", refused.stderr);

    // What is signed is in the journal first.
    let payments = world.state_folder().join("payments");
    let journal = std::fs::read_dir(&payments).map_or(0, |entries| {
        entries
            .filter_map(Result::ok)
            .filter(|e| e.path().extension().is_some_and(|x| x == "json"))
            .count()
    });
    assert_eq!(journal, 0, "{}", payments.display());
    assert_eq!(world.served(), 0);
    assert_eq!(chain.authorizations_used_by(world.buyer()), 0);
    assert_eq!(chain.transfers_to(world.text("payTo")), 0);
}
