//! `faregate bench`: every kind of work, on the dev chain with a few requests at once. What the
//! figures are is the machine's affair; that they are there and fit together is tested here.

use std::time::Duration;

use serde_json::Value;

use crate::real_chain::SIGNER_KEY;
use crate::service::{self, Service};
use crate::{http, ports};

/// Time in which a measurement ends that is told to.
const END: Duration = Duration::from_secs(20);
/// Short, so that many blocks are made in a second of measuring.
const QUICK: &[&str] = &[
    "--json",
    "--seconds",
    "1",
    "--in-flight",
    "4",
    "--block-time",
    "100ms",
    "--rpc-latency",
    "1ms",
    "--payments",
    "1500",
    "--warm-up",
    "300ms",
];
/// Figures that are there whatever is measured.
const NUMBERS: &[&str] = &[
    "seconds",
    "perSecond",
    "p50Ms",
    "p99Ms",
    "cpuMicrosPerRequest",
    "rpcCallsPerRequest",
    "rssBytes",
    "peakRssBytes",
    "lost",
    "accepted",
    "failed",
    "pending",
    "transactions",
    "benchCpuMicrosPerRequest",
];

fn bench(arguments: &[&str]) -> service::Finished {
    service::run(service::faregate().arg("bench").args(arguments))
}

/// What holds of every measurement.
fn checked(figures: &Value, work: &str) {
    assert_eq!((&figures["work"], &figures["inFlight"]), (&work.into(), &4.into()), "{figures}");
    for name in NUMBERS {
        assert!(figures[name].is_number(), "{name} in {figures}");
    }
    let count = |name: &str| figures[name].as_u64().unwrap();
    assert!(count("accepted") > 0, "{figures}");
    assert_eq!((count("lost"), count("failed")), (0, 0), "{figures}");
    assert!(count("peakRssBytes") >= count("rssBytes") && count("rssBytes") > 0, "{figures}");
    let wait = |name: &str| figures[name].as_f64().unwrap();
    assert!(wait("p99Ms") >= wait("p50Ms") && wait("p50Ms") > 0.0, "{figures}");
}

#[test]
fn verifications_are_measured_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let plot = folder.path().join("waits.svg");
    let arguments = [&["verify", "--plot", plot.to_str().unwrap()], QUICK].concat();
    let figures = bench(&arguments).succeeded().json();
    checked(&figures, "verify");
    assert!(figures["rpcCallsPerRequest"].as_f64().unwrap() > 0.0, "{figures}");
    assert!(figures["gasPerSettlement"].is_null(), "{figures}");
    assert_eq!(figures["transactions"], 0, "{figures}");
    assert!(std::fs::read_to_string(plot).unwrap().starts_with("<svg"));
}

#[test]
fn settlements_are_measured_and_each_is_on_the_chain() {
    let figures = bench(&[&["settle"], QUICK].concat()).succeeded().json();
    checked(&figures, "settle");
    assert!(figures["gasPerSettlement"].as_u64().unwrap() > 21_000, "{figures}");
    assert!(figures["transactions"].as_u64().unwrap() > 0, "{figures}");
    assert!(figures["rpcMethods"]["eth_sendRawTransaction"].as_u64().unwrap() > 0, "{figures}");
}

