//! The application behind the gate is slow, breaks off, floods or fails: nothing is charged, and
//! the same header is served when it is well again. P17, H13, H18.

use std::time::Duration;

use faregate_protocol::header::{PAYMENT_RESPONSE, PAYMENT_SIGNATURE};

use crate::dev_chain::DevChain;
use crate::draft::{Draft, PRICE};
use crate::http;
use crate::roles::{self, Extra, Role};
use crate::scripted_server::{Reaction, ScriptedServer};

const TIMEOUT: Duration = Duration::from_millis(500);
const FLOOD: usize = 50 << 20;
/// What the gate may grow by, in KiB: less than the flood.
const GROWTH_KIB: u64 = 32 * 1024;
const GOOD: &str = r#"{"weather":"sunny"}"#;

fn world() -> (DevChain, ScriptedServer, Role) {
    let chain = DevChain::start();
    let upstream = ScriptedServer::start(|_| Reaction::json(200, GOOD));
    let extra = Extra {
        route: format!("upstream_timeout_ms = {}", TIMEOUT.as_millis()),
        ..Extra::default()
    };
    let role = roles::serve_at(chain.rpc(), &upstream.url, &extra);
    (chain, upstream, role)
}

fn raw(text: &str) -> Reaction {
    Reaction::Raw(text.as_bytes().to_vec())
}

/// Name, what the application does, status of the gate and the code in its answer, if the answer is
/// the gate's own.
fn faults() -> Vec<(&'static str, Reaction, u16, Option<&'static str>)> {
    let late = Reaction::After(2 * TIMEOUT, Box::new(Reaction::json(200, GOOD)));
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nsun";
    let many = "x-many: 1\r\n".repeat(5_000);
    let switched =
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: any\r\nconnection: upgrade\r\n\r\n";
    let down = Some("upstream_unavailable");
    vec![
        ("gone", Reaction::Close, 502, down),
        ("slow", late, 504, Some("upstream_timed_out")),
        ("half a body", Reaction::half(GOOD), 502, down),
        ("half a chunk", raw(chunked), 502, down),
        ("half a head", raw("HTTP/1.1 200 OK\r\nx-half: "), 502, down),
        ("no HTTP", raw("sunny\r\n\r\n"), 502, down),
        ("head of 55 KB", raw(&format!("HTTP/1.1 200 OK\r\n{many}\r\n")), 502, down),
        ("switches protocols", raw(switched), 502, down),
        ("50 MB", Reaction::Flood(FLOOD), 502, Some("answer_too_large")),
        ("404", Reaction::json(404, r#"{"no":"such"}"#), 404, None),
        ("418", Reaction::json(418, r#"{"tea":"pot"}"#), 418, None),
        ("500", Reaction::json(500, r#"{"sorry":true}"#), 500, None),
        ("503 in HTML", Reaction::html(503), 503, None),
    ]
}

#[test]
fn an_application_that_fails_charges_nobody_and_the_same_header_is_served_later() {
    let (chain, upstream, mut role) = world();
    let before = role.service.resident_kib();
    let mut granted = 0;
    for (case, fault, status, code) in faults() {
        let header = Draft::new().header();
        let pay = || http::get_with(&role.priced_url(), &[(PAYMENT_SIGNATURE, header.as_str())]);
        upstream.always(fault);
        let answer = pay();
        assert_eq!(answer.status, status, "{case}: {answer:?}");
        assert!(answer.header(PAYMENT_RESPONSE).is_none(), "{case}: {answer:?}");
        if let Some(code) = code {
            assert_eq!(answer.json()["error"], code, "{case}");
        }
        assert_eq!(chain.paid(), u128::from(granted * PRICE), "{case}: nothing was charged");
        upstream.always(Reaction::json(200, GOOD));
        let answer = pay();
        assert_eq!((answer.status, answer.text().as_str()), (200, GOOD), "{case}: {answer:?}");
        granted += 1;
        assert_eq!(chain.paid(), u128::from(granted * PRICE), "{case}");
        assert_eq!(chain.sent(), granted, "{case}: one transaction for each");
    }
    assert!(role.service.is_alive());
    let now = role.service.resident_kib();
    println!("{} MiB resident after {} MB answers", now / 1024, FLOOD >> 20);
    assert!(now.saturating_sub(before) < GROWTH_KIB, "{before} KiB, then {now} KiB");
}

#[test]
fn a_redirect_is_an_answer_like_any_other_and_is_not_followed() {
    let (chain, upstream, role) = world();
    let head = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n";
    upstream.always(raw(head));
    let header = Draft::new().header();
    let pay = || http::get_with(&role.priced_url(), &[(PAYMENT_SIGNATURE, header.as_str())]);
    let answer = pay();
    assert_eq!(answer.status, 302, "{answer:?}");
    assert_eq!(answer.header("location"), Some("http://127.0.0.1:9/"));
    assert!(answer.header(PAYMENT_RESPONSE).is_some(), "{answer:?}");
    assert_eq!(chain.paid(), u128::from(PRICE));
    assert!(pay().repeats(&answer));
    assert_eq!(chain.paid(), u128::from(PRICE));
    assert_eq!(upstream.asked(), 1);
}
