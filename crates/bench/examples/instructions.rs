//! Runs one of the functions that every payment goes through, for `scripts/count-instructions`,
//! which counts its instructions under valgrind. Every input is fixed, so a count repeats.
//!
//! ```sh
//! instructions            # the names
//! instructions NAME       # runs it RUNS times inside a function called `counted`
//! ```

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;

use alloy_primitives::{Address, B256};
use anyhow::{Context as _, anyhow, bail};
use faregate_chain::Chain as _;
use faregate_evm::mechanisms::eip3009;
use faregate_evm::{EvmChain, EvmConfig, Wallet, sign_authorization, signature};
use faregate_gate::{FIRST_ERROR, Origin, Route};
use faregate_ledger::{ClaimStore as _, Claimed, MemoryLedger, NewClaim};
use faregate_protocol::{
    Network, PaymentKey, PaymentPayload, PaymentRequest, PaymentRequirements, X402_VERSION, header,
};
use futures::FutureExt as _;
use serde_json::json;
use uuid::Uuid;

/// How often a function runs, so that what happens once weighs little.
const RUNS: u64 = 20;
/// The well-known first account of development chains.
const PAYER: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const PAY_TO: &str = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";
const NAME: &str = "USDC";
const VERSION: &str = "2";
const VALID_BEFORE: u64 = 1_900_000_000;
const NOW_MS: u64 = 1_800_000_000_000;
const LEASE_MS: u64 = 30_000;

const NAMES: [&str; 6] =
    ["header_decode", "payment_key", "static_checks", "signature", "challenge", "claim"];

/// One fixed payment, as each station of its way sees it.
struct Fixture {
    requirements: PaymentRequirements,
    header: Vec<u8>,
    request: PaymentRequest,
    digest: B256,
    signature: Vec<u8>,
}

fn main() -> ExitCode {
    match std::env::args().nth(1) {
        None => {
            for name in NAMES {
                println!("{name}");
            }
            ExitCode::SUCCESS
        }
        Some(name) => match run(&name) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{name}: {error:#}");
                ExitCode::FAILURE
            }
        },
    }
}

impl Fixture {
    fn new() -> anyhow::Result<Self> {
        let requirements: PaymentRequirements = serde_json::from_value(json!({
            "scheme": "exact", "network": "eip155:84532", "amount": "10000",
            "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
            "payTo": PAY_TO, "maxTimeoutSeconds": 300,
            "extra": {"name": NAME, "version": VERSION},
        }))?;
        let nonce = B256::repeat_byte(0x5a);
        let wallet = Wallet::from_hex(PAYER)?;
        let signed = sign_authorization(&wallet, &requirements, 0, VALID_BEFORE, nonce)?;
        let chain_id = requirements.network.evm_chain_id().context("no EVM network")?;
        let asset: Address = requirements.asset.parse()?;
        let domain = eip3009::domain(NAME, VERSION, chain_id, asset);
        let accepted = serde_json::to_value(&requirements)?;
        let payload = PaymentPayload {
            x402_version: X402_VERSION,
            payload: signed.to_members(),
            extensions: None,
            resource: None,
            accepted: accepted.as_object().cloned().unwrap_or_default(),
        };
        Ok(Self {
            digest: eip3009::digest(&signed.authorization, &domain),
            signature: signed.signature,
            header: header::encode(&payload)?.into_bytes(),
            request: PaymentRequest {
                x402_version: X402_VERSION,
                payment_payload: payload,
                payment_requirements: requirements.clone(),
            },
            requirements,
        })
    }

    fn claim(&self, n: u64) -> NewClaim {
        NewClaim {
            key: PaymentKey(B256::from(alloy_primitives::U256::from(n)).0),
            settle_id: Uuid::from_u128(n.into()),
            facilitator: "here".to_owned(),
            request_fp: [1; 32],
            requirements_hash: [2; 32],
            payload_hash: [3; 32],
            route: "weather".to_owned(),
            network: self.requirements.network.to_string(),
            payer: PAY_TO.to_owned(),
            pay_to: PAY_TO.to_owned(),
            asset: self.requirements.asset.clone(),
            amount: self.requirements.amount,
            valid_before: VALID_BEFORE,
        }
    }
}

/// What stands in here is counted, by its name.
#[inline(never)]
fn counted<T>(work: impl FnOnce() -> T) -> T {
    black_box(black_box(work)())
}

fn run(name: &str) -> anyhow::Result<()> {
    let fixture = Fixture::new()?;
    match name {
        "header_decode" => repeat(|_| Ok(header::decode::<PaymentPayload>(&fixture.header)?)),
        "payment_key" => repeat(|_| {
            let PaymentRequest { payment_payload, payment_requirements, .. } = &fixture.request;
            let key = PaymentKey::of(payment_payload, payment_requirements);
            let (key, _) = key.map_err(|reason| anyhow!(reason.code()))?;
            Ok((key, payment_requirements.hash()?, payment_payload.signed_hash()?))
        }),
        "static_checks" => {
            let chain = chain(&fixture.requirements.network)?;
            repeat(|_| chain.read(&fixture.request).map_err(|reason| anyhow!(reason.code())))
        }
        "signature" => repeat(|_| {
            let payer = signature::recover(fixture.digest, &fixture.signature);
            payer.context("it belongs to nobody")
        }),
        "challenge" => {
            let route = Route::priced("weather", "GET /weather", vec![fixture.requirements]);
            let origin: Origin = "https://api.example.com".parse()?;
            let uri = "/weather?city=Berlin".parse()?;
            repeat(|_| {
                let challenge = faregate_gate::challenge(&origin, &route, &uri, FIRST_ERROR);
                Ok(header::encode(&challenge)?)
            })
        }
        "claim" => {
            let ledger = MemoryLedger::new(Arc::new(|| NOW_MS), Uuid::nil());
            let claims: Vec<_> = (0..=RUNS).map(|n| fixture.claim(n)).collect();
            repeat(|n| {
                let new = claims.get(n).context("no claim")?;
                let claimed = ledger.claim(new, LEASE_MS).now_or_never();
                match claimed.context("memory does not wait")?? {
                    Claimed::Won(hold) => Ok(hold),
                    Claimed::Exists(_) => bail!("claimed twice"),
                }
            })
        }
        _ => bail!("there is no such function"),
    }
}

/// Once before, for what is made at the first use.
fn repeat<T>(work: impl Fn(usize) -> anyhow::Result<T>) -> anyhow::Result<()> {
    work(0)?;
    for n in 1..=usize::try_from(RUNS)? {
        counted(|| work(n))?;
    }
    Ok(())
}

/// A chain whose endpoint is nowhere: what is counted asks it nothing.
fn chain(network: &Network) -> anyhow::Result<EvmChain> {
    let config = EvmConfig::new(network.clone(), vec!["http://127.0.0.1:9".to_owned()], Vec::new());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(EvmChain::connect(config))?)
}
