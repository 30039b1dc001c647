//! A deterministic chain with faults, for tests: no I/O, no clock, no randomness of its own. Every
//! step happens when the test says so.
//!
//! A payment is the EIP-3009 payload of the real thing; its signature counts as valid unless its
//! first byte is zero.

mod adapter;
mod execution;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloy_primitives::{Address, B256};
use faregate_protocol::{Amount, Network, PaymentRequest};
use serde::{Deserialize, Serialize};

use crate::Broadcast;

/// Blocks between the head and the last final block.
pub const FINALITY_DEPTH: u64 = 2;
/// Gas that a transfer costs.
pub const TRANSFER_GAS: u64 = 60_000;

/// What goes wrong, until it is changed.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// No question is answered.
    pub down: bool,
    /// Bytes are acknowledged and thrown away.
    pub swallow: bool,
    /// Bytes are taken, and the answer gets lost.
    pub lose_answer: bool,
    /// Bytes are refused with this word.
    pub refuse: Option<Broadcast>,
    /// Signing fails.
    pub signer_down: bool,
    /// The signers have nothing to pay for gas with.
    pub no_gas_money: bool,
    /// Questions about many payments or blocks at once are answered with nonsense.
    pub one_by_one: bool,
    /// So many questions about many payments in a block are answered with nonsense.
    pub together_fails: u32,
    /// Transactions for several payments run out of gas and do nothing.
    pub batches_revert: bool,
}

/// The chain. Share it by `Arc`.
#[derive(Debug)]
pub struct SimulatedChain {
    network: Network,
    chain_id: u64,
    signers: Vec<String>,
    automine: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    faults: Faults,
    now: u64,
    blocks: Vec<Block>,
    balances: HashMap<Address, Amount>,
    authorizations: HashMap<(Address, B256), Use>,
    mined_nonces: HashMap<String, u64>,
    pool: BTreeMap<(String, u64), Transaction>,
    sent: Vec<String>,
    distinct: HashSet<String>,
    blocks_made: u64,
    /// Transactions that were not made by an engine; no two have one hash.
    outside: u64,
    broadcasts: u64,
    batch_members: usize,
    quiet_from: u64,
    observations: u64,
}

#[derive(Clone, Debug, Default)]
struct Block {
    /// Never the same twice, as a hash is.
    id: u64,
    time: u64,
    transactions: Vec<Mined>,
}

#[derive(Clone, Debug)]
struct Mined {
    transaction: Transaction,
    /// In the order of its requests; those that did nothing are left out.
    moved: Vec<Moved>,
    cancelled: Option<(Address, B256)>,
}

