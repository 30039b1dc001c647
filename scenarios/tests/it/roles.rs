//! `faregate serve`, `gate` and `facilitator`, each from a configuration file in a folder of its
//! own, as an operator runs them.

use std::ffi::OsString;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::http::Answer;
use crate::real_chain::{NETWORK, PAYEE, RealChain, SIGNER_KEY};
use crate::service::{self, Finished, Service};
use crate::{http, ports};

/// Short, so that a claim whose holder was killed is free again soon.
const LEASE_MS: u64 = 500;
/// Variables with the keys of signers: two services that run at once take one each.
const SIGNER: &str = "SIGNER_KEY";
pub(crate) const OTHER_SIGNER: &str = "OTHER_SIGNER_KEY";
const OTHER_SIGNER_KEY: &str = "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6";
/// Path of the one priced route; it costs [`crate::real_chain::PRICE`].
pub(crate) const PRICED_PATH: &str = "/report";

/// A role that runs, with the folder that its configuration and ledger are in.
pub(crate) struct Role {
    name: &'static str,
    folder: TempDir,
    ops: String,
    /// What it listens on.
    pub(crate) url: String,
    /// Where its facilitator listens, for the roles that have one.
    pub(crate) facilitator: String,
    pub(crate) service: Service,
}

impl Role {
    fn start(name: &'static str, port: u16, ops_port: u16, config: &str) -> Self {
        let mut role = Self::begin(name, port, ops_port, config);
        role.ready();
        role
    }

    fn begin(name: &'static str, port: u16, ops_port: u16, config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("ledger.db");
        let lease = if config.contains("[lease]") {
            String::new()
        } else {
            format!("[lease]\nttl_ms = {LEASE_MS}\n")
        };
        let text = format!(
            "[ledger]\nurl = \"sqlite://{}\"\n[ops]\nlisten = \"127.0.0.1:{ops_port}\"\n\
             {lease}{config}",
            ledger.display()
        );
        std::fs::write(folder.path().join("faregate.toml"), text).unwrap();
        let service = Self::process(name, &folder);
        let ops = format!("http://127.0.0.1:{ops_port}");
        let url = format!("http://127.0.0.1:{port}");
        Self { name, folder, ops, url, facilitator: String::new(), service }
    }

    fn process(name: &str, folder: &TempDir) -> Service {
        let mut command: Command = service::faregate();
        command.args([name, "--config", "faregate.toml"]).current_dir(folder.path());
        command.env(SIGNER, SIGNER_KEY).env(OTHER_SIGNER, OTHER_SIGNER_KEY);
        Service::start(&format!("faregate {name}"), &mut command)
    }

    /// Waits until it says that it is ready.
    pub(crate) fn ready(&mut self) {
        let url = self.readiness_url();
        let is_ready = || http::try_request("GET", &url, &[], b"").is_ok_and(|a| a.status == 200);
        self.service.until("readiness", is_ready);
    }

    /// Where it says whether it is ready.
    pub(crate) fn readiness_url(&self) -> String {
        format!("{}/readyz", self.ops)
    }

    /// Asks its facilitator for a verdict or a settlement.
    pub(crate) fn ask(&self, operation: &str, body: &Value) -> Answer {
        http::post_json(&format!("{}/{operation}", self.facilitator), body)
    }

    /// Another command over its configuration, without the signers' keys.
    pub(crate) fn command(&self, arguments: &[&str]) -> Finished {
        let mut command = service::faregate();
        command.args(arguments).args(["--config", "faregate.toml"]);
        service::run(command.current_dir(self.folder.path()))
    }

    /// The files of its ledger, as a backup has them. The process must not run.
    pub(crate) fn copy_ledger(&self) -> Vec<(OsString, Vec<u8>)> {
        let files = self.ledger_files().into_iter();
        files
            .map(|file| (file.clone(), std::fs::read(self.folder.path().join(file)).unwrap()))
            .collect()
    }

    /// Bytes that its ledger takes.
    pub(crate) fn ledger_bytes(&self) -> u64 {
        let sizes = self.ledger_files().into_iter().map(|file| {
            // The log may go at any moment.
            self.folder.path().join(file).metadata().map_or(0, |file| file.len())
        });
        sizes.sum()
    }

    /// That copy in the place of the ledger. The process must not run.
    pub(crate) fn put_ledger_back(&self, copy: &[(OsString, Vec<u8>)]) {
        for file in self.ledger_files() {
            std::fs::remove_file(self.folder.path().join(file)).unwrap();
        }
        for (file, content) in copy {
            std::fs::write(self.folder.path().join(file), content).unwrap();
        }
    }

