//! `faregate settlements`: an operator follows payments and mends what is behind.

use serde_json::{Value, json};

use crate::dev_world::DevWorld;
use crate::draft::Draft;
use crate::http;
use crate::real_chain::RealChain;
use crate::roles;

/// How long settle is waited for while no block is mined, in milliseconds.
const WAIT_MS: &str = "settle_wait_ms = 1500";

#[test]
fn a_payment_is_followed_from_claim_to_proof() {
    let world = DevWorld::start();
    let paid = world.pay(&[world.paid_url(), "--json"]).succeeded().json();
    let transaction = paid["transaction"].as_str().unwrap();

    let listed = world.settlements(&["ls", "--json"]).succeeded().json();
    let key = listed["paymentKey"].as_str().unwrap();
    assert_eq!(
        (&listed["claim"], &listed["transaction"]),
        (&json!("GRANTED"), &json!(transaction))
    );
    let table = world.settlements(&["ls"]).succeeded().stdout;
    assert!(
        table.contains(&key[..8]) && table.contains("0.01 USDC (10000 atomic units)"),
        "{table}"
    );

    for name in [key, &key[..8], &key[..4], transaction] {
        let shown = world.settlements(&["show", name]).succeeded().stdout;
        let mut from = 0;
        for word in [
            key,
            "route weather",
            "status 200",
            transaction,
            "proof",
            "VERIFIED",
            "EXECUTED",
            "SETTLING",
            "RESERVED",
            "SIGNED",
            "BROADCAST",
            "MINED",
            "SETTLED",
            "-> GRANTED",
        ] {
            let at = shown[from..].find(word);
            from += at.unwrap_or_else(|| panic!("{word} does not follow in\n{shown}"));
        }
    }
    let story = world.settlements(&["show", key, "--json"]).succeeded().json();
    assert_eq!(story["settlement"]["proof"]["transaction"], transaction);
    assert_eq!(story["sent"][0]["transaction"], transaction);
    assert_eq!(story["journal"].as_array().unwrap().len(), 9);
    let told = story.to_string();
    assert!(!told.contains("signature") && !told.contains("sunny"), "what is sealed stays so");

    let url = format!("{}/settlements/{key}", world.text("facilitator"));
    let status: Value = http::get(&url).json();
    assert_eq!(status["outcome"], "paid");
    assert_eq!(status["proof"]["transaction"], transaction);
    assert!(status.get("payment").is_none(), "{status}");

    let compared = world.settlements(&["reconcile", "--all"]).succeeded();
    assert!(compared.stdout.contains(transaction), "{}", compared.stdout);
    assert!(compared.stderr.contains("0 contradict it"), "{}", compared.stderr);
}

#[test]
fn what_makes_no_sense_is_said() {
    let world = DevWorld::start();
    world.pay(&[world.paid_url()]).succeeded();
    for (arguments, words) in [
        (["show", "zz"].as_slice(), "named by its key"),
        (&["show", "0000"], "no payment of that name"),
        (&["retry", "0000"], "no payment of that name"),
        (&["ls", "--state", "lost"], "lost is no state"),
        (&["ls", "--limit=-1"], "--limit"),
        (&["reconcile", "--apply"], "in use by another process"),
        (&["ls", "--config", "/no/such.toml"], "/no/such.toml"),
    ] {
        let finished = world.settlements(arguments);
        assert!(!finished.status.success(), "{arguments:?}");
        assert!(finished.stderr.contains(words), "{arguments:?}: {}", finished.stderr);
        assert!(!finished.stderr.contains("panicked"), "{arguments:?}: {}", finished.stderr);
    }
    let key = world.settlements(&["ls", "--json"]).json()["paymentKey"].clone();
    let retried = world.settlements(&["retry", key.as_str().unwrap()]);
    assert!(!retried.status.success() && retried.stdout.contains("QUARANTINED"), "{retried:?}");
}

#[test]
fn a_ledger_that_a_dead_process_left_behind_is_brought_up_to_the_chain() {
    let chain = RealChain::start();
    let extra = roles::Extra { facilitator: WAIT_MS.to_owned(), ..roles::Extra::default() };
    let mut role = roles::facilitator_at(chain.rpc(), &extra);
    chain.hold_blocks();
    let draft = Draft::new();
    let outcome = role.ask("settle", &draft.body()).json();
    assert_eq!(outcome["errorReason"], "settlement_pending", "{outcome}");
    role.service.kill();
    chain.release_blocks();

    let listed = role.command(&["settlements", "ls", "--open", "--json"]).succeeded().json();
    assert_eq!(listed["settlement"], "BROADCAST");
    let read = role.command(&["settlements", "reconcile"]).succeeded();
    assert!(read.stdout.contains("behind") && read.stdout.contains("BROADCAST"), "{read:?}");
    assert!(read.stderr.contains("nothing was changed"), "{read:?}");
    let listed = role.command(&["settlements", "ls", "--json"]).succeeded().json();
    assert_eq!(listed["settlement"], "BROADCAST", "reading changed nothing");

    let applied = role.command(&["settlements", "reconcile", "--apply"]).succeeded();
    assert!(applied.stdout.contains("BROADCAST -> MINED"), "{applied:?}");
    let listed = role.command(&["settlements", "ls", "--json"]).succeeded().json();
    assert_eq!(listed["settlement"], "MINED");

    role.start_again();
    let outcome = role.ask("settle", &draft.body()).json();
    assert_eq!(outcome["success"], true, "{outcome}");
    chain.assert_paid_once();
}
