//! A facilitator with a second cache layer in a real Redis: whatever becomes of that, in the middle
//! of the traffic, verdicts and settlements are those without it. O1, B49.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use faregate_cache::{CacheKey, RedisLayer};
use faregate_chain::SecondLayer as _;
use faregate_devnet::accounts;
use faregate_protocol::{PaymentPayload, PaymentRequest, Reason, canonical};
use faregate_telemetry::{Metrics, Redacted};
use serde_json::Value;

use crate::dev_chain::DevChain;
use crate::draft::{Draft, PRICE, now};
use crate::redis_server::RedisServer;
use crate::roles::{self, Extra, OTHER_SIGNER, Role};
use crate::service::{self, Finished};
use crate::{http, ports};

const PASSWORD: &str = "canary-of-the-cache";
const KEY: &str = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00";
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
/// How long each misfortune is looked at: longer than a lost server is left alone at first.
const ROUND: Duration = Duration::from_millis(1500);
/// Blocks after which everything before them is final on the dev chain.
const FINAL: u64 = 3;
/// What a used authorization is called at the wire.
const USED: Reason = Reason::EvmNonceAlreadyUsed;

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(POLL);
    }
}

/// A facilitator whose configuration names the server, as an operator writes it.
fn facilitator(chain: &DevChain, secrets: &Path, redis: &str) -> Role {
    let (url, key) = (secrets.join("url"), secrets.join("key"));
    std::fs::write(&url, redis).unwrap();
    std::fs::write(&key, KEY).unwrap();
    let (url, key) = (url.display(), key.display());
    let sections = format!("[cache]\nredis_url = \"file:{url}\"\nkey = \"file:{key}\"\n");
    roles::facilitator_at(chain.rpc(), &Extra { sections, ..Extra::default() })
}

fn with_password(server: &RedisServer) -> String {
    format!("redis://:{PASSWORD}@127.0.0.1:{}", server.port())
}

fn verdict(answer: &http::Answer) -> Result<(), String> {
    assert_eq!(answer.status, 200, "{answer:?} {}", answer.text());
    let said = answer.json();
    if said["isValid"] == true { Ok(()) } else { Err(said["invalidReason"].to_string()) }
}

/// Payments that are refused, each for its own reason, and good ones.
fn payments(spent: &Draft) -> Vec<Draft> {
    let mut forged = Draft::new();
    forged.signer = accounts::ACCOUNTS[5].private_key;
    let mut forged_over_spent = spent.clone();
    forged_over_spent.signer = accounts::ACCOUNTS[5].private_key;
    let mut poor = Draft::new();
    poor.signer = accounts::ACCOUNTS[7].private_key;
    poor.signed.from = accounts::ACCOUNTS[7].address;
    let mut expired = Draft::new();
    expired.signed.valid_before = alloy_primitives::U256::from(now() - 1);
    vec![Draft::new(), spent.clone(), forged, forged_over_spent, poor, expired, Draft::new()]
}

fn misfortune(server: &mut RedisServer, name: &str) {
    match name {
        "emptied" => drop(server.command(&["FLUSHALL"])),
        "hangs" => server.signal("STOP"),
        "goes on" => server.signal("CONT"),
        "killed" => server.kill(),
        "started again" => server.start_again(),
        "full" => drop(server.command(&["CONFIG", "SET", "maxmemory", "1"])),
        "closed connections" => drop(server.command(&["CLIENT", "KILL", "TYPE", "normal"])),
        _ => {}
    }
}

#[test]
fn o1_redis_dies_hangs_and_is_emptied_under_load_and_changes_nothing_but_cost() {
    let began = Instant::now();
    let (chain, secrets) = (DevChain::start(), tempfile::tempdir().unwrap());
    let mut server = RedisServer::start(&["--requirepass", PASSWORD]);
    let shared = facilitator(&chain, secrets.path(), &with_password(&server));
    let other = Extra { signer: OTHER_SIGNER, ..Extra::default() };
    let plain = roles::facilitator_at(chain.rpc(), &other);
    let spent = Draft::new();
    assert_eq!(plain.ask("settle", &spent.body()).json()["success"], true);
    chain.node.mine(FINAL);

    let ask = |role: &str, operation: &str, draft: &Draft| {
        http::post_json(&format!("{role}/{operation}"), &draft.body())
    };
    let (shared_url, plain_url) = (shared.facilitator.clone(), plain.facilitator.clone());
    let (stop, settled) = (AtomicBool::new(false), Mutex::new(0_u64));
    let slowest = Mutex::new(HashMap::<String, Duration>::new());
    let now_is = Mutex::new("well".to_owned());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    for draft in payments(&spent) {
                        let began = Instant::now();
                        let told = verdict(&ask(&shared_url, "verify", &draft));
                        let took = began.elapsed();
                        let name = now_is.lock().unwrap().clone();
                        let wanted = verdict(&ask(&plain_url, "verify", &draft));
                        assert_eq!(told, wanted, "while it {name}");
                        let mut slowest = slowest.lock().unwrap();
                        let slowest = slowest.entry(name).or_default();
                        *slowest = took.max(*slowest);
                    }
                }
            });
        }
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                let answer = ask(&shared_url, "settle", &Draft::new());
                assert_eq!(answer.json()["success"], true, "{}", answer.text());
                *settled.lock().unwrap() += 1;
            }
        });
        for name in [
            "well",
            "emptied",
            "hangs",
            "goes on",
            "killed",
            "started again",
            "full",
            "closed connections",
            "killed",
            "started again",
        ] {
            name.clone_into(&mut now_is.lock().unwrap());
            misfortune(&mut server, name);
            std::thread::sleep(ROUND);
        }
        stop.store(true, Ordering::SeqCst);
    });
    let settled = *settled.lock().unwrap();
    println!("{settled} settled; slowest verification {:?}", slowest.lock().unwrap());
    assert_eq!(chain.paid(), u128::from((settled + 1) * PRICE), "paid is what was settled");
    assert!(settled > 0);
    assert_told_in_few_words(&shared.service.stderr(), began.elapsed());
}