    /// The database with its log, without the lock and the key.
    fn ledger_files(&self) -> Vec<OsString> {
        let names = std::fs::read_dir(self.folder.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name());
        let is_database = |name: &OsString| {
            ["ledger.db", "ledger.db-wal", "ledger.db-shm"].iter().any(|known| name == known)
        };
        names.filter(is_database).collect()
    }

    /// Starts it again, over what the killed process left.
    pub(crate) fn start_again(&mut self) {
        self.service.kill();
        self.service = Self::process(self.name, &self.folder);
        self.ready();
    }

    /// URL of the priced route, for the roles that have a gate.
    pub(crate) fn priced_url(&self) -> String {
        format!("{}{PRICED_PATH}", self.url)
    }
}

/// Lines for the sections of a configuration, beyond what every role here has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extra {
    /// The variable that holds the signer's key; [`SIGNER`] if empty.
    pub(crate) signer: &'static str,
    /// Keys of `[[chain]]`.
    pub(crate) chain: String,
    /// Keys of `[facilitator]`.
    pub(crate) facilitator: String,
    /// Keys of `[gate]`.
    pub(crate) gate: String,
    /// Keys of the one priced route.
    pub(crate) route: String,
    /// Whole sections, further routes among them.
    pub(crate) sections: String,
}

fn chain_section(rpc: &str, extra: &Extra) -> String {
    let more = &extra.chain;
    let signer = if extra.signer.is_empty() { SIGNER } else { extra.signer };
    format!(
        "[[chain]]\nnetwork = \"{NETWORK}\"\nrpc = [\"{rpc}\"]\nsigners = [\"env:{signer}\"]\n{more}\n"
    )
}

fn facilitator_section(port: u16, extra: &Extra) -> String {
    format!("[facilitator]\nlisten = \"127.0.0.1:{port}\"\n{}\n", extra.facilitator)
}

fn gate_section(port: u16, upstream: &str, facilitator: &str, extra: &Extra) -> String {
    let (gate, route) = (&extra.gate, &extra.route);
    format!(
        r#"[gate]
listen = "127.0.0.1:{port}"
origin = "http://127.0.0.1:{port}"
upstream = "{upstream}"
unmatched = "deny"
facilitator = "{facilitator}"
{gate}
[[gate.route]]
name = "report"
match = "GET {PRICED_PATH}"
price = "$0.01"
network = "{NETWORK}"
pay_to = "{PAYEE}"
{route}
"#
    )
}

/// Gate and facilitator in one process.
pub(crate) fn serve(chain: &RealChain, upstream: &str) -> Role {
    serve_at(chain.rpc(), upstream, &Extra::default())
}

/// The same on any chain.
pub(crate) fn serve_at(rpc: &str, upstream: &str, extra: &Extra) -> Role {
    let port = ports::row(3);
    let config = format!(
        "{}{}{}{}",
        facilitator_section(port + 1, extra),
        chain_section(rpc, extra),
        gate_section(port, upstream, "local", extra),
        extra.sections,
    );
    let role = Role::start("serve", port, port + 2, &config);
    Role { facilitator: format!("http://127.0.0.1:{}", port + 1), ..role }
}

/// The facilitator alone.
pub(crate) fn facilitator(chain: &RealChain) -> Role {
    facilitator_at(chain.rpc(), &Extra::default())
}

/// The same on any chain.
pub(crate) fn facilitator_at(rpc: &str, extra: &Extra) -> Role {
    let port = ports::row(2);
    let config = facilitator_config(port, rpc, extra);
    let role = Role::start("facilitator", port, port + 1, &config);
    Role { facilitator: role.url.clone(), ..role }
}

fn facilitator_config(port: u16, rpc: &str, extra: &Extra) -> String {
    let (facilitator, chain) = (facilitator_section(port, extra), chain_section(rpc, extra));
    format!("{facilitator}{chain}{}", extra.sections)
}

/// A facilitator that is not waited for: it may never become ready, or end at once.
pub(crate) fn facilitator_unready(rpc: &str, extra: &Extra) -> Role {
    let port = ports::row(2);
    let config = facilitator_config(port, rpc, extra);
    let role = Role::begin("facilitator", port, port + 1, &config);
    Role { facilitator: role.url.clone(), ..role }
}

/// The gate alone, before a facilitator that somebody else runs.
pub(crate) fn gate(upstream: &str, facilitator: &str) -> Role {
    gate_at(upstream, facilitator, &Extra::default())
}

/// The same with more to say.
pub(crate) fn gate_at(upstream: &str, facilitator: &str, extra: &Extra) -> Role {
    let port = ports::row(2);
    let config = gate_section(port, upstream, facilitator, extra);
    Role::start("gate", port, port + 1, &format!("{config}{}", extra.sections))
}
