//! What an endpoint of a chain answers, seen through the whole adapter: an endpoint in this process
//! answers the calls with the lines of the input, in turn.
//!
//! A line is the `result` of one call, as JSON; behind a `!` it is the `error`. An input that
//! begins with `#` is the whole body. The chain id alone is always right.
#![no_main]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use faregate_chain::{Chain as _, Watch};
use faregate_evm::{EvmChain, EvmConfig, Wallet, sign_authorization};
use faregate_protocol::{Network, PaymentPayload, PaymentRequest, PaymentRequirements};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

const CHAIN_ID: u64 = 84_532;
/// A key that is published everywhere.
const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const NOW: u64 = 1_770_000_000;
const LARGEST_BODY: u64 = 1 << 20;

/// What is answered, and how many lines of it were.
static SCRIPT: Mutex<(Vec<u8>, usize)> = Mutex::new((Vec::new(), 0));

struct World {
    runtime: Runtime,
    chain: EvmChain,
    payment: PaymentRequest,
    transaction: String,
    signer: String,
}

static WORLD: LazyLock<World> = LazyLock::new(world);

fn world() -> World {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || endpoint(&stream));
        }
    });
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let wallet = Wallet::from_hex(KEY).expect("a key");
    let signer = wallet.address().to_checksum(None);
    let payment = payment(&wallet);
    let network = Network::eip155(CHAIN_ID);
    let config = EvmConfig::new(network, vec![url], vec![Arc::new(wallet)]);
    let chain = runtime.block_on(EvmChain::connect(config)).expect("a chain that answers nothing");
    World { runtime, chain, payment, transaction: format!("0x{}", "11".repeat(32)), signer }
}

fn payment(wallet: &Wallet) -> PaymentRequest {
    let requirements: PaymentRequirements = serde_json::from_value(json!({
        "scheme": "exact", "network": format!("eip155:{CHAIN_ID}"), "amount": "10000",
        "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
        "payTo": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
        "maxTimeoutSeconds": 60, "extra": {"name": "USDC", "version": "2"},
    }))
    .expect("requirements");
    let nonce = [0x11; 32].into();
    let signed =
        sign_authorization(wallet, &requirements, 0, NOW + 60, nonce).expect("a signature");
    let Ok(Value::Object(accepted)) = serde_json::to_value(&requirements) else { unreachable!() };
    let payload = PaymentPayload {
        x402_version: 2,
        payload: signed.to_members(),
        extensions: None,
        resource: None,
        accepted,
    };
    PaymentRequest::new(payload, requirements)
}

/// Answers requests until the connection ends.
fn endpoint(mut stream: &TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = Vec::new();
        (&mut reader).take(u64::min(length, LARGEST_BODY)).read_to_end(&mut body).ok()?;
        let answer = answer(&body)?;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", answer.len());
        stream.write_all(&[head.as_bytes(), &answer].concat()).ok()?;
    }
}

fn answer(request: &[u8]) -> Option<Vec<u8>> {
    let mut script = SCRIPT.lock().unwrap_or_else(PoisonError::into_inner);
    let request: Value = serde_json::from_slice(request).ok()?;
    if let Some(body) = script.0.strip_prefix(b"#") {
        return Some(body.to_vec());
    }
    match request {
        Value::Array(calls) => {
            let members: Vec<_> = calls.iter().map(|call| member(call, &mut script)).collect();
            Some([&b"["[..], &members.join(&b','), b"]"].concat())
        }
        call => Some(member(&call, &mut script)),
    }
}

fn member(call: &Value, (text, used): &mut (Vec<u8>, usize)) -> Vec<u8> {
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    let own_chain_id = format!("\"{CHAIN_ID:#x}\"").into_bytes();
    let line = if call["method"] == "eth_chainId" {
        &own_chain_id
    } else {
        *used += 1;
        lines[(*used - 1) % lines.len()]
    };
    let (key, value) = match line.strip_prefix(b"!") {
        Some(error) => ("error", error),
        None => ("result", line),
    };
    let head = format!("{{\"jsonrpc\":\"2.0\",\"id\":{},\"{key}\":", call["id"]);
    [head.as_bytes(), value, b"}"].concat()
}

fuzz_target!(|data: &[u8]| {
    let world = &*WORLD;
    *SCRIPT.lock().unwrap_or_else(PoisonError::into_inner) = (data.to_vec(), 0);
    world.runtime.block_on(async {
        let _ = world.chain.ready().await;
        let _ = world.chain.inspect(&world.payment, NOW).await;
        let _ = world.chain.lane_state(&world.signer).await;
        let _ = world.chain.broadcast(&[0x02]).await;
        let transactions = std::slice::from_ref(&world.transaction);
        let watch = Watch { request: &world.payment, transactions, head_at_claim: 1 };
        let _ = world.chain.observe(watch).await;
    });
});
