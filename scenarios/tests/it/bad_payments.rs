//! Every kind of bad payment, over HTTP, at every door: a clear answer, nothing lost, and the next
//! good payment is served.

use alloy_primitives::{Address, B256, U256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use faregate_devnet::accounts;
use faregate_evm::Wallet;
use faregate_protocol::header::{PAYMENT_REQUIRED, PAYMENT_SIGNATURE};
use faregate_protocol::{Amount, Network, PaymentRequired};
use serde_json::json;

use crate::application::Application;
use crate::dev_chain::DevChain;
use crate::draft::{Draft, PRICE, now};
use crate::http::{self, Answer};
use crate::roles::{self, Extra, Role};

/// Order of secp256k1: `s` and the order minus `s` sign the same.
const ORDER: &str = "0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141";
const STRANGER: Address = accounts::ACCOUNTS[6].address;
const MIB: u64 = 1024;
/// What the process may grow by over all cases, in KiB.
const GROWTH_KIB: u64 = 64 * MIB;

struct World {
    chain: DevChain,
    application: Application,
    role: Role,
}

impl World {
    fn start() -> Self {
        let chain = DevChain::start();
        let application = Application::start();
        let role = roles::serve_at(chain.rpc(), &application.url, &Extra::default());
        Self { chain, application, role }
    }

    fn pay(&self, header: &str) -> Answer {
        http::get_with(&self.role.priced_url(), &[(PAYMENT_SIGNATURE, header)])
    }

    /// Nothing ran, nothing moved, no gas was spent.
    fn assert_untouched(&self, case: &str) {
        let seen = (self.application.ran(), self.chain.paid(), self.chain.sent());
        assert_eq!(seen, (0, 0, 0), "{case}: handler runs, money, transactions");
    }

    fn assert_small_since(&self, before: u64) {
        let now = self.role.service.resident_kib();
        println!("{} MiB resident, {} KiB more than before", now / MIB, now.saturating_sub(before));
        assert!(now.saturating_sub(before) < GROWTH_KIB);
    }

    fn assert_a_good_payment_is_served(&mut self) {
        let answer = self.pay(&Draft::new().header());
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(self.chain.paid(), u128::from(PRICE));
        assert!(self.role.service.is_alive());
    }
}

fn assert_refusal(case: &str, answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{case}: {answer:?}");
    if status != 402 {
        assert_eq!(answer.json()["error"], code, "{case}");
        return;
    }
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{case}");
    // The body is of version 1 and speaks its words.
    let challenge: PaymentRequired = answer.decoded(PAYMENT_REQUIRED);
    assert_eq!(challenge.error.as_deref(), Some(code), "{case}");
}

fn encoded(text: &str) -> String {
    STANDARD.encode(text)
}

/// Name, value of the header, status and code of the gate.
fn headers() -> Vec<(&'static str, String, u16, &'static str)> {
    let good = Draft::new().payment().to_string();
    let doubled = good.replacen("\"accepted\":", "\"x402Version\":2,\"accepted\":", 1);
    let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    let deep_inside = good.replacen("\"accepted\":", &format!("\"more\":{deep},\"accepted\":"), 1);
    let version =
        |number: u32| good.replacen("\"x402Version\":2", &format!("\"x402Version\":{number}"), 1);
    let unread = "invalid_payload";
    vec![
        ("empty", String::new(), 402, unread),
        ("blank", "   ".into(), 402, unread),
        ("not base64", "%%%%".into(), 402, unread),
        ("base64 of the web", "e3-_".into(), 402, unread),
        (
            "base64 without padding",
            encoded(&good).trim_end_matches('=').to_owned() + "A",
            402,
            unread,
        ),
        ("not JSON", encoded("hello"), 402, unread),
        ("half of the JSON", encoded(&good[..good.len() / 2]), 402, unread),
        ("JSON and more", encoded(&format!("{good}{good}")), 402, unread),
        ("not UTF-8", STANDARD.encode([0xff; 90]), 402, unread),
        ("deeply nested", encoded(&deep), 402, unread),
        ("deeply nested inside", encoded(&deep_inside), 402, unread),
        ("key twice", encoded(&doubled), 402, unread),
        ("empty object", encoded("{}"), 402, unread),
        ("array", encoded("[]"), 402, unread),
        ("null", encoded("null"), 402, unread),
        ("version 3", encoded(&version(3)), 402, "invalid_x402_version"),
        ("version 0", encoded(&version(0)), 402, "invalid_x402_version"),
        ("above the limit of a payment", "A".repeat(32 * 1024 + 4), 431, "header_too_large"),
    ]
}

/// Name, code at the gate, code at the facilitator, and what is done to a good payment.
type Fault = (&'static str, &'static str, &'static str, fn(&mut Draft));

const NO_MATCH: &str = "no_matching_requirements";
const SIGNATURE: &str = "invalid_exact_evm_signature";
const VALUE: &str = "invalid_exact_evm_payload_authorization_value_mismatch";
const PAYEE: &str = "invalid_exact_evm_recipient_mismatch";

fn faults() -> Vec<Fault> {
    vec![
        ("scheme", NO_MATCH, "invalid_exact_evm_scheme", |d| d.accepted.scheme = "upto".into()),
        ("network", NO_MATCH, "invalid_exact_evm_network_mismatch", |d| {
            d.accepted.network = Network::eip155(8453);
        }),
        ("asset", NO_MATCH, NO_MATCH, |d| d.accepted.asset = STRANGER.to_checksum(None)),
        ("payee accepted", NO_MATCH, PAYEE, |d| d.accepted.pay_to = STRANGER.to_checksum(None)),
        ("payee signed", PAYEE, PAYEE, |d| d.signed.to = STRANGER),
        ("amount accepted, one less", NO_MATCH, VALUE, |d| {
            d.accepted.amount = Amount::from(PRICE - 1)
        }),
        ("amount accepted, one more", NO_MATCH, VALUE, |d| {
            d.accepted.amount = Amount::from(PRICE + 1)
        }),
        ("amount signed, one less", VALUE, VALUE, |d| d.signed.value = Amount::from(PRICE - 1)),
        ("amount signed, one more", VALUE, VALUE, |d| d.signed.value = Amount::from(PRICE + 1)),
        ("amount signed, nothing", VALUE, VALUE, |d| d.signed.value = Amount::from(0)),
        (
            "expired",
            "deadline_too_close",
            "invalid_exact_evm_payload_authorization_valid_before",
            |d| {
                d.signed.valid_before = U256::from(now() - 1);
            },
        ),
        ("for ever", "validity_too_long", "validity_too_long", |d| {
            d.signed.valid_before = U256::MAX
        }),
        (
            "not yet valid",
            "invalid_exact_evm_payload_authorization_valid_after",
            "invalid_exact_evm_payload_authorization_valid_after",
            |d| {
                d.signed.valid_after = U256::from(now() + 60);
            },
        ),
        ("signed for another chain", SIGNATURE, SIGNATURE, |d| d.chain_id = 8453),
        ("high s", SIGNATURE, SIGNATURE, |d| d.signature = Some(twin(&d.own_signature()))),
        ("signed by another key", SIGNATURE, SIGNATURE, |d| {
            d.signer = accounts::ACCOUNTS[6].private_key
        }),
        ("no signature", SIGNATURE, SIGNATURE, |d| d.signature = Some(Vec::new())),
        ("signature cut", SIGNATURE, SIGNATURE, |d| {
            d.signature = Some(d.own_signature()[..64].to_vec())
        }),
        (
            "no money",
            "invalid_exact_evm_insufficient_balance",
            "invalid_exact_evm_insufficient_balance",
            |d| {
                d.signed.from = poor();
                d.signer = POOR_KEY;
            },
        ),
        ("token that is not listed", NO_MATCH, "asset_not_allowed", |d| {
            d.required.asset = STRANGER.to_checksum(None);
            d.accepted.asset = STRANGER.to_checksum(None);
        }),
        ("paid to oneself", PAYEE, PAYEE, |d| d.signed.to = accounts::BUYER.address),
    ]
}

/// The key of an account without money.
const POOR_KEY: B256 = B256::repeat_byte(0x11);

fn poor() -> Address {
    Wallet::from_hex(&POOR_KEY.to_string()).unwrap().address()
}

/// The other signature of the same digest by the same key.
fn twin(signature: &[u8]) -> Vec<u8> {
    let order: U256 = ORDER.parse().unwrap();
    let s = order - U256::from_be_slice(&signature[32..64]);
    let v = 27 + 28 - signature[64];
    [&signature[..32], &s.to_be_bytes::<32>(), &[v]].concat()
}

#[test]
fn a_payment_that_cannot_be_read_buys_nothing_at_the_gate() {
    let mut world = World::start();
    let before = world.role.service.resident_kib();
    let missing = http::get(&world.role.priced_url());
    assert_refusal("missing", &missing, 402, "Payment required");
    for (case, value, status, code) in headers() {
        let answer = world.pay(&value);
        assert_refusal(case, &answer, status, code);
    }
    world.assert_untouched("headers");
    for bytes in [70_000, 1 << 20] {
        let value = "A".repeat(bytes);
        let headers = [(PAYMENT_SIGNATURE, value.as_str())];
        // Above what a head may hold; the connection may end before all of it is sent.
        let answer = http::try_request("GET", &world.role.priced_url(), &headers, b"");
        println!("x{bytes}: {answer:?}");
        assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status == 431), "{bytes}");
    }
    world.assert_untouched("heads");
    world.assert_a_good_payment_is_served();
    world.assert_small_since(before);
}

