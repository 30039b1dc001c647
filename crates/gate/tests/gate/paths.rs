//! No spelling, method or header reaches a priced resource unpaid. The gate stands before a
//! resource that would answer anything, and everything unmatched is free.

use faregate_gate::{Route, Unmatched};
use http::Request;

use crate::payment::requirements;
use crate::world::{SECRET, Seen, World, answering, config, memory};

fn priced(name: &str, matcher: &str) -> Route {
    Route::priced(name, matcher, vec![requirements()])
}

fn world_of(routes: Vec<Route>) -> World {
    World::with(memory(), config(routes), answering(SECRET))
}

async fn ask(world: &World, method: &str, uri: &str, headers: &[(&str, &str)]) -> Seen {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    world.send(request.body(faregate_gate::GateBody::empty()).unwrap()).await
}

const PREFIXES: &[&str] = &[
    "//",
    "///",
    "/./",
    "/.//",
    "/%2e/",
    "/%2E/",
    "/../",
    "/%2e%2e/",
    "/.%2e/",
    "/x/../",
    "/x/%2e%2e/",
    "/x/..%2f",
    "/%2f",
    "/%5c",
    "/;/",
    "/.;/",
    "/..;/x/",
    "/%252e%252e/",
    "/%c0%ae/",
    "/%e0%80%ae/",
    "/%EF%BC%8E/",
    "/%EF%BC%8F",
    "/%E2%88%95",
];
const SUFFIXES: &[&str] = &[
    "/", "//", "/.", "/./", "/..", "/%2e", "/x/..", ";", ";a=b", ";a=b/", "%3ba", "%2f", "%2F",
    "%5c", "%00", "%20", ".", "..", "%2e", "%0a", "%0d%0a", "%23", "%3f", "%3Fa", "/%20", "/.",
    "%09",
];
const WORDS: &[&str] = &["WEATHER", "Weather", "weatheR", "WeAtHeR", "w%45ather"];
const OTHER_ORIGINS: &[&str] = &[
    "https://evil.example",
    "http://api.example.com",
    "https://api.example.com:8443",
    "https://user@api.example.com",
];

/// Spellings of `/weather` that some server reads as `/weather`.
fn spellings() -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let word = "weather";
    for (i, c) in word.char_indices() {
        let (before, after) = (&word[..i], &word[i + c.len_utf8()..]);
        let code = u32::from(c);
        for written in [
            format!("%{code:02x}"),
            format!("%{code:02X}"),
            format!("%25{code:02x}"),
            format!("%2525{code:02x}"),
            c.to_ascii_uppercase().to_string(),
            format!("{c};x=y"),
            format!("{c}%3bx"),
            format!("%u00{code:02x}"),
        ] {
            all.push(format!("/{before}{written}{after}"));
        }
        for junk in
            ["%00", "%0a", "%0d", "%09", "%7f", "%2f", "%5c", "%2e", "%c0%af", "%ff", "%zz", "%"]
        {
            all.push(format!("/{before}{junk}{c}{after}"));
        }
    }
    for prefix in PREFIXES {
        all.push(format!("{prefix}{word}"));
        all.push(format!("{prefix}{}", word.to_uppercase()));
    }
    for suffix in SUFFIXES {
        all.push(format!("/{word}{suffix}"));
        all.push(format!("/{}{suffix}", word.to_uppercase()));
    }
    for word in WORDS {
        all.push(format!("/{word}"));
    }
    for authority in OTHER_ORIGINS {
        all.push(format!("{authority}/weather"));
    }
    all
}

#[tokio::test]
async fn no_spelling_of_a_priced_path_is_free() {
    for matcher in ["GET /weather", "/weather"] {
        let world = world_of(vec![priced("weather", matcher)]);
        let (mut asked, mut unparsable) = (0, 0);
        for spelling in spellings() {
            if spelling.parse::<http::Uri>().is_err() {
                unparsable += 1;
                continue;
            }
            let seen = ask(&world, "GET", &spelling, &[]).await;
            seen.expect_refusal(400, "ambiguous_path");
            asked += 1;
        }
        assert_eq!(world.runs(), 0);
        assert!(asked > 200 && unparsable < 10, "{asked} asked, {unparsable} are no URIs");
    }
}

#[tokio::test]
async fn plain_paths_are_what_they_are() {
    let world = world_of(vec![priced("weather", "GET /weather")]);
    for (uri, status) in [
        ("/weather", 402),
        ("/weather?x=%77&y=//", 402),
        ("/weather#fragment", 402),
        ("https://api.example.com/weather", 402),
        ("/weathe", 200),
        ("/weathers", 200),
        ("/weather/today", 200),
        ("/a%20b", 200),
        ("/", 200),
    ] {
        assert_eq!(ask(&world, "GET", uri, &[]).await.status, status, "{uri}");
    }
}

