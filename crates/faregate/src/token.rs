//! `faregate token`: a bearer token for one caller of the facilitator, and what the configuration
//! keeps of it.

use std::process::ExitCode;

use faregate_ledger::sealing;
use sha2::{Digest, Sha256};

/// Prints a token of 256 random bits and its hash. The token is shown this once.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let token = sealing::new_key()?;
    let hash = faregate_protocol::PaymentKey(Sha256::digest(token.as_bytes()).into());
    println!("token         {}", *token);
    println!("token_sha256  {hash}");
    eprintln!("Give the token to the caller; put the hash into a [[facilitator.caller]] section.");
    Ok(ExitCode::SUCCESS)
}