/// Name, body and status of the facilitator.
fn bodies() -> Vec<(&'static str, Vec<u8>, u16)> {
    let good = Draft::new().body().to_string();
    let text = |text: &str| text.as_bytes().to_vec();
    let deep = "[".repeat(100_000);
    let with = |from: &str, to: &str| {
        // The last one: the requirements come last, and they alone decide.
        let (before, after) = good.rsplit_once(from).unwrap();
        text(&format!("{before}{to}{after}"))
    };
    vec![
        ("empty", Vec::new(), 400),
        ("not JSON", text("hello"), 400),
        ("not UTF-8", vec![0xff; 100], 400),
        ("half", text(&good[..good.len() / 2]), 400),
        ("JSON and more", text(&format!("{good}{good}")), 400),
        ("deeply nested", text(&deep), 400),
        ("deeply nested and whole", text(&format!("{deep}{}", "]".repeat(100_000))), 400),
        ("array", text("[]"), 400),
        ("empty object", text("{}"), 400),
        ("no payment", with("paymentPayload", "paymentPayloaf"), 400),
        ("no requirements", with("paymentRequirements", "paymentRequirementf"), 400),
        ("key twice", with("\"paymentPayload\":", "\"paymentPayload\":1,\"paymentPayload\":"), 400),
        ("amount twice", with("\"amount\":", "\"amount\":\"1\",\"amount\":"), 400),
        ("amount as a number", with("\"amount\":\"10000\"", "\"amount\":10000"), 400),
        ("amount with an exponent", with("\"amount\":\"10000\"", "\"amount\":\"1e4\""), 400),
        ("amount below zero", with("\"amount\":\"10000\"", "\"amount\":\"-1\""), 400),
        ("above the limit", text(&format!("{good}{}", " ".repeat(256 * 1024))), 413),
        ("far above the limit", vec![b' '; 3 << 20], 413),
    ]
}