#[tokio::test]
async fn every_method_of_a_path_that_names_none_is_priced() {
    let world = world_of(vec![priced("weather", "/weather")]);
    for method in METHODS {
        let seen = ask(&world, method, "/weather", &[("x-http-method-override", "GET")]).await;
        seen.expect_refusal(402, "Payment required");
    }
    ask(&world, "CONNECT", "api.example.com:443", &[])
        .await
        .expect_refusal(400, "upgrade_not_priced");
    assert_eq!(world.runs(), 0);
}

#[tokio::test]
async fn head_costs_what_get_costs_and_letter_case_is_no_way_around() {
    let world = world_of(vec![priced("weather", "GET /weather")]);
    ask(&world, "HEAD", "/weather", &[]).await.expect_refusal(402, "Payment required");
    for method in ["get", "Get", "gEt"] {
        ask(&world, method, "/weather", &[]).await.expect_refusal(400, "ambiguous_path");
    }
    assert_eq!(world.runs(), 0);
    assert_eq!(
        ask(&world, "POST", "/weather", &[]).await.status,
        200,
        "another method is unmatched"
    );

    let mut free_head = Route::free("head", "HEAD /weather");
    let world = world_of(vec![priced("weather", "GET /weather"), free_head.clone()]);
    ask(&world, "HEAD", "/weather", &[]).await.expect_refusal(402, "Payment required");
    free_head.matcher = "HEAD /*".to_owned();
    let world = world_of(vec![priced("weather", "GET /weather"), free_head]);
    ask(&world, "HEAD", "/weather", &[]).await.expect_refusal(402, "Payment required");
    assert_eq!(world.runs(), 0);
}

#[tokio::test]
async fn a_paid_head_is_forwarded_as_head() {
    let resource: crate::world::Resource = std::sync::Arc::new(|request| {
        let method = request.method().to_string();
        Box::pin(async move {
            let answer = http::Response::builder().header("x-method", method);
            let answer = answer.header("content-length", "42");
            answer.body(faregate_gate::GateBody::empty()).unwrap()
        })
    });
    let world = World::with(memory(), config(vec![priced("weather", "GET /weather")]), resource);
    let payment = crate::payment::fresh();
    let seen = world.send(crate::world::request("HEAD", "/weather", Some(&payment))).await;
    assert_eq!((seen.status.as_u16(), seen.header("x-method")), (200, "HEAD"));
    assert_eq!(seen.header("content-length"), "42");
    world.pay("/weather", &payment).await.expect_refusal(409, "payment_already_claimed");
}

#[tokio::test]
async fn upgrades_and_preflights_never_reach_a_priced_path() {
    let world = world_of(vec![priced("weather", "GET /weather")]);
    for protocol in ["websocket", "h2c", "TLS/1.0"] {
        for method in ["GET", "POST"] {
            let headers = [("connection", "upgrade"), ("upgrade", protocol)];
            let seen = ask(&world, method, "/weather", &headers).await;
            seen.expect_refusal(400, "upgrade_not_priced");
        }
    }
    let preflight = [("origin", "https://page.example"), ("access-control-request-method", "GET")];
    let seen = ask(&world, "OPTIONS", "/weather", &preflight).await;
    assert_eq!(seen.status, 204);
    for header in ["PAYMENT-SIGNATURE", "X-PAYMENT"] {
        assert!(seen.header("access-control-allow-headers").contains(header));
    }
    assert!(seen.header("access-control-expose-headers").contains("PAYMENT-RESPONSE"));
    assert_eq!((seen.header("cache-control"), world.runs()), ("no-store", 0));
    let world = world_of(vec![priced("weather", "/weather")]);
    for headers in [&preflight[..1], &preflight[1..], &[]] {
        ask(&world, "OPTIONS", "/weather", headers).await.expect_refusal(402, "Payment required");
    }
    assert_eq!(ask(&world, "OPTIONS", "/weather", &preflight).await.status, 204);
    assert_eq!(world.runs(), 0);
}

