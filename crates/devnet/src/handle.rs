//! Starting and stopping a dev chain, and the controls a test has over it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use alloy_primitives::{Address, B256, Bytes, U256};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::JoinHandle,
    time::{MissedTickBehavior, interval_at, timeout},
};

use crate::{
    chain::{Chain, Mining, lookup::BlockId, reorg::Reorg},
    config::DevnetConfig,
    error::{ChainError, DevnetError},
    limits::{MAX_MINED_AT_ONCE, MIN_BLOCK_TIME, SHUTDOWN_GRACE},
    node::Node,
    server,
};

/// The dev chain.
#[derive(Clone, Copy, Debug)]
pub struct Devnet;

/// A running dev chain. It ends when this is dropped.
#[derive(Debug)]
pub struct DevnetHandle {
    node: Arc<Node>,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
    timer: JoinHandle<()>,
}

impl Devnet {
    /// Makes the first block, binds the listener and serves JSON-RPC in the background. The
    /// endpoint answers as soon as this returns.
    ///
    /// Errors: an impossible configuration, or the address cannot be bound.
    pub async fn start(config: DevnetConfig) -> Result<DevnetHandle, DevnetError> {
        let chain = Chain::new(&config)?;
        let listen = |source| DevnetError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let (node, interval) = Node::new(chain);
        let node = Arc::new(node);
        let (stop, stopped) = watch::channel(false);
        let server = tokio::spawn(server::serve(listener, Arc::clone(&node), stopped));
        let timer = tokio::spawn(mine_on_time(Arc::clone(&node), interval));
        tracing::info!(%address, chain_id = config.chain_id, "dev chain is up");
        Ok(DevnetHandle { node, address, stop, server, timer })
    }
}

/// Mines a block each interval, as long as there is one.
async fn mine_on_time(node: Arc<Node>, mut interval: watch::Receiver<Option<Duration>>) {
    loop {
        let wanted = *interval.borrow_and_update();
        let Some(period) = wanted else {
            if interval.changed().await.is_err() {
                return;
            }
            continue;
        };
        let period = period.max(MIN_BLOCK_TIME);
        let mut ticks = interval_at(tokio::time::Instant::now() + period, period);
        // A machine that slept must not wake to a burst of blocks.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => node.write().mine(),
                changed = interval.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
            }
        }
    }
}

impl DevnetHandle {
    /// The JSON-RPC endpoint, `http://host:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops serving and mining. Requests in flight get a moment to finish; it all ends within a
    /// second.
    pub async fn shutdown(mut self) {
        self.timer.abort();
        self.stop.send_replace(true);
        if timeout(SHUTDOWN_GRACE, &mut self.server).await.is_err() {
            self.server.abort();
        }
    }

    /// Number of the newest block.
    pub fn block_number(&self) -> u64 {
        self.node.read().height()
    }

    /// Hash of a block by number, if it exists.
    pub fn block_hash(&self, number: u64) -> Option<B256> {
        self.node.read().block(BlockId::Number(number)).map(|block| block.hash)
    }

    /// Balance of an account at the newest block, in wei.
    pub fn balance(&self, address: Address) -> U256 {
        self.node.read().state().account(address).map_or(U256::ZERO, |info| info.balance)
    }

    /// Next nonce of an account at the newest block.
    pub fn nonce(&self, address: Address) -> u64 {
        self.node.read().state().nonce(address)
    }

    /// A storage slot at the newest block.
    pub fn storage(&self, address: Address, slot: U256) -> U256 {
        self.node.read().head_view().slot(address, slot)
    }

    /// Transactions waiting in the pool.
    pub fn pending(&self) -> Vec<B256> {
        self.node.read().pool.all().map(|transaction| transaction.hash).collect()
    }

    /// Mines this many blocks now; the first takes from the pool what fits. At most
    /// [`MAX_MINED_AT_ONCE`].
    pub fn mine(&self, blocks: u64) {
        let mut chain = self.node.write();
        for _ in 0..blocks.min(MAX_MINED_AT_ONCE) {
            chain.mine();
        }
    }

    /// True: a block for each transaction at once. False: only [`DevnetHandle::mine`] makes blocks.
    /// Ends a block time either way.
    pub fn set_automine(&self, automatic: bool) {
        self.node.set_mining(if automatic { Mining::EachTransaction } else { Mining::OnDemand });
    }

    /// A block each interval (none: a block for each transaction at once).
    pub fn set_block_time(&self, interval: Option<Duration>) {
        self.node.set_mining(interval.map_or(Mining::EachTransaction, Mining::Every));
    }

    /// Sets an account's balance, in wei.
    pub fn set_balance(&self, address: Address, wei: U256) {
        self.node.write().set_balance(address, wei);
    }

    /// Sets an account's next nonce.
    pub fn set_nonce(&self, address: Address, nonce: u64) {
        self.node.write().set_nonce(address, nonce);
    }

    /// Sets an account's code; empty removes it.
    ///
    /// Errors: [`ChainError::InvalidCode`].
    pub fn set_code(&self, address: Address, code: Bytes) -> Result<(), ChainError> {
        self.node.write().set_code(address, code)
    }

    /// Writes a storage slot.
    pub fn set_storage(&self, address: Address, slot: U256, value: U256) {
        self.node.write().set_storage(address, slot, value);
    }

    /// Moves the chain's clock forward, in seconds.
    pub fn increase_time(&self, seconds: u64) {
        self.node.write().increase_time(seconds);
    }

    /// Fixes the time of the next block, in unix seconds; time goes on from there.
    ///
    /// Errors: [`ChainError::TimestampTooLow`].
    pub fn set_next_timestamp(&self, timestamp: u64) -> Result<(), ChainError> {
        self.node.write().set_next_timestamp(timestamp)
    }

    /// Fixes the base fee of the next block, in wei per gas.
    pub fn set_next_base_fee(&self, base_fee: u64) {
        self.node.write().set_next_base_fee(base_fee);
    }

    /// Drops a waiting transaction, as a node under pressure does.
    ///
    /// Errors: [`ChainError::NotInPool`].
    pub fn drop_pending(&self, hash: B256) -> Result<(), ChainError> {
        self.node.write().drop_pending(hash)
    }

    /// Replaces the newest blocks by others, with or without their transactions.
    ///
    /// Errors: [`ChainError::ReorgTooDeep`].
    pub fn reorg(&self, reorg: &Reorg) -> Result<(), ChainError> {
        self.node.write().reorg(reorg)
    }

    /// Remembers the whole chain. Returns the number to go back with.
    pub fn snapshot(&self) -> u64 {
        self.node.write().snapshot()
    }

    /// Goes back to a snapshot; it and all later ones are consumed. False: no such snapshot.
    pub fn revert(&self, snapshot: u64) -> bool {
        self.node.write().restore(snapshot)
    }
}

impl Drop for DevnetHandle {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.timer.abort();
    }
}
