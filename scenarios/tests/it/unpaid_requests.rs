//! Who does not pay gets the price and nothing else, however the request is written.

use faregate_protocol::PaymentRequired;
use faregate_protocol::header::{PAYMENT_REQUIRED, PAYMENT_RESPONSE};

use crate::dev_world::DevWorld;
use crate::http;

/// Every registered method that software sends, and some that nobody has registered.
const METHODS: &[&str] = &[
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "PATCH",
    "CONNECT",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "SEARCH",
    "REPORT",
    "ACL",
    "BIND",
    "UNBIND",
    "REBIND",
    "LINK",
    "UNLINK",
    "CHECKIN",
    "CHECKOUT",
    "LABEL",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKWORKSPACE",
    "ORDERPATCH",
    "UPDATE",
    "BASELINE-CONTROL",
    "VERSION-CONTROL",
    "QUERY",
    "PURGE",
    "SUBSCRIBE",
    "get",
    "G3T",
];

/// Other ways to write `/weather`, as routers, proxies and file systems read them.
const SPELLINGS: &[&str] = &[
    "/weather?",
    "/weather?paid=true",
    "/weather/",
    "//weather",
    "/./weather",
    "/about/../weather",
    "/%77eather",
    "/%2577eather",
    "/WEATHER",
    "/Weather",
    "/weather;jsessionid=1",
    "/weather%00",
    "/weather%20",
    "/weather.",
    "/weather.json",
    "/weather%2f",
    "/%2fweather",
    "/about/..%2fweather",
    "/about%2f..%2fweather",
    "/about/%2e%2e/weather",
    "/about/..;/weather",
    "/about\\..\\weather",
    "\\weather",
    "/weather#about",
    "/about#/../weather",
    "/weather%3f",
    "/w%65ather",
    "/weather%c0%af",
    "/forecast/",
    "/%66orecast",
    "/served",
    "/about/../served",
    "weather",
    "*",
];

#[test]
fn a_plain_request_gets_the_price_and_a_free_route_is_free() {
    let world = DevWorld::start();
    let answer = http::get(world.paid_url());
    assert_eq!(answer.status, 402);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let challenge: PaymentRequired = answer.decoded(PAYMENT_REQUIRED);
    assert_eq!(challenge.x402_version, 2);
    assert_eq!(challenge.resource.url, world.paid_url());
    let option = &challenge.accepts[0];
    assert_eq!(option.scheme, "exact");
    assert_eq!(option.network.to_string(), "eip155:84532");
    assert_eq!(option.amount.to_string(), "10000");
    assert_eq!(option.pay_to, world.text("payTo"));
    assert_eq!(option.asset, world.text("token"));

    let free = http::get(world.text("freeUrl"));
    assert_eq!(free.status, 200);
    assert!(free.header(PAYMENT_RESPONSE).is_none());
    for door in ["ops", "facilitator"] {
        for path in ["healthz", "readyz"] {
            let url = format!("{}/{path}", world.text(door));
            assert_eq!(http::get(&url).status, 200, "{url}");
        }
    }
    assert_eq!(world.served(), 0);
}

#[test]
fn no_method_gets_a_priced_answer_for_nothing() {
    let world = DevWorld::start();
    assert_eq!(METHODS.len(), 40);
    for url in [world.paid_url().to_owned(), world.other_paid_url()] {
        for method in METHODS {
            let answer = http::request(method, &url, &[], b"");
            assert!(answer.status >= 400, "{method} {url}: {answer:?}");
            assert!(!answer.text().contains("sunny"), "{method} {url}: {answer:?}");
        }
    }
    let head = http::request("HEAD", world.paid_url(), &[], b"");
    assert_eq!(head.status, 402, "HEAD costs what GET costs");
    assert!(head.header(PAYMENT_REQUIRED).is_some());
    assert_eq!(world.served(), 0, "no handler ran");
}

#[test]
fn no_spelling_of_the_path_gets_a_priced_answer_for_nothing() {
    let world = DevWorld::start();
    let (authority, _) = http::split(world.paid_url());
    let absolute = format!("http://{authority}/weather");
    let other_host = "http://somebody.example/weather".to_owned();
    let spellings = SPELLINGS.iter().map(|path| (*path).to_owned());
    for target in spellings.chain([absolute, other_host]) {
        for method in ["GET", "HEAD", "POST"] {
            let message = format!(
                "{method} {target} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n"
            );
            // A connection that is closed without an answer gives nothing either.
            let Ok(answer) = http::exchange(authority, message.as_bytes()) else { continue };
            let free = method != "POST" && target.starts_with("/about#");
            assert!(answer.status >= 400 || free, "{method} {target}: {answer:?}");
            assert!(!answer.text().contains("sunny"), "{method} {target}: {answer:?}");
        }
    }
    let upgrade = [("connection", "upgrade"), ("upgrade", "websocket")];
    assert!(http::get_with(world.paid_url(), &upgrade).status >= 400);
    for (name, value) in [
        ("x-original-url", "/weather"),
        ("x-rewrite-url", "/weather"),
        ("x-http-method-override", "POST"),
        ("x-forwarded-prefix", "/weather"),
    ] {
        let answer = http::get_with(world.text("freeUrl"), &[(name, value)]);
        assert!(!answer.text().contains("sunny"), "{name}: {answer:?}");
    }
    assert_eq!(world.served(), 0, "no handler ran");
}
