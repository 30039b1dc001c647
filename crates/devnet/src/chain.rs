//! The chain itself: blocks, state, pool and clock, changed by one caller at a time.

pub(crate) mod dev;
pub(crate) mod lookup;
pub(crate) mod mining;
pub(crate) mod reorg;
pub(crate) mod submit;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use alloy_eips::eip1559::BaseFeeParams;
use alloy_primitives::{Address, B256, Bytes};

use crate::{
    accounts::COINBASE,
    block::{Block, Outline},
    clock::Clock,
    config::DevnetConfig,
    error::DevnetError,
    genesis,
    pool::Pool,
    state::{State, Undo},
};

/// When blocks are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mining {
    /// A block for each transaction, as soon as it can be mined.
    EachTransaction,
    /// A block each interval, empty or not.
    Every(Duration),
    /// Only when asked.
    OnDemand,
}

/// A whole chain. Cloning it is how snapshots are taken.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) chain_id: u64,
    pub(crate) accounts: Vec<Address>,
    pub(crate) mining: Mining,
    gas_limit: u64,
    state: State,
    /// Never empty; consecutive numbers.
    blocks: VecDeque<Arc<Block>>,
    /// The changes of the newest blocks, oldest first; one for each of the last blocks.
    undos: VecDeque<Undo>,
    numbers: HashMap<B256, u64>,
    places: HashMap<B256, Place>,
    pub(crate) pool: Pool,
    clock: Clock,
    next_base_fee: Option<u64>,
    reorgs: u64,
    snapshots: Vec<(u64, Arc<Chain>)>,
    next_snapshot: u64,
}

/// Where a mined transaction stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) block: u64,
    pub(crate) index: usize,
}

impl Chain {
    /// A chain with one block.
    ///
    /// Errors: the configuration describes no possible chain.
    pub(crate) fn new(config: &DevnetConfig) -> Result<Self, DevnetError> {
        config.check()?;
        let clock = Clock::default();
        let genesis = Block::genesis(clock.now(), config.block_gas_limit, config.base_fee);
        Ok(Self {
            chain_id: config.chain_id,
            accounts: config.accounts.iter().map(|funded| funded.address).collect(),
            mining: config.block_time.map_or(Mining::EachTransaction, Mining::Every),
            gas_limit: config.block_gas_limit,
            state: genesis::state(config)?,
            numbers: HashMap::from([(genesis.hash, 0)]),
            blocks: VecDeque::from([Arc::new(genesis)]),
            undos: VecDeque::new(),
            places: HashMap::new(),
            pool: Pool::default(),
            clock,
            // The first block after genesis starts at the configured fee, not below it.
            next_base_fee: Some(config.base_fee),
            reorgs: 0,
            snapshots: Vec::new(),
            next_snapshot: 1,
        })
    }

    /// The newest block.
    pub(crate) fn head(&self) -> &Arc<Block> {
        self.blocks.back().expect("a chain always has its first block")
    }

    /// The newest block's number.
    pub(crate) fn height(&self) -> u64 {
        self.head().header.number
    }

    /// Base fee of the next block, in wei per gas.
    pub(crate) fn upcoming_base_fee(&self) -> u64 {
        let by_rule = self.head().header.next_block_base_fee(BaseFeeParams::ethereum());
        self.next_base_fee.or(by_rule).unwrap_or_default()
    }

    /// The next block as it would be mined now.
    pub(crate) fn upcoming(&self) -> Outline {
        let parent = self.head();
        Outline {
            parent_hash: parent.hash,
            parent_state_root: parent.header.state_root,
            number: parent.header.number + 1,
            timestamp: self.clock.upcoming(parent.header.timestamp),
            gas_limit: self.gas_limit,
            base_fee: self.upcoming_base_fee(),
            coinbase: COINBASE,
            extra_data: self.extra_data(),
        }
    }

    fn extra_data(&self) -> Bytes {
        match self.reorgs {
            0 => Bytes::new(),
            count => Bytes::from(format!("reorg {count}").into_bytes()),
        }
    }

    /// The state at the newest block.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }
}
