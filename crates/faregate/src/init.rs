//! `faregate init`: a small configuration that works, to start from.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

/// What `faregate init` takes.
#[derive(Args)]
pub(crate) struct InitArgs {
    /// The file to write; an existing one is never touched.
    #[arg(default_value = "faregate.toml", value_name = "FILE")]
    file: PathBuf,
    /// Who is paid.
    #[arg(long, value_name = "ADDRESS")]
    pay_to: String,
    /// The application behind the gate.
    #[arg(long, default_value = "http://127.0.0.1:3000", value_name = "URL")]
    upstream: String,
}

pub(crate) fn run(args: &InitArgs) -> anyhow::Result<ExitCode> {
    let text = content(args)?;
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).open(&args.file).map_err(
            |error| match error.kind() {
                std::io::ErrorKind::AlreadyExists => {
                    anyhow::anyhow!("{} exists and is never overwritten", args.file.display())
                }
                _ => anyhow::anyhow!("{} is not written: {error}", args.file.display()),
            },
        )?;
    file.write_all(text.as_bytes())?;
    println!("wrote {}", args.file.display());
    println!("next: export EVM_PRIVATE_KEY=... (the account that pays for gas)");
    println!("      faregate config check --config {}", args.file.display());
    println!("      faregate serve --config {}", args.file.display());
    Ok(ExitCode::SUCCESS)
}

fn content(args: &InitArgs) -> anyhow::Result<String> {
    let pay_to = faregate_protocol::address::parse_checked_address(&args.pay_to)
        .context("--pay-to")?
        .to_checksum(None);
    let upstream: url::Url = args.upstream.parse().context("--upstream")?;
    let upstream = upstream.as_str().trim_end_matches('/');
    Ok(format!(
        r#"[[chain]]
network = "eip155:84532"                 # Base Sepolia
rpc     = ["http://127.0.0.1:8545"]      # your endpoints, the preferred one first
signers = ["env:EVM_PRIVATE_KEY"]        # pays for gas; by reference, never the key itself

[gate]
origin    = "http://127.0.0.1:4020"      # what buyers see
upstream  = "{upstream}"
unmatched = "deny"                       # or "free": everything without a price goes through

[[gate.route]]
name   = "weather"
match  = "GET /weather"
price  = "$0.01"
pay_to = "{pay_to}"
"#
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_writes_is_a_good_configuration() {
        let args = InitArgs {
            file: "unused".into(),
            pay_to: "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC".into(),
            upstream: "http://127.0.0.1:3000".into(),
        };
        let settings = crate::config::read(&content(&args).unwrap(), []).unwrap();
        assert_eq!(settings.gate.unwrap().routes.len(), 1);
    }

    #[test]
    fn a_payee_with_a_typing_error_is_refused() {
        let args = InitArgs {
            file: "unused".into(),
            pay_to: "0x742d35Cc6634C0532925a3b844Bc9e7595f0bEb".into(),
            upstream: "http://127.0.0.1:3000".into(),
        };
        assert!(format!("{:#}", content(&args).unwrap_err()).contains("39 of 40"));
    }
}