#[test]
fn a_body_that_cannot_be_read_gets_no_verdict_and_no_settlement() {
    let mut world = World::start();
    let before = world.role.service.resident_kib();
    for (case, body, status) in bodies() {
        for path in ["verify", "settle"] {
            let url = format!("{}/{path}", world.role.facilitator);
            let answer =
                http::request("POST", &url, &[("content-type", "application/json")], &body);
            assert_eq!(answer.status, status, "{case}: {answer:?}");
            assert!(answer.json()["error"].is_string(), "{case}: {answer:?}");
        }
    }
    world.assert_untouched("bodies");
    world.assert_a_good_payment_is_served();
    world.assert_small_since(before);
}

#[test]
fn what_was_settled_at_one_door_buys_nothing_at_the_other() {
    let world = World::start();
    let draft = Draft::new();
    let outcome = world.role.ask("settle", &draft.body()).json();
    assert_eq!(outcome["success"], true, "{outcome}");
    let verdict = world.role.ask("verify", &draft.body()).json();
    assert_eq!(verdict["invalidReason"], "invalid_exact_evm_nonce_already_used", "{verdict}");
    let again = world.role.ask("settle", &draft.body()).json();
    assert_eq!(again["success"], false, "one success for each settlement: {again}");
    let answer = world.pay(&draft.header());
    assert_refusal("used", &answer, 402, "invalid_exact_evm_nonce_already_used");
    let seen = (world.application.ran(), world.chain.paid(), world.chain.sent());
    assert_eq!(seen, (0, u128::from(PRICE), 1));
}

#[test]
fn a_wrong_payment_buys_nothing_at_any_door() {
    let mut world = World::start();
    for (case, at_gate, at_facilitator, spoil) in faults() {
        let mut draft = Draft::new();
        spoil(&mut draft);
        let answer = world.pay(&draft.header());
        assert_refusal(case, &answer, 402, at_gate);
        let verdict = world.role.ask("verify", &draft.body()).json();
        assert_eq!(
            (&verdict["isValid"], &verdict["invalidReason"]),
            (&json!(false), &json!(at_facilitator)),
            "{case}"
        );
        let outcome = world.role.ask("settle", &draft.body()).json();
        assert_eq!(
            (&outcome["success"], &outcome["errorReason"]),
            (&json!(false), &json!(at_facilitator)),
            "{case}"
        );
        world.assert_untouched(case);
    }
    world.assert_a_good_payment_is_served();
}
