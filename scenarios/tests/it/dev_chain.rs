//! The dev chain in the process of the tests, so that they can place contracts, move the clock and
//! mine; what is under test reaches it over JSON-RPC.

use alloy_primitives::{Address, U256};
use faregate_devnet::contracts::{Contract, balance_slot, token_storage};
use faregate_devnet::{Devnet, DevnetConfig, DevnetHandle, accounts};
use tokio::runtime::Runtime;

use crate::chain_reader::ChainReader;

/// What [`DevChain::place_token`] gives the buyer, in atomic units.
const SHARE: u64 = 1_000_000;

pub(crate) struct DevChain {
    pub(crate) node: DevnetHandle,
    pub(crate) reader: ChainReader,
    _runtime: Runtime,
}

impl DevChain {
    pub(crate) fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let node = runtime.block_on(Devnet::start(DevnetConfig::default())).unwrap();
        let reader = ChainReader::new(&node.url(), &accounts::TOKEN.to_checksum(None));
        Self { node, reader, _runtime: runtime }
    }

    pub(crate) fn rpc(&self) -> &str {
        &self.reader.rpc
    }

    /// Places a token of this repository; the dev buyer has a dollar of it.
    pub(crate) fn place_token(&self, contract: Contract, at: Address) {
        self.node.set_code(at, contract.runtime_code()).unwrap();
        let balances = [(accounts::BUYER.address, U256::from(SHARE))];
        for (slot, value) in token_storage(accounts::TOKEN_OWNER.address, &balances) {
            self.node.set_storage(at, slot, value);
        }
    }

    /// Gives an account a dollar of the dev token.
    pub(crate) fn fund(&self, holder: Address) {
        self.node.set_storage(accounts::TOKEN, balance_slot(holder), U256::from(SHARE));
    }

    /// Balance of the dev seller in the dev token, in atomic units.
    pub(crate) fn paid(&self) -> u128 {
        self.reader.balance(&accounts::PAYEE.address.to_checksum(None))
    }

    /// Transactions that the facilitator's signer sent.
    pub(crate) fn sent(&self) -> u64 {
        self.node.nonce(accounts::FACILITATOR.address)
    }

    /// Native coin of the facilitator's signer, in wei.
    pub(crate) fn gas_money(&self) -> U256 {
        self.node.balance(accounts::FACILITATOR.address)
    }
}
