//! A real node with the real token: anvil, and Circle's FiatTokenV2_2 at the address that USDC has
//! on Base Sepolia.

use serde_json::{Value, json};

use crate::chain_reader::ChainReader;
use crate::service::{self, Service};
use crate::{http, ports};

pub(crate) const CHAIN_ID: u64 = 84_532;
pub(crate) const NETWORK: &str = "eip155:84532";

/// Accounts of anvil. Their keys are published all over the world.
pub(crate) const SIGNER: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
pub(crate) const SIGNER_KEY: &str =
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
pub(crate) const BUYER: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
pub(crate) const BUYER_KEY: &str =
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
/// An account that nobody signs for.
pub(crate) const PAYEE: &str = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";
/// Where contracts expect Multicall3.
pub(crate) const MULTICALL3: &str = "0xcA11bde05977b3631167028862bE2a173976CA11";
/// $0.01 in atomic units of USDC.
pub(crate) const PRICE: u128 = 10_000;

pub(crate) struct RealChain {
    _anvil: Service,
    pub(crate) reader: ChainReader,
}

/// A node that answers, and its URL.
fn node(arguments: &[&str]) -> (Service, String) {
    let port = ports::one().to_string();
    let rpc = format!("http://127.0.0.1:{port}");
    let mut command = service::foundry("anvil");
    command.args(["--host", "127.0.0.1", "--port", &port, "--quiet"]).args(arguments);
    // Blocks become final soon, as engine and tests would otherwise wait for 64 of them.
    command.args(["--chain-id", &CHAIN_ID.to_string(), "--slots-in-an-epoch", "1"]);
    let mut anvil = Service::start("anvil", &mut command);
    let asked = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []});
    let asked = serde_json::to_vec(&asked).unwrap();
    let headers = [("content-type", "application/json")];
    anvil.until("answer", || http::try_request("POST", &rpc, &headers, &asked).is_ok());
    (anvil, rpc)
}

/// Our contract with the functions of Multicall3, where every chain of note has it.
pub(crate) fn place_multicall(reader: &ChainReader) {
    let built: Value =
        serde_json::from_str(include_str!("../../../contracts/artifacts/Multicall.json")).unwrap();
    reader.call("anvil_setCode", &json!([MULTICALL3, built["runtimeBytecode"]]));
}

impl RealChain {
    /// Starts the node, places the token and gives the buyer some.
    pub(crate) fn start() -> Self {
        let (anvil, rpc) = node(&[]);
        let mut place = service::node_script("place-usdc.mjs");
        let placed = service::run(place.args([rpc.as_str(), BUYER])).succeeded();
        let reader = ChainReader::new(&rpc, placed.stdout.trim());
        place_multicall(&reader);
        Self { _anvil: anvil, reader }
    }

    /// The same on a node of the time before base fees.
    pub(crate) fn start_before_london() -> Self {
        // Whoever places the token speaks of base fees, so it is placed elsewhere.
        let placed = Self::start();
        let state = placed.reader.call("anvil_dumpState", &json!([]));
        let (anvil, rpc) = node(&["--hardfork", "berlin"]);
        let reader = ChainReader::new(&rpc, &placed.reader.token);
        reader.call("anvil_loadState", &json!([state]));
        Self { _anvil: anvil, reader }
    }

    pub(crate) fn rpc(&self) -> &str {
        &self.reader.rpc
    }

    /// From now on blocks are mined only when a test says so.
    pub(crate) fn hold_blocks(&self) {
        self.reader.call("evm_setAutomine", &json!([false]));
    }

    /// Mines what waits, and everything after it at once.
    pub(crate) fn release_blocks(&self) {
        self.reader.call("evm_setAutomine", &json!([true]));
        self.reader.call("evm_mine", &json!([]));
    }

    /// The payee got the price once, by one transfer and one authorization.
    pub(crate) fn assert_paid_once(&self) {
        assert_eq!(self.reader.balance(PAYEE), PRICE, "balance of the payee");
        assert_eq!(self.reader.transfers_to(PAYEE), 1, "transfers to the payee");
        assert_eq!(self.reader.authorizations_used_by(BUYER), 1, "authorizations used");
    }
}
