//! What is wrong with a configuration: refused at construction, and told all at once to a tool that
//! has neither a ledger nor a facilitator.

use std::sync::Arc;
use std::time::Duration;

use faregate_gate::{
    Access, AssetLimits, ClientError, DeferredConfig, Gate, GateConfig, GateError, ReverseProxy,
    Route, RouteFault, RouteTable, SettleMode, Unmatched, limits,
};
use faregate_telemetry::Metrics;
use url::Url;

use crate::payment::requirements;
use crate::scripted_facilitator::Scripted;
use crate::world::{ORIGIN, config, memory};

fn priced(name: &str, matcher: &str) -> Route {
    Route::priced(name, matcher, vec![requirements()])
}

/// The fault a gate is refused for, which is also the first that a tool is told.
#[track_caller]
fn fault(routes: Vec<Route>) -> RouteFault {
    let told = RouteTable::faults(&routes);
    let config = config(routes);
    let checked = config.check();
    match Gate::new(config, memory(), Arc::new(Scripted::default()), Metrics::new([])) {
        Err(GateError::Route { fault, route }) => {
            assert_eq!(told.first().map(|(_, fault)| fault), Some(&fault));
            assert_eq!(checked.first(), Some(&GateError::Route { route, fault: fault.clone() }));
            assert_eq!(checked.len(), told.len());
            fault
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_route_that_cannot_be_sold_is_refused() {
    let mut free_of_charge = priced("a", "/a");
    free_of_charge.access = Access::Priced(vec![]);
    assert_eq!(fault(vec![free_of_charge]), RouteFault::NoOption);
    let mut short = requirements();
    short.max_timeout_seconds = 45.into();
    let short = Route::priced("a", "/a", vec![short]);
    assert!(matches!(fault(vec![short]), RouteFault::TooShortToPay { max_timeout_secs: 45, .. }));
    let mut typo = requirements();
    typo.pay_to = "0x742d35Cc6634C0532925a3b844Bc9e7595f0bEb".to_owned();
    let typo = Route::priced("a", "/a", vec![typo]);
    assert!(matches!(fault(vec![typo]), RouteFault::Option { index: 0, .. }));
}

#[test]
fn routes_that_could_be_misread_are_refused() {
    for (first, second) in [
        ("/a", "/a"),
        ("* /a", "/a"),
        ("/u/:id", "/u/:name"),
        ("/a", "/A"),
        ("GET /a/*", "GET /a/*"),
    ] {
        let other = "one".to_owned();
        let routes = vec![priced("one", first), priced("two", second)];
        assert_eq!(fault(routes), RouteFault::SameMatch { other }, "{first} {second}");
    }
    let free = vec![Route::free("a", "/a"), Route::free("b", "/A"), Route::free("c", "/a")];
    assert_eq!(fault(free), RouteFault::SameMatch { other: "a".to_owned() });
    assert_eq!(fault(vec![priced("a", "/a"), priced("a", "/b")]), RouteFault::NameTaken);
    for matcher in [
        "",
        "a",
        "get /a",
        "/a//b",
        "/a/../b",
        "/%61",
        "/a;b",
        "/*/a",
        "/a*",
        "/:",
        "GET",
        "OPTIONS /a",
        "/a?b",
    ] {
        assert!(matches!(fault(vec![priced("a", matcher)]), RouteFault::Matcher(_)), "{matcher:?}");
    }
}

#[test]
fn every_fault_of_every_route_is_told_at_once() {
    let mut hopeless = priced("", "weather");
    hopeless.upstream_timeout = Duration::ZERO;
    hopeless.description = "x".repeat(limits::MAX_DESCRIPTION_BYTES + 1);
    let mut nowhere = requirements();
    nowhere.scheme = "upto".to_owned();
    nowhere.amount = 0.into();
    nowhere.asset = "USDC".to_owned();
    nowhere.pay_to = format!("0x{:040}", 0);
    nowhere.max_timeout_seconds = 1.into();
    hopeless.access = Access::Priced(vec![requirements(), nowhere]);
    let mut slow = priced("slow", "/good");
    slow.upstream_timeout = Duration::from_secs(285);
    let routes = [priced("good", "GET /good"), hopeless, priced("good", "GET /GOOD"), slow];
    let found = RouteTable::faults(&routes);
    let option = |why| (1, RouteFault::Option { index: 1, why });
    let short = |route, index, timeout_secs, max_timeout_secs| {
        let margin_secs = limits::SETTLE_MARGIN.as_secs();
        (route, RouteFault::TooShortToPay { index, timeout_secs, margin_secs, max_timeout_secs })
    };
    let limit_secs = limits::MAX_UPSTREAM_TIMEOUT.as_secs();
    let matcher = "the path must begin with / and be spelled plainly";
    let wanted = [
        (1, RouteFault::Name { limit: limits::MAX_ROUTE_NAME_BYTES }),
        (1, RouteFault::Matcher(matcher)),
        (1, RouteFault::UpstreamTimeout { limit_secs }),
        (1, RouteFault::Description { limit: limits::MAX_DESCRIPTION_BYTES }),
        option("its scheme is not exact"),
        option("its amount is zero"),
        option("its asset is not an address"),
        option("its payTo is the zero address"),
        short(1, 1, 0, 1),
        (2, RouteFault::NameTaken),
        (2, RouteFault::SameMatch { other: "good".to_owned() }),
        short(3, 0, 285, 300),
    ];
    assert_eq!(found, wanted);
    assert_eq!(RouteTable::faults(&[]), []);
}

#[test]
fn everything_else_in_a_configuration_is_told_too() {
    let mut bad = GateConfig::new("api.example.com/x", vec![priced("a", "a")], Unmatched::Deny);
    bad.lease_ms = 1;
    let found = bad.check();
    assert!(
        matches!(
            &found[..],
            [
                GateError::Lease { lease_ms: 1, .. },
                GateError::Origin { .. },
                GateError::Route { fault: RouteFault::Matcher(_), .. }
            ]
        ),
        "{found:?}"
    );
    assert_eq!(config(vec![priced("a", "/a")]).check(), []);
}

#[test]
fn an_upstream_is_an_origin() {
    let check = |text: &str| ReverseProxy::check_upstream(&text.parse::<Url>().unwrap());
    for good in ["http://127.0.0.1:3000", "http://127.0.0.1:3000/", "https://app.example"] {
        assert_eq!(check(good).unwrap().text(), good.trim_end_matches('/'));
    }
    for bad in [
        "http://127.0.0.1:3000/app",
        "http://127.0.0.1:3000/?key=canary",
        "http://user:canary@127.0.0.1:3000",
        "ftp://127.0.0.1",
        "unix:/app.sock",
    ] {
        let error = check(bad).unwrap_err();
        assert!(matches!(error, ClientError::Upstream { .. }), "{bad}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }
}

#[test]
fn what_is_deferred_needs_a_limit_for_each_of_its_tokens() {
    let mut other = requirements();
    other.asset = format!("0x{:040}", 7);
    let mut route = Route::priced("a", "/a", vec![requirements(), other]);
    route.settle = SettleMode::Deferred;
    let own = requirements();
    let limits = AssetLimits {
        network: own.network,
        asset: own.asset.to_lowercase(),
        payer: 20_000.into(),
        total: 50_000.into(),
    };
    let mut config = GateConfig::new(ORIGIN, vec![route], Unmatched::Deny);
    let fault = |index| GateError::Route {
        route: "a".to_owned(),
        fault: RouteFault::NoExposureLimit { index },
    };
    assert_eq!(config.check(), [fault(0), fault(1)]);
    config.deferred = Some(DeferredConfig::new(vec![limits.clone()]));
    assert_eq!(config.check(), [fault(1)]);
    let asset = format!("0x{:040}", 7);
    config.deferred =
        Some(DeferredConfig::new(vec![limits.clone(), AssetLimits { asset, ..limits }]));
    assert_eq!(config.check(), []);
}
