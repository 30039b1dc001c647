//! A node script that serves.

use crate::real_chain::SIGNER_KEY;
use crate::service::{self, Service};
use crate::{http, ports};

pub(crate) struct NodeServer {
    _service: Service,
    pub(crate) url: String,
}

impl NodeServer {
    /// Starts `script PORT ARGUMENTS...` and waits until it says that it is ready.
    pub(crate) fn start(script: &str, arguments: &[&str]) -> Self {
        let port = ports::one();
        let mut command = service::node_script(script);
        command.arg(port.to_string()).args(arguments);
        command.env("SIGNER_KEY", SIGNER_KEY).env("NEXT_TELEMETRY_DISABLED", "1");
        let mut service = Service::start(script, &mut command);
        assert_eq!(service.line(), "ready");
        Self { _service: service, url: format!("http://127.0.0.1:{port}") }
    }

    /// How often its priced page ran.
    pub(crate) fn served(&self) -> u64 {
        http::get(&format!("{}/served", self.url)).json()["served"].as_u64().unwrap()
    }
}
