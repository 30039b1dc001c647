//! What a dev chain looks like at its first block.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use alloy_primitives::{Address, Bytes, U256};

use crate::{
    accounts::{self, ACCOUNTS},
    error::DevnetError,
    limits::MIN_BLOCK_TIME,
};

/// Settings of a dev chain. The default is a complete world on a free loopback port.
#[derive(Clone, Debug)]
pub struct DevnetConfig {
    /// Where JSON-RPC is served; port 0 takes a free one. Keep it on loopback: the server lets
    /// anyone do anything.
    pub listen: SocketAddr,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// None: every transaction gets a block of its own at once. Some: a block each such interval.
    pub block_time: Option<Duration>,
    /// Gas limit of every block.
    pub block_gas_limit: u64,
    /// Base fee of the first block, in wei per gas; it moves by EIP-1559 from there.
    pub base_fee: u64,
    /// Accounts with native coin at genesis.
    pub accounts: Vec<FundedAccount>,
    /// The dollar token; none for a chain without.
    pub token: Option<TokenConfig>,
    /// Further contracts at genesis; they win over the built-in ones at the same address.
    pub predeploys: Vec<Predeploy>,
}

/// An account that owns native coin at genesis.
#[derive(Clone, Copy, Debug)]
pub struct FundedAccount {
    /// The account.
    pub address: Address,
    /// Its balance, in wei.
    pub balance: U256,
}

/// The dev token at genesis.
#[derive(Clone, Debug)]
pub struct TokenConfig {
    /// Where it stands.
    pub address: Address,
    /// Who may mint, pause and blacklist.
    pub owner: Address,
    /// Who owns how much, in atomic units (six decimals).
    pub balances: Vec<(Address, U256)>,
}

/// A contract placed at genesis.
#[derive(Clone, Debug)]
pub struct Predeploy {
    /// Where it stands.
    pub address: Address,
    /// Its runtime code.
    pub code: Bytes,
    /// Its storage, as (slot, value) pairs.
    pub storage: Vec<(U256, U256)>,
}

const WEI_PER_ETH: u64 = 1_000_000_000_000_000_000;
const GENESIS_ETH: u64 = 10_000;
const ATOMIC_UNITS_PER_DOLLAR: u64 = 1_000_000;
const BUYER_DOLLARS: u64 = 1_000_000;
const OTHER_DOLLARS: u64 = 10_000;
const DEFAULT_BLOCK_GAS_LIMIT: u64 = 120_000_000;
const MIN_BLOCK_GAS_LIMIT: u64 = 1_000_000;
const DEFAULT_BASE_FEE: u64 = 1_000_000_000;

impl Default for DevnetConfig {
    fn default() -> Self {
        let balance = U256::from(GENESIS_ETH) * U256::from(WEI_PER_ETH);
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            chain_id: accounts::CHAIN_ID,
            block_time: None,
            block_gas_limit: DEFAULT_BLOCK_GAS_LIMIT,
            base_fee: DEFAULT_BASE_FEE,
            accounts: ACCOUNTS
                .iter()
                .map(|account| FundedAccount { address: account.address, balance })
                .collect(),
            token: Some(TokenConfig::default()),
            predeploys: Vec::new(),
        }
    }
}

impl Default for TokenConfig {
    fn default() -> Self {
        let dollars = |count: u64| U256::from(count) * U256::from(ATOMIC_UNITS_PER_DOLLAR);
        let balances = ACCOUNTS
            .iter()
            .map(|account| account.address)
            .filter(|address| *address != accounts::PAYEE.address)
            .map(|address| {
                let is_buyer = address == accounts::BUYER.address;
                (address, dollars(if is_buyer { BUYER_DOLLARS } else { OTHER_DOLLARS }))
            })
            .collect();
        Self { address: accounts::TOKEN, owner: accounts::TOKEN_OWNER.address, balances }
    }
}

impl DevnetConfig {
    /// Refuses what no chain can be made of.
    pub(crate) fn check(&self) -> Result<(), DevnetError> {
        let problem = if self.chain_id == 0 {
            Some("chain_id must not be 0".to_owned())
        } else if self.block_gas_limit < MIN_BLOCK_GAS_LIMIT {
            Some(format!("block_gas_limit must be at least {MIN_BLOCK_GAS_LIMIT}"))
        } else if self.block_time.is_some_and(|time| time < MIN_BLOCK_TIME) {
            Some(format!("block_time must be at least {} ms", MIN_BLOCK_TIME.as_millis()))
        } else {
            None
        };
        problem.map_or(Ok(()), |text| Err(DevnetError::Config(text)))
    }
}