#[test]
fn paid_requests_challenges_and_free_requests_are_measured() {
    let paid = bench(&[&["gate"], QUICK].concat()).succeeded().json();
    checked(&paid, "paid");
    assert!(paid["gasPerSettlement"].as_u64().unwrap() > 21_000, "{paid}");
    let folder = tempfile::tempdir().unwrap();
    let answer = folder.path().join("402");
    let arguments = ["gate", "--challenges", "--cores", "1", "--answer", answer.to_str().unwrap()];
    let challenges = bench(&[&arguments, QUICK].concat()).succeeded().json();
    checked(&challenges, "challenge");
    assert_eq!(challenges["cores"], 1);
    let answer = String::from_utf8(std::fs::read(answer).unwrap()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 402 ") && answer.contains("payment-required: "));
    let free = bench(&[&["gate", "--free"], QUICK].concat()).succeeded().json();
    checked(&free, "free");
}

#[test]
fn what_the_environment_says_of_a_deployment_is_not_measured() {
    let mut command = service::faregate();
    command.args(["bench", "settle", "--batch", "off", "--cores", "1"]).args(QUICK);
    command.env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/real");
    command.env("FAREGATE__CHAIN__0__RPC", "http://127.0.0.1:1");
    let figures = service::run(&mut command).succeeded().json();
    checked(&figures, "settle");
    let count = |name: &str| figures[name].as_u64().unwrap();
    assert_eq!(count("transactions"), count("accepted"), "one for each: {figures}");
}

#[test]
fn a_table_is_for_people() {
    let quick: Vec<&str> = QUICK.iter().copied().filter(|word| *word != "--json").collect();
    let said = bench(&[&["gate", "--challenges"], quick.as_slice()].concat()).succeeded();
    assert!(said.stdout.starts_with("challenge, 4 in flight, "), "{}", said.stdout);
    assert!(said.stdout.contains("processor time each, us"), "{}", said.stdout);
    assert!(!said.stderr.contains('#'), "a bar where nobody looks: {}", said.stderr);
}

/// A facilitator that somebody else runs, with a chain at `rpc_port`.
fn facilitator(folder: &std::path::Path, port: u16, rpc_port: u16) -> std::process::Command {
    let text = format!(
        "[ledger]\nurl = \"sqlite://{}/ledger.db\"\n[ops]\nlisten = \"127.0.0.1:{}\"\n\
         [facilitator]\nlisten = \"127.0.0.1:{port}\"\n[[chain]]\nnetwork = \"eip155:84532\"\n\
         rpc = [\"http://127.0.0.1:{rpc_port}\"]\nsigners = [\"env:SIGNER_KEY\"]\n",
        folder.display(),
        port + 1
    );
    std::fs::write(folder.join("other.toml"), text).unwrap();
    let mut command = service::faregate();
    command.args(["facilitator", "--config", "other.toml"]).current_dir(folder);
    command.env("SIGNER_KEY", SIGNER_KEY);
    command
}

#[test]
fn what_somebody_else_runs_is_measured_by_its_url_and_process() {
    let folder = tempfile::tempdir().unwrap();
    let port = ports::row(3);
    let url = format!("http://127.0.0.1:{port}");
    let mut other = Service::start("other", &mut facilitator(folder.path(), port, port + 2));
    let (pid, rpc_port) = (other.pid().to_string(), (port + 2).to_string());
    let place = ["settle", "--url", &url, "--pid", &pid, "--rpc-port", &rpc_port];
    let mut command = service::faregate();
    command.arg("bench").args(place).args(QUICK);
    let mut measuring = Service::start("faregate bench", &mut command);
    let facts: Value = serde_json::from_str(&measuring.line()).unwrap();
    assert_eq!(facts["rpc"], format!("http://127.0.0.1:{rpc_port}"));
    for name in ["token", "payTo", "network", "upstream"] {
        assert!(facts[name].is_string(), "{facts}");
    }
    assert_eq!(facts["signerKeys"][0], SIGNER_KEY);
    let figures: Value = serde_json::from_str(&measuring.line()).unwrap();
    checked(&figures, "settle");
    assert!(measuring.ended(END).success());
    assert!(other.is_alive(), "it is not ours to end");
}

#[test]
fn a_command_is_started_with_the_addresses_and_ended() {
    let folder = tempfile::tempdir().unwrap();
    let port = ports::row(2);
    let url = format!("http://127.0.0.1:{port}");
    // As a script would: what it needs is in its environment.
    facilitator(folder.path(), port, 1);
    let config = folder.path().join("other.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace("\"http://127.0.0.1:1\"", "\"env:BENCH_RPC_URL\"");
    std::fs::write(&config, text.replace("env:SIGNER_KEY", "env:BENCH_SIGNER_KEY")).unwrap();
    let program = service::faregate().get_program().to_str().unwrap().to_owned();
    let command = ["--", &program, "facilitator", "--config", config.to_str().unwrap()];
    let figures = bench(&[&["verify", "--url", &url], QUICK, &command].concat()).succeeded().json();
    checked(&figures, "verify");
    assert!(http::try_request("GET", &url, &[], b"").is_err(), "it was ended");
}

#[test]
fn whoever_stops_a_measurement_leaves_nothing_behind() {
    let mut command = service::faregate();
    command.args(["bench", "settle", "--seconds", "600", "--payments", "100000"]);
    let mut measuring = Service::start("faregate bench", &mut command);
    let children = format!("/proc/{}/task/{}/children", measuring.pid(), measuring.pid());
    let mut found = Vec::new();
    measuring.until("a child", || {
        // The threads that start it differ.
        let pid = children.split('/').nth(2).unwrap();
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
        let lists = tasks.filter_map(|t| std::fs::read_to_string(t.path().join("children")).ok());
        found = lists
            .flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        !found.is_empty()
    });
    measuring.signal("INT");
    assert!(!measuring.ended(END).success());
    assert!(measuring.stderr().contains("stopped before the end"), "{}", measuring.stderr());
    for child in found {
        assert!(!std::path::Path::new(&format!("/proc/{child}")).exists(), "{child} still runs");
    }
}

#[test]
fn what_cannot_be_measured_is_said_at_once() {
    for (arguments, says) in [
        (&["verify", "--in-flight", "0"] as &[&str], "0 is not in 1..=4096"),
        (&["settle", "--block-time", "2"], "write a time with its unit"),
        (&["gate", "--free", "--challenges"], "cannot be used with"),
        (&["gate", "--settle", "never", "--seconds", "1"], "gate.route"),
        (&["verify", "--url", "http://127.0.0.1:1"], "--url needs --pid"),
        (&["verify", "--url", "http://192.0.2.1", "--pid", "1"], "only what runs on this machine"),
        (&["verify", "--cores", "4096"], "there are "),
        (&["verify", "--url", "http://127.0.0.1:1", "--pid", "4194304"], "no process 4194304"),
        (&["verify", "--url", "http://127.0.0.1:1", "--", "false"], "what is measured ended"),
        (&["verify", "--url", "http://127.0.0.1:1", "--", "no-such-command"], "did not start"),
        (&["verify", "--postgres", "http://127.0.0.1/x", "--seconds", "1"], "ended"),
        (&["burn"], "unrecognized subcommand"),
    ] {
        let said = bench(arguments);
        assert!(!said.status.success(), "{arguments:?}: {said:?}");
        assert!(said.stderr.contains(says), "{arguments:?}: {}", said.stderr);
        assert!(said.stdout.is_empty() || arguments.contains(&"--pid"), "{said:?}");
    }
}
