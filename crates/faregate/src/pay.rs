//! `faregate pay URL`: the answer's body on stdout, what was paid on stderr.

use std::io::{Read as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use faregate_buyer::{
    Buyer, BuyerConfig, BuyerError, BuyerRequest, MaxPrice, Outcome, Quote, Quoted,
};
use faregate_devnet::accounts;
use faregate_evm::Wallet;
use faregate_protocol::Network;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use url::Url;

use crate::config::{SecretRef, SecretRefError};
use crate::dev_file::{self, DevWorld};

/// Largest request body that is read from a file or stdin, in bytes.
const MAX_BODY_BYTES: u64 = 64 * 1024 * 1024;
/// Exit code when the outcome of a payment is not known: run the same command again.
const UNRESOLVED: u8 = 3;
/// Exit code when the last answer is an error of the seller's.
const REFUSED: u8 = 4;
/// Where the buyer's key is looked for if `--key` is not given.
const KEY_VARIABLE: &str = "FAREGATE_BUYER_KEY";

/// What `faregate pay` takes.
#[derive(Args)]
pub(crate) struct PayArgs {
    /// What to request.
    url: String,
    /// HTTP method; GET, or POST with --data.
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    method: Option<String>,
    /// A header, as "Name: value"; may be given several times.
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    headers: Vec<String>,
    /// Request body; @FILE reads a file, @- reads stdin.
    #[arg(short = 'd', long, value_name = "BODY")]
    data: Option<String>,
    /// Highest price to pay, such as $0.10 or "1.50 USDT"; digits alone are atomic units.
    #[arg(long, default_value = "$0.10", value_name = "PRICE")]
    max: MaxPrice,
    /// Say what would be paid, sign and send nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object on stdout instead of the body.
    #[arg(long)]
    json: bool,
    /// The paying key, by reference: env:NAME or file:PATH. Default: $FAREGATE_BUYER_KEY, or the
    /// dev buyer when the URL is the gate of a running `faregate dev`.
    #[arg(long, value_name = "REF")]
    key: Option<String>,
    /// A main net that may be paid on, such as eip155:8453; test networks always may.
    #[arg(long = "network", value_name = "CAIP2")]
    networks: Vec<Network>,
    /// How long to pursue an outcome that is not known yet, in seconds.
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    wait: u64,
}

pub(crate) async fn run(args: PayArgs) -> anyhow::Result<ExitCode> {
    let request = request(&args)?;
    let wallet = wallet(&args)?;
    let state = dev_file::state_dir()?.join("payments");
    let mut config = BuyerConfig::new(Arc::new(wallet), state, args.max.clone());
    config.networks.clone_from(&args.networks);
    config.limits.wait = Duration::from_secs(args.wait);
    let buyer = Buyer::new(config)?;
    if args.dry_run {
        return dry_run(&buyer, &request, args.json).await;
    }
    let outcome = match buyer.pay(&request).await {
        Ok(outcome) => outcome,
        Err(error) => return Ok(no_outcome(&error, args.json)),
    };
    if args.json {
        println!("{}", serde_json::to_string(&outcome)?);
    } else {
        show(&outcome)?;
    }
    const FIRST_ERROR: u16 = 400;
    Ok(if outcome.status < FIRST_ERROR { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) })
}

/// Says why there is no answer, and by the exit code whether money may have moved.
fn no_outcome(error: &BuyerError, json: bool) -> ExitCode {
    let unresolved = matches!(error, BuyerError::Unresolved { .. });
    if json {
        println!("{}", serde_json::json!({ "error": error.to_string(), "unresolved": unresolved }));
    }
    eprintln!("faregate: {error}");
    if unresolved { ExitCode::from(UNRESOLVED) } else { ExitCode::FAILURE }
}

fn request(args: &PayArgs) -> anyhow::Result<BuyerRequest> {
    let body = match &args.data {
        None => Vec::new(),
        Some(data) => match data.strip_prefix('@') {
            None => data.clone().into_bytes(),
            Some("-") => read_all(std::io::stdin().lock(), "stdin")?,
            Some(path) => {
                let file = std::fs::File::open(path).with_context(|| path.to_owned())?;
                read_all(file, path)?
            }
        },
    };
    let method = match &args.method {
        Some(method) => Method::from_bytes(method.as_bytes())
            .with_context(|| format!("{method} is no HTTP method"))?,
        None if args.data.is_some() => Method::POST,
        None => Method::GET,
    };
    let mut headers = HeaderMap::new();
    for line in &args.headers {
        let (name, value) =
            line.split_once(':').with_context(|| format!("a header is \"Name: value\": {line}"))?;
        let name: HeaderName =
            name.trim().parse().with_context(|| format!("{} is no header name", name.trim()))?;
        let value = HeaderValue::from_str(value.trim())
            .with_context(|| format!("the value of {name} holds characters no header may"))?;
        headers.append(name, value);
    }
    Ok(BuyerRequest::new(method, &args.url, headers, body)?)
}

fn read_all(source: impl std::io::Read, name: &str) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    source
        .take(MAX_BODY_BYTES.saturating_add(1))
        .read_to_end(&mut body)
        .with_context(|| name.to_owned())?;
    if body.len() as u64 > MAX_BODY_BYTES {
        bail!("{name} is larger than {MAX_BODY_BYTES} bytes");
    }
    Ok(body)
}

