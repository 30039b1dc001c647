//! `faregate serve`, `gate` and `facilitator`, each from a configuration file in a folder of its
//! own, as an operator runs them.

use std::process::Command;

use tempfile::TempDir;

use crate::real_chain::{NETWORK, PAYEE, RealChain, SIGNER_KEY};
use crate::service::{self, Service};
use crate::{http, ports};

/// Short, so that a claim whose holder was killed is free again soon.
const LEASE_MS: u64 = 500;
/// Path of the one priced route; it costs [`crate::real_chain::PRICE`].
pub(crate) const PRICED_PATH: &str = "/report";

/// A role that runs, with the folder that its configuration and ledger are in.
pub(crate) struct Role {
    name: &'static str,
    folder: TempDir,
    ops: String,
    /// What it listens on.
    pub(crate) url: String,
    pub(crate) service: Service,
}

impl Role {
    fn start(name: &'static str, port: u16, ops_port: u16, config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("ledger.db");
        let text = format!(
            "[ledger]\nurl = \"sqlite://{}\"\n[ops]\nlisten = \"127.0.0.1:{ops_port}\"\n\
             [lease]\nttl_ms = {LEASE_MS}\n{config}",
            ledger.display()
        );
        std::fs::write(folder.path().join("faregate.toml"), text).unwrap();
        let service = Self::process(name, &folder);
        let ops = format!("http://127.0.0.1:{ops_port}");
        let url = format!("http://127.0.0.1:{port}");
        let mut role = Self { name, folder, ops, url, service };
        role.ready();
        role
    }

    fn process(name: &str, folder: &TempDir) -> Service {
        let mut command: Command = service::faregate();
        command.args([name, "--config", "faregate.toml"]).current_dir(folder.path());
        Service::start(&format!("faregate {name}"), command.env("SIGNER_KEY", SIGNER_KEY))
    }

    fn ready(&mut self) {
        let url = format!("{}/readyz", self.ops);
        let is_ready = || http::try_request("GET", &url, &[], b"").is_ok_and(|a| a.status == 200);
        self.service.until("readiness", is_ready);
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

fn chain_section(chain: &RealChain) -> String {
    format!(
        "[[chain]]\nnetwork = \"{NETWORK}\"\nrpc = [\"{}\"]\nsigners = [\"env:SIGNER_KEY\"]\n",
        chain.rpc()
    )
}

fn gate_section(port: u16, upstream: &str, facilitator: &str) -> String {
    format!(
        r#"[gate]
listen = "127.0.0.1:{port}"
origin = "http://127.0.0.1:{port}"
upstream = "{upstream}"
unmatched = "deny"
facilitator = "{facilitator}"
[[gate.route]]
name = "report"
match = "GET {PRICED_PATH}"
price = "$0.01"
network = "{NETWORK}"
pay_to = "{PAYEE}"
"#
    )
}

/// Gate and facilitator in one process.
pub(crate) fn serve(chain: &RealChain, upstream: &str) -> Role {
    let port = ports::row(3);
    let config = format!(
        "[facilitator]\nlisten = \"127.0.0.1:{}\"\n{}{}",
        port + 1,
        chain_section(chain),
        gate_section(port, upstream, "local")
    );
    Role::start("serve", port, port + 2, &config)
}

/// The facilitator alone.
pub(crate) fn facilitator(chain: &RealChain) -> Role {
    let port = ports::row(2);
    let config = format!("[facilitator]\nlisten = \"127.0.0.1:{port}\"\n{}", chain_section(chain));
    Role::start("facilitator", port, port + 1, &config)
}

/// The gate alone, before a facilitator that somebody else runs.
pub(crate) fn gate(upstream: &str, facilitator: &str) -> Role {
    let port = ports::row(2);
    Role::start("gate", port, port + 1, &gate_section(port, upstream, facilitator))
}
