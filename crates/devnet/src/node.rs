//! The chain behind a lock, shared by the RPC server, the block timer and the test controls.

use std::{
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use tokio::sync::watch;

use crate::chain::{Chain, Mining};

/// A running chain.
#[derive(Debug)]
pub(crate) struct Node {
    chain: RwLock<Chain>,
    interval: watch::Sender<Option<Duration>>,
}

impl Node {
    /// Takes the chain; the receiver tells the block timer its interval.
    pub(crate) fn new(chain: Chain) -> (Self, watch::Receiver<Option<Duration>>) {
        let (interval, receiver) = watch::channel(interval_of(chain.mining));
        (Self { chain: RwLock::new(chain), interval }, receiver)
    }

    /// Shared access; do short work only.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Chain> {
        self.chain.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Exclusive access; do short work only.
    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Chain> {
        self.chain.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes when blocks are made; what waits is mined at once if that is now automatic.
    pub(crate) fn set_mining(&self, mining: Mining) {
        let mut chain = self.write();
        chain.mining = mining;
        chain.mine_if_automatic();
        self.interval.send_replace(interval_of(mining));
    }
}

fn interval_of(mining: Mining) -> Option<Duration> {
    match mining {
        Mining::Every(interval) => Some(interval),
        Mining::EachTransaction | Mining::OnDemand => None,
    }
}