/// A line for each change: a lost server is left alone for a second at least.
fn assert_told_in_few_words(said: &str, within: Duration) {
    let lines = said.lines().filter(|line| line.contains("second cache layer")).count();
    println!("{lines} lines in the log");
    let most = 4 + 2 * usize::try_from(within.as_secs()).unwrap();
    assert!((2..=most).contains(&lines), "{lines} lines:\n{said}");
    assert!(!said.contains("canary"), "{said}");
}

#[test]
fn b49_what_redis_says_stops_no_settlement() {
    let (chain, secrets) = (DevChain::start(), tempfile::tempdir().unwrap());
    let server = RedisServer::start(&["--requirepass", PASSWORD]);
    let role = facilitator(&chain, secrets.path(), &with_password(&server));
    let draft = Draft::new();
    let payload: PaymentPayload = serde_json::from_value(draft.payment()).unwrap();
    let request = PaymentRequest::new(payload, draft.required.clone());
    let whole = canonical::hash(&request).unwrap();
    let entry = [&draft.digest()[..], &whole, &now().to_be_bytes(), &[1]].concat();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let key = CacheKey::from_hex(&Redacted::new(KEY.to_owned())).unwrap();
    let url = Redacted::new(with_password(&server));
    let liar = runtime.block_on(RedisLayer::start(&url, key, &Metrics::new([]))).unwrap();
    assert_eq!(verdict(&role.ask("verify", &draft.body())), Ok(()));
    // Even who has the operator's key cannot do more than have it refused at verify.
    liar.tell_refusal(&accounts::CHAIN_ID.to_string(), entry);
    let used = Err(Value::from(USED.code()).to_string());
    until("verify believes it", || verdict(&role.ask("verify", &draft.body())) == used);
    let settled = role.ask("settle", &draft.body());
    assert_eq!(settled.json()["success"], true, "{}", settled.text());
    assert_eq!(chain.paid(), u128::from(PRICE));
}

#[test]
fn o1_a_facilitator_starts_and_serves_without_the_redis_that_it_is_configured_with() {
    let (chain, secrets) = (DevChain::start(), tempfile::tempdir().unwrap());
    let nobody = format!("redis://:{PASSWORD}@127.0.0.1:{}", ports::one());
    let role = facilitator(&chain, secrets.path(), &nobody);
    let draft = Draft::new();
    assert_eq!(verdict(&role.ask("verify", &draft.body())), Ok(()));
    assert_eq!(role.ask("settle", &draft.body()).json()["success"], true);
    let said = role.service.stderr();
    let lost: Vec<&str> = said.lines().filter(|line| line.contains("second cache layer")).collect();
    assert_eq!(lost.len(), 1, "{said}");
    assert!(lost[0].contains("nobody listens there"), "{said}");
    assert!(!said.contains("canary"), "{said}");
    let metrics = http::get(&role.readiness_url().replace("readyz", "metrics")).text();
    assert!(metrics.contains("faregate_cache_up{layer=\"redis\"} 0"), "{metrics}");
}

/// `faregate config check` of a file with nothing but a cache.
fn check(folder: &Path, redis: &str, trusted: Option<&Path>) -> Finished {
    std::fs::write(folder.join("redis"), redis).unwrap();
    let text = format!("[cache]\nredis_url = \"file:{}\"\n", folder.join("redis").display());
    std::fs::write(folder.join("cache.toml"), text).unwrap();
    let mut command = service::faregate();
    command.args(["config", "check", "--config", "cache.toml"]).current_dir(folder);
    if let Some(certificate) = trusted {
        command.env("SSL_CERT_FILE", certificate);
    }
    service::run(&mut command)
}

#[test]
fn config_check_asks_redis_and_tls_is_checked() {
    const NEW: &str = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
         -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
         -addext basicConstraints=critical,CA:FALSE -keyout server.key -out server.crt";
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    let mut openssl = Command::new("openssl");
    openssl.args(NEW.split_whitespace()).current_dir(place);
    service::run(&mut openssl).succeeded();
    let (port, file) = (ports::one().to_string(), |name: &str| place.join(name));
    let (certificate, key) = (file("server.crt"), file("server.key"));
    let [shown, hidden] = [&certificate, &key].map(|path| path.display().to_string());
    let server = RedisServer::start(&[
        "--requirepass",
        PASSWORD,
        "--tls-port",
        &port,
        "--tls-cert-file",
        &shown,
        "--tls-key-file",
        &hidden,
        "--tls-auth-clients",
        "no",
    ]);
    let tls = format!("rediss://:{PASSWORD}@localhost:{port}");
    let good = check(place, &tls, Some(&certificate));
    assert!(good.status.success(), "{good:?}");
    assert!(check(place, &with_password(&server), None).status.success());
    for (url, trusted) in [
        (tls.as_str(), None),
        (&tls.replace("canary", "parrot"), Some(certificate.as_path())),
        (&format!("redis://127.0.0.1:{}", server.port()), None),
        (&format!("redis://:{PASSWORD}@127.0.0.1:{}", ports::one()), None),
        (&format!("redis://:{PASSWORD}@127.0.0.1:port"), None),
    ] {
        let bad = check(place, url, trusted);
        assert!(!bad.status.success(), "{url}: {bad:?}");
        let said = format!("{}{}", bad.stdout, bad.stderr);
        assert!(said.contains("cache.redis_url") && !said.contains("canary"), "{url}: {said}");
    }
}
