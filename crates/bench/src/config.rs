//! The configuration of this very program when it is what is measured: what an operator would
//! write, and nothing that helps in a measurement only.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::arguments::Plan;
use crate::error::BenchError;
use crate::limits::PAYMENT_LIFE_SECS;
use crate::ports;
use crate::world::Facts;

/// Paths of the two routes of a gate.
pub(crate) const PAID: &str = "/paid";
pub(crate) const FREE: &str = "/free";

/// A configuration that was written.
pub(crate) struct Written {
    pub(crate) file: PathBuf,
    /// The role that is measured.
    pub(crate) role: &'static str,
    /// Where requests of the measurement go.
    pub(crate) url: String,
    /// Where it says whether it is ready.
    pub(crate) ops: SocketAddr,
}

/// Writes configuration and keys into `folder`.
pub(crate) fn write(plan: &Plan, facts: &Facts, folder: &Path) -> Result<Written, BenchError> {
    let (facilitator, gate, ops) = (ports::free()?, ports::free()?, ports::free()?);
    let keys = facts.signer_keys.iter().enumerate().map(|(index, key)| {
        let name = format!("signer-{index}.key");
        secret(folder, &name, key).map(|path| format!("\"file:{}\"", path.display()))
    });
    let keys = keys.collect::<Result<Vec<_>, _>>()?.join(", ");
    let Facts { rpc, network, pay_to, upstream, .. } = facts;
    let mut text = format!(
        r#"[log]
filter = "error"
[ledger]
{}
[ops]
listen = "{ops}"
[facilitator]
listen = "{facilitator}"
[[chain]]
network = "{network}"
rpc = ["{rpc}"]
signers = [{keys}]
batch = "{}"
"#,
        ledger(plan, folder)?,
        plan.run.batch
    );
    if plan.work.is_for_a_gate() {
        let settle = &plan.settle;
        text.push_str(&format!(
            r#"[gate]
listen = "{gate}"
origin = "http://{gate}"
upstream = "{upstream}"
unmatched = "deny"
facilitator = "local"
[[gate.route]]
name = "paid"
match = "GET {PAID}"
price = "$0.01"
pay_to = "{pay_to}"
settle = "{settle}"
max_timeout_seconds = {PAYMENT_LIFE_SECS}
[[gate.route]]
name = "free"
match = "GET {FREE}"
free = true
"#
        ));
    }
    if plan.is_on_credit() {
        // Enough for any run: what is measured is the way, not the fallback.
        text.push_str("[gate.deferred]\nmax_per_payer = \"$1000000\"\nmax_total = \"$1000000\"\n");
    }
    let file = folder.join("faregate.toml");
    std::fs::write(&file, text).map_err(BenchError::io("the configuration"))?;
    let (role, url) = match plan.work {
        work if !work.is_for_a_gate() => ("facilitator", format!("http://{facilitator}")),
        crate::requests::Work::Free => ("serve", format!("http://{gate}{FREE}")),
        _ => ("serve", format!("http://{gate}{PAID}")),
    };
    Ok(Written { file, role, url, ops })
}

fn ledger(plan: &Plan, folder: &Path) -> Result<String, BenchError> {
    let Some(url) = &plan.run.postgres else {
        return Ok(format!("url = \"sqlite://{}\"", folder.join("ledger.db").display()));
    };
    // It may hold a password, which a configuration does not.
    let url = secret(folder, "postgres.url", url)?;
    const SEALING_KEY: &str = "b3";
    const KEY_BYTES: usize = 32;
    let seal = secret(folder, "seal.key", &SEALING_KEY.repeat(KEY_BYTES))?;
    Ok(format!("url = \"file:{}\"\nsealing_key = \"file:{}\"", url.display(), seal.display()))
}

fn secret(folder: &Path, name: &str, content: &str) -> Result<PathBuf, BenchError> {
    let path = folder.join(name);
    std::fs::write(&path, content).map_err(BenchError::io(name))?;
    Ok(path)
}
