//! `faregate dev`, with a state directory of its own.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::chain_reader::ChainReader;
use crate::service::{self, Finished, Service};
use crate::{http, ports};

pub(crate) struct DevWorld {
    pub(crate) service: Service,
    /// The JSON that it printed.
    pub(crate) said: Value,
    /// From the start of the process to the JSON.
    pub(crate) ready_after: Duration,
    pub(crate) base: u16,
    state: TempDir,
}

impl DevWorld {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        let state = tempfile::tempdir().unwrap();
        let base = ports::row(5);
        let mut command = service::faregate();
        command.args(["dev", "--json", "--port-base", &base.to_string()]).args(arguments);
        // A world that is killed leaves its ledger behind: here it goes with its state.
        command.env("XDG_STATE_HOME", state.path()).env("TMPDIR", state.path());
        let started = Instant::now();
        let mut service = Service::start("faregate dev", &mut command);
        let said = serde_json::from_str(&service.line()).unwrap();
        Self { ready_after: started.elapsed(), service, said, base, state }
    }

    /// A text member of the JSON.
    pub(crate) fn text(&self, member: &str) -> &str {
        self.said[member].as_str().unwrap_or_else(|| panic!("no {member} in {}", self.said))
    }

    pub(crate) fn paid_url(&self) -> &str {
        self.text("paidUrl")
    }

    /// The other priced route of the demo API.
    pub(crate) fn other_paid_url(&self) -> String {
        format!("{}/forecast", self.text("gate"))
    }

    pub(crate) fn buyer_key(&self) -> &str {
        self.said["buyer"]["privateKey"].as_str().unwrap()
    }

    pub(crate) fn buyer(&self) -> &str {
        self.said["buyer"]["address"].as_str().unwrap()
    }

    pub(crate) fn chain(&self) -> ChainReader {
        ChainReader::new(self.text("rpc"), self.text("token"))
    }

    /// How often the priced handlers of the demo API ran, asked behind the gate.
    pub(crate) fn served(&self) -> u64 {
        let answer = http::get(&format!("http://127.0.0.1:{}/served", self.base + 3));
        answer.json()["served"].as_u64().unwrap()
    }

    pub(crate) fn state_folder(&self) -> std::path::PathBuf {
        self.state.path().join("faregate")
    }

    /// `faregate pay`, with the state of this world.
    pub(crate) fn pay(&self, arguments: &[&str]) -> Finished {
        service::run(self.with_state(service::faregate().arg("pay").args(arguments)))
    }

    /// `faregate settlements`, of this world.
    pub(crate) fn settlements(&self, arguments: &[&str]) -> Finished {
        let mut command = service::faregate();
        // Where there is no configuration.
        command.arg("settlements").args(arguments).current_dir(self.state.path());
        service::run(self.with_state(&mut command))
    }

    fn with_state<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("XDG_STATE_HOME", self.state.path())
    }
}