fn wallet(args: &PayArgs) -> anyhow::Result<Wallet> {
    // Not parsed by the command line's own parser, which repeats what it refuses.
    let reference: Option<SecretRef> = match &args.key {
        Some(text) => Some(text.parse().map_err(|error: SecretRefError| {
            anyhow::anyhow!("--key: {error}; write env:NAME or file:PATH")
        })?),
        None => std::env::var_os(KEY_VARIABLE).map(|_| SecretRef::Env(KEY_VARIABLE.to_owned())),
    };
    if let Some(reference) = reference {
        let secret = reference.resolve().map_err(anyhow::Error::msg)?;
        return Wallet::from_hex(secret.expose())
            .with_context(|| format!("{reference} holds no private key"));
    }
    match dev_file::read() {
        Some(world) if is_gate_of(&args.url, &world) => {
            Ok(Wallet::from_hex(&world.buyer.private_key)?)
        }
        // Nothing is signed, so any key will do.
        _ if args.dry_run => Ok(Wallet::from_hex(&accounts::BUYER.private_key.to_string())?),
        _ => bail!(
            "no key to pay with: set {KEY_VARIABLE} or give --key env:NAME or --key file:PATH \
             (the dev buyer pays only at the gate of a running `faregate dev`)"
        ),
    }
}

/// The published key pays on this machine only: chain id 84532 is a public test network too.
fn is_gate_of(target: &str, world: &DevWorld) -> bool {
    let (Ok(target), Ok(gate)) = (Url::parse(target), Url::parse(&world.gate)) else {
        return false;
    };
    let here = |url: &Url| matches!(url.host_str(), Some("127.0.0.1" | "localhost"));
    here(&target)
        && here(&gate)
        && target.scheme() == gate.scheme()
        && target.port_or_known_default() == gate.port_or_known_default()
}

async fn dry_run(buyer: &Buyer, request: &BuyerRequest, json: bool) -> anyhow::Result<ExitCode> {
    let quoted = match buyer.quote(request).await {
        Ok(quoted) => quoted,
        Err(error) => return Ok(no_outcome(&error, json)),
    };
    match quoted {
        Quoted::Free(outcome) if json => println!("{}", serde_json::to_string(&outcome)?),
        Quoted::Free(outcome) => println!("HTTP {}: nothing to pay", outcome.status),
        Quoted::Priced(quote) if json => println!("{}", quote_json(&quote)),
        Quoted::Priced(quote) => {
            println!("would pay  {}", quote.price);
            println!("to         {}", quote.pay_to);
            println!("network    {}", quote.network);
            println!("asset      {}", quote.asset);
            if quote.unresolved {
                println!(
                    "note       an earlier payment for this request is unresolved; it would be sent again first"
                );
            }
            println!("nothing was signed");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn quote_json(quote: &Quote) -> serde_json::Value {
    serde_json::json!({
        "price": quote.price, "amount": quote.amount, "pay_to": quote.pay_to,
        "network": quote.network, "asset": quote.asset, "unresolved": quote.unresolved,
        "signed": false,
    })
}

fn show(outcome: &Outcome) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(&outcome.body)?;
    if !outcome.body.is_empty() && !outcome.body.ends_with(b"\n") {
        out.write_all(b"\n")?;
    }
    out.flush()?;
    let Some(payment) = &outcome.payment else {
        eprintln!("HTTP {}, nothing paid", outcome.status);
        return Ok(());
    };
    eprintln!("HTTP {}", outcome.status);
    eprintln!("price        {}", payment.price);
    eprintln!("payee        {}", payment.pay_to);
    eprintln!("network      {}", payment.network);
    eprintln!("transaction  {}", payment.transaction.as_deref().unwrap_or("none"));
    eprintln!("time         {} ms", outcome.elapsed_ms);
    let reason = outcome.reason.as_deref().map(|code| format!(": {code}")).unwrap_or_default();
    eprintln!("paid         {}{reason}", if outcome.paid { "yes" } else { "no" });
    if outcome.resumed {
        eprintln!("note         this payment was signed by an earlier run; nothing new was signed");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev_file::DevBuyer;

    fn world(gate: &str) -> DevWorld {
        DevWorld {
            rpc: String::new(),
            chain_id: 84532,
            token: String::new(),
            facilitator: String::new(),
            gate: gate.to_owned(),
            paid_url: String::new(),
            free_url: String::new(),
            ops: String::new(),
            pay_to: String::new(),
            buyer: DevBuyer { address: String::new(), private_key: String::new() },
        }
    }

    #[test]
    fn the_dev_buyer_pays_at_its_own_gate_only() {
        let here = world("http://127.0.0.1:4020");
        for url in ["http://127.0.0.1:4020/weather?x=1", "http://localhost:4020/"] {
            assert!(is_gate_of(url, &here), "{url}");
        }
        for url in [
            "http://127.0.0.1:4021/weather",
            "https://127.0.0.1:4020/weather",
            "http://api.example.com:4020/weather",
            "http://127.0.0.1:4020@evil.example/weather",
            "not a url",
        ] {
            assert!(!is_gate_of(url, &here), "{url}");
        }
        assert!(!is_gate_of("http://api.example.com/", &world("http://api.example.com/")));
    }
}