#[tokio::test]
async fn what_could_turn_a_free_request_into_a_priced_one_is_stripped() {
    let resource: crate::world::Resource = std::sync::Arc::new(|request| {
        let mut headers = request.headers().clone();
        assert!(headers.remove("x-request-id").is_some());
        let seen = format!("{headers:?}");
        Box::pin(async move { http::Response::new(faregate_gate::GateBody::full(seen)) })
    });
    let world = World::with(memory(), config(vec![priced("weather", "GET /weather")]), resource);
    let overrides = [
        ("x-http-method-override", "GET"),
        ("x_http_method", "GET"),
        ("x-original-url", "/weather"),
        ("x_rewrite_url", "/weather"),
        ("x-faregate-payer", "forged"),
        ("x-kept", "1"),
    ];
    let seen = ask(&world, "POST", "/weather", &overrides).await;
    assert_eq!(&seen.body[..], br#"{"x-kept": "1"}"#);
    let seen = ask(&world, "POST", "/elsewhere", &overrides).await;
    let body = String::from_utf8(seen.body.to_vec()).unwrap();
    assert!(body.contains("method-override") && !body.contains("weather"), "{body}");
}

#[tokio::test]
async fn the_most_specific_route_wins_in_any_order() {
    let routes = [
        priced("all", "* /files/*"),
        priced("one", "GET /files/:id"),
        Route::free("public", "/files/public/*"),
        priced("root", "/files/public/secret"),
        priced("any", "/files/:id"),
        priced("deep", "/files/:id/raw"),
    ];
    let name = |seen: &Seen| {
        seen.challenge().map_or("free".to_owned(), |challenge| challenge.resource.description)
    };
    for rotation in 0..routes.len() {
        let mut routes = routes.clone();
        for route in &mut routes {
            route.description.clone_from(&route.name);
        }
        routes.rotate_left(rotation);
        let world = world_of(routes.to_vec());
        for (method, uri, want) in [
            ("GET", "/files/1", "one"),
            ("HEAD", "/files/1", "one"),
            ("POST", "/files/1", "any"),
            ("GET", "/files/1/raw", "deep"),
            ("GET", "/files/1/2/3", "all"),
            ("GET", "/files/", "all"),
            ("GET", "/files/public/a", "free"),
            ("GET", "/files/public/secret", "root"),
            ("GET", "/files/PUBLIC/a", "all"),
            ("GET", "/other", "free"),
        ] {
            assert_eq!(
                name(&ask(&world, method, uri, &[]).await),
                want,
                "{rotation} {method} {uri}"
            );
        }
        for uri in [
            "/FILES/1",
            "/files",
            "/files/public/SECRET",
            "/files/public/secret/",
            "/files/1/raw/",
            "/files/1/",
        ] {
            ask(&world, "GET", uri, &[]).await.expect_refusal(400, "ambiguous_path");
        }
    }
}

#[tokio::test]
async fn what_was_asked_before_changes_no_decision() {
    const WEBSOCKET: &[(&str, &str)] = &[("connection", "upgrade"), ("upgrade", "websocket")];
    const PREFLIGHT: &[(&str, &str)] =
        &[("origin", "https://page.example"), ("access-control-request-method", "GET")];
    let world = || {
        world_of(vec![
            priced("weather", "GET /weather"),
            Route::free("report", "POST /weather"),
            Route::free("about", "/about"),
        ])
    };
    let mut requests = Vec::new();
    for uri in ["/weather", "https://evil.example/weather", "/weather?x", "/weather/", "/about"] {
        for method in ["GET", "HEAD", "POST", "PUT", "OPTIONS", "get", "QUERY"] {
            requests.extend([&[], WEBSOCKET, PREFLIGHT].map(|headers| (method, uri, headers)));
        }
    }
    let mut want = Vec::new();
    for (method, uri, headers) in &requests {
        let seen = ask(&world(), method, uri, headers).await;
        want.push((seen.status, seen.body));
    }
    let asked = world();
    for index in (0..requests.len()).chain((0..requests.len()).rev()) {
        let (method, uri, headers) = requests[index];
        let seen = ask(&asked, method, uri, headers).await;
        assert_eq!((seen.status, seen.body), want[index], "{method} {uri} {headers:?}");
    }
}

#[tokio::test]
async fn what_no_route_matches_follows_the_stated_default() {
    let mut config =
        config(vec![priced("weather", "GET /weather"), Route::free("health", "/health")]);
    config.unmatched = Unmatched::Deny;
    let world = World::with(memory(), config, answering(SECRET));
    ask(&world, "GET", "/other", &[]).await.expect_refusal(404, "not_found");
    ask(&world, "POST", "/weather", &[]).await.expect_refusal(404, "not_found");
    assert_eq!(world.runs(), 0);
    assert_eq!(ask(&world, "GET", "/health", &[]).await.status, 200);
}

/// The IANA registry, and junk.
const METHODS: &[&str] = &[
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "OPTIONS",
    "ORDERPATCH",
    "PATCH",
    "POST",
    "PRI",
    "PROPFIND",
    "PROPPATCH",
    "PUT",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "TRACE",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
    "get",
    "Get",
    "JUNK",
    "x",
    "!#$%",
];
