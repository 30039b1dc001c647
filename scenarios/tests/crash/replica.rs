//! One process of `faregate serve`: started, frozen, killed and started again over the same ledger.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::real_chain::{NETWORK, PAYEE, SIGNER_KEY};
use crate::{http, payments};

/// Leases of claims, in milliseconds: short, so that what a dead process held is free soon.
pub(crate) const LEASE_MS: u64 = 1000;
/// How long a replica waits for an answer of its endpoint, in milliseconds.
pub(crate) const RPC_TIMEOUT_MS: u64 = 2000;
/// Path of the priced route that settles before it answers.
pub(crate) const PRICED_PATH: &str = "/report";
/// Path of the one whose money follows its answer.
pub(crate) const DEFERRED_PATH: &str = "/deferred";
/// Path of the one whose money moves before its handler runs.
pub(crate) const BEFORE_RUN_PATH: &str = "/before-run";
/// Time in which a process must be ready when nobody kills it.
const START: Duration = Duration::from_secs(30);
/// From one start to the next of a process that ends by itself, as a supervisor would do it.
const RESTART: Duration = Duration::from_millis(300);
const POLL: Duration = Duration::from_millis(20);
const SIGABRT: i32 = 6;

/// What all replicas of a run have in common.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) binary: PathBuf,
    /// Configurations and logs.
    pub(crate) folder: PathBuf,
    pub(crate) ledger_url: String,
    pub(crate) sealing_key: PathBuf,
    pub(crate) rpc: String,
    pub(crate) upstream: String,
    /// What every gate says it is: buyers reach them through one name.
    pub(crate) origin: String,
}

/// How a process ended without being told to by this run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// At the place it was armed with.
    AtPoint(String),
    /// By itself.
    Alone(String),
}

pub(crate) struct Replica {
    site: Site,
    name: String,
    /// Base URL of its gate.
    pub(crate) url: String,
    ops: String,
    child: Child,
    armed: Option<String>,
    started: Instant,
    frozen_until: Option<Instant>,
}

impl Replica {
    /// Writes its configuration and starts it. It listens on `port` and the two after it.
    pub(crate) fn start(site: &Site, index: usize, port: u16, armed: Option<String>) -> Self {
        let name = format!("gate-{index}");
        std::fs::write(site.folder.join(format!("{name}.toml")), config(site, port)).unwrap();
        let child = spawn(site, &name, armed.as_deref());
        Self {
            site: site.clone(),
            name,
            url: format!("http://127.0.0.1:{port}"),
            ops: format!("http://127.0.0.1:{}", port + 2),
            child,
            armed,
            started: Instant::now(),
            frozen_until: None,
        }
    }

    /// The place it dies at, and for how long it has not.
    pub(crate) fn armed_for(&self) -> Option<Duration> {
        self.armed.as_ref().map(|_| self.started.elapsed())
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.frozen_until.is_some()
    }

    /// Waits until it says that it is ready.
    pub(crate) fn ready(&mut self) {
        let (started, url) = (Instant::now(), format!("{}/readyz", self.ops));
        while !http::try_request("GET", &url, &[], b"").is_ok_and(|answer| answer.status == 200) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "{} ended ({ended:?}) before it was ready", self.name);
            assert!(started.elapsed() < START, "{} is not ready", self.name);
            std::thread::sleep(POLL);
        }
    }

    /// Whether it has ended without being killed. One that ends by itself is not started at once,
    /// so that its end is not told before its time either.
    pub(crate) fn ended(&mut self) -> Option<Ended> {
        let status = self.child.try_wait().unwrap()?;
        match (&self.armed, status.signal()) {
            (Some(point), Some(SIGABRT)) => Some(Ended::AtPoint(point.clone())),
            _ if self.started.elapsed() < RESTART => None,
            _ => Some(Ended::Alone(status.to_string())),
        }
    }

    /// Stops it as a debugger or a paused machine would: it will go on as if nothing had happened.
    pub(crate) fn freeze(&mut self, how_long: Duration) {
        self.signal("STOP");
        self.log(&format!("frozen for {how_long:?}"));
        self.frozen_until = Some(Instant::now() + how_long);
    }

    /// Lets it go on if its time has come.
    pub(crate) fn thaw_if_due(&mut self) {
        if self.frozen_until.is_some_and(|until| Instant::now() >= until) {
            self.thaw();
        }
    }

    fn thaw(&mut self) {
        self.frozen_until = None;
        self.log("goes on");
        self.signal("CONT");
    }

    /// As the kernel does when memory is short, and starts it again at once.
    pub(crate) fn kill_and_start(&mut self, armed: Option<String>) {
        self.log("killed");
        self.kill();
        self.start_again(armed);
    }

    /// Starts it over what the dead process left.
    pub(crate) fn start_again(&mut self, armed: Option<String>) {
        self.child = spawn(&self.site, &self.name, armed.as_deref());
        self.armed = armed;
        self.started = Instant::now();
        self.frozen_until = None;
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        // It may have ended meanwhile.
        let _ = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &pid]).status();
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn log(&self, what: &str) {
        let _ = writeln!(log_file(&self.site.folder, &self.name), "--- {what}");
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.kill();
    }
}

fn log_file(folder: &Path, name: &str) -> File {
    let path = folder.join(format!("{name}.log"));
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

fn spawn(site: &Site, name: &str, armed: Option<&str>) -> Child {
    let mut log = log_file(&site.folder, name);
    writeln!(log, "--- started, armed: {armed:?}").unwrap();
    let mut command = Command::new(&site.binary);
    command.args(["serve", "--config", &format!("{name}.toml")]).current_dir(&site.folder);
    command.env("SIGNER_KEY", SIGNER_KEY).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    if let Some(point) = armed {
        command.env("FAREGATE_CRASH_AT", point);
    }
    command.spawn().unwrap_or_else(|error| panic!("{}: {error}", site.binary.display()))
}

fn config(site: &Site, port: u16) -> String {
    let Site { ledger_url, rpc, upstream, origin, sealing_key, .. } = site;
    let sealing_key = sealing_key.display();
    let (facilitator, ops, valid_secs) = (port + 1, port + 2, payments::VALID_SECS);
    let route = |name, path, settle| {
        format!(
            r#"[[gate.route]]
name = "{name}"
match = "GET {path}"
settle = "{settle}"
price = "$0.01"
network = "{NETWORK}"
pay_to = "{PAYEE}"
max_timeout_seconds = {valid_secs}
"#
        )
    };
    let routes = [
        route("report", PRICED_PATH, "before-response"),
        route("deferred", DEFERRED_PATH, "deferred"),
        route("before-run", BEFORE_RUN_PATH, "before-run"),
    ];
    let routes = routes.concat();
    // Little enough that some payments find no room.
    format!(
        r#"[log]
filter = "info,faregate_gate=debug,faregate_engine=debug"
[ledger]
url = "{ledger_url}"
sealing_key = "file:{sealing_key}"
[lease]
ttl_ms = {LEASE_MS}
[ops]
listen = "127.0.0.1:{ops}"
[facilitator]
listen = "127.0.0.1:{facilitator}"
[[chain]]
network = "{NETWORK}"
rpc = ["{rpc}"]
signers = ["env:SIGNER_KEY"]
rpc_timeout_ms = {RPC_TIMEOUT_MS}
[gate]
listen = "127.0.0.1:{port}"
origin = "{origin}"
upstream = "{upstream}"
unmatched = "deny"
facilitator = "local"
[gate.deferred]
max_per_payer = "$0.15"
max_total = "$0.15"
{routes}"#
    )
}