#[derive(Clone, Debug)]
struct Moved {
    from: Address,
    to: Address,
    nonce: B256,
    amount: Amount,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Moved { to: Address, block: u64 },
    Cancelled { block: u64 },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Transaction {
    hash: String,
    signer: String,
    nonce: u64,
    /// Only a higher tip replaces it in the pool.
    tip_wei: u128,
    requests: Vec<PaymentRequest>,
    /// Payer and nonce of an authorization that its payer cancels.
    cancels: Option<(Address, B256)>,
}

impl SimulatedChain {
    /// A chain at block 1. With `automine` each accepted transaction is mined at once, as far as
    /// its nonce allows.
    #[must_use]
    pub fn new(chain_id: u64, signers: &[&str], now_unix: u64, automine: bool) -> Self {
        let genesis = Block { id: 0, time: now_unix, transactions: Vec::new() };
        let state =
            State { now: now_unix, blocks: vec![genesis.clone(), genesis], ..State::default() };
        Self {
            network: Network::eip155(chain_id),
            chain_id,
            signers: signers.iter().map(|&signer| signer.to_owned()).collect(),
            automine,
            state: Mutex::new(state),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives `payer` money.
    pub fn mint(&self, payer: Address, amount: u64) {
        self.lock().balances.insert(payer, amount.into());
    }

    /// What an account has.
    #[must_use]
    pub fn balance(&self, account: Address) -> Amount {
        self.lock().balances.get(&account).copied().unwrap_or_default()
    }

    /// Payments that nobody waits for are sent from this unix second on.
    pub fn set_quiet_from(&self, unix: u64) {
        self.lock().quiet_from = unix;
    }

    /// How often it was asked what became of payments, one or many at a time.
    #[must_use]
    pub fn observations(&self) -> u64 {
        self.lock().observations
    }

    /// Sets what goes wrong.
    pub fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// Lets time pass; the next block carries it.
    pub fn pass_time(&self, seconds: u64) {
        self.lock().now += seconds;
    }

    /// The chain's clock follows another one, in unix seconds; it never goes back.
    pub fn set_time(&self, now_unix: u64) {
        let mut state = self.lock();
        state.now = state.now.max(now_unix);
    }

    /// Number of the newest block.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.lock().head()
    }

    /// Number of the newest final block.
    #[must_use]
    pub fn finalized(&self) -> u64 {
        self.lock().finalized()
    }

    /// The block in which this authorization moved money, in the chain as it is now.
    #[must_use]
    pub fn moved_in(&self, from: Address, nonce: B256) -> Option<u64> {
        match self.lock().authorizations.get(&(from, nonce)) {
            Some(Use::Moved { block, .. }) => Some(*block),
            Some(Use::Cancelled { .. }) | None => None,
        }
    }

    /// Number of mined transactions of a signer, whatever faults are set.
    #[must_use]
    pub fn mined_nonce(&self, signer: &str) -> u64 {
        self.lock().mined_nonces.get(signer).copied().unwrap_or_default()
    }

    /// Mines a block of everything in the pool whose turn it is.
    pub fn mine(&self) {
        self.lock().mine(self.chain_id);
    }

    /// Takes the newest `depth` blocks away; with `keep` their transactions return to the pool.
    pub fn reorganise(&self, depth: u64, keep: bool) {
        self.lock().reorganise(depth, keep);
    }

    /// Forgets the pool.
    pub fn drop_pool(&self) {
        self.lock().pool.clear();
    }

    /// Somebody else settles this very payment, in a block of its own.
    pub fn front_run(&self, request: &PaymentRequest) {
        let mut state = self.lock();
        let nonce = state.free_nonce("stranger");
        state.put_from_outside("stranger", nonce, vec![request.clone()], None);
        state.mine(self.chain_id);
    }

    /// The operator uses the key `signer` by hand: its next nonce goes to another transaction, in
    /// a block of its own.
    pub fn use_nonce(&self, signer: &str) {
        let mut state = self.lock();
        let nonce = state.mined_nonces.get(signer).copied().unwrap_or_default();
        state.put_from_outside(signer, nonce, Vec::new(), None);
        state.mine(self.chain_id);
    }

    /// The payer cancels an authorization, in a block of its own; too late if it was used.
    pub fn cancel(&self, from: Address, nonce: B256) {
        let mut state = self.lock();
        let place = state.free_nonce("payer");
        state.put_from_outside("payer", place, Vec::new(), Some((from, nonce)));
        state.mine(self.chain_id);
    }

    /// How often bytes were handed over.
    #[must_use]
    pub fn broadcasts(&self) -> u64 {
        self.lock().broadcasts
    }

    /// How many different transactions were handed over.
    #[must_use]
    pub fn distinct_transactions(&self) -> usize {
        self.lock().distinct.len()
    }

    /// Number of transfers that moved money, over all blocks.
    #[must_use]
    pub fn transfers(&self) -> usize {
        let state = self.lock();
        state.blocks.iter().flat_map(|b| &b.transactions).map(|t| t.moved.len()).sum()
    }

    /// How many payments each mined transaction of a signer held, in the order of the chain.
    #[must_use]
    pub fn batches(&self, signer: &str) -> Vec<usize> {
        let state = self.lock();
        let mined = state.blocks.iter().flat_map(|block| &block.transactions);
        let own = mined.filter(|mined| mined.transaction.signer == signer);
        own.map(|mined| mined.transaction.requests.len()).collect()
    }

    /// From now on a transaction takes at most so many payments; 1 is what a new chain does.
    pub fn set_batch_members(&self, members: usize) {
        self.lock().batch_members = members;
    }
}
