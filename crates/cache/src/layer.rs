//! The layer as the adapters see it: it answers from the connection there is, and never opens one.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

use async_trait::async_trait;
use faregate_chain::{NoFact, RefusalListener, SecondLayer};
use faregate_telemetry::{CacheKind, CacheMetrics, Metrics, Redacted, WriteOutcome};
use redis::Client;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::keeper;
use crate::limits::{MAX_WAITING_WRITES, PROBE_BUDGET, START_PATIENCE};
use crate::line::Line;
use crate::seal::CacheKey;
use crate::wire::{self, Fault, Space};

/// Why a URL cannot be used. It never holds a part of the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Another scheme than `redis` and `rediss`.
    #[error("the cache is a Redis server: redis://HOST:PORT, or rediss://HOST:PORT for TLS")]
    Scheme,
    /// No host, a port or a database that is no number, or the like.
    #[error("this is no URL of a Redis server")]
    Malformed,
    /// TLS whose certificate nobody checks.
    #[error("a certificate that is not checked protects nothing")]
    Insecure,
}

/// Why the server could not be used by `config check`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// The URL.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The server, in words of ours.
    #[error("{0}")]
    Server(&'static str),
}

fn client(url: &str) -> Result<Client, UrlError> {
    if !url.starts_with("redis://") && !url.starts_with("rediss://") {
        return Err(UrlError::Scheme);
    }
    if url.contains('#') {
        return Err(UrlError::Insecure);
    }
    Client::open(url).map_err(|_| UrlError::Malformed)
}

/// Whether a URL can be used, without asking anybody.
///
/// # Errors
/// [`UrlError`].
pub fn check_url(url: &str) -> Result<(), UrlError> {
    client(url).map(drop)
}

/// Asks the server whether it is there and lets us in.
///
/// # Errors
/// [`ProbeError`].
pub async fn probe(url: &Redacted<String>) -> Result<(), ProbeError> {
    let client = client(url.expose())?;
    let asked = async {
        let mut connection = wire::connect(&client).await?;
        wire::ping(&mut connection).await.map_err(|fault| match fault {
            Fault::Broken(why) => why,
            Fault::Refused | Fault::Unusable => "the server refuses commands",
        })
    };
    match timeout(PROBE_BUDGET, asked).await {
        Ok(outcome) => outcome.map_err(ProbeError::Server),
        Err(_) => Err(ProbeError::Server("no answer in time")),
    }
}

/// Something to be kept.
pub(crate) enum Write {
    Fact { name: String, value: Vec<u8>, keep_for: Duration },
    Refusal { chain: String, entry: Vec<u8> },
}

impl Write {
    pub(crate) fn kind(&self) -> CacheKind {
        match self {
            Self::Fact { .. } => CacheKind::Token,
            Self::Refusal { .. } => CacheKind::Refusal,
        }
    }
}

/// Who wants to hear about which chain.
pub(crate) struct Follower {
    pub(crate) chain: String,
    pub(crate) listener: Weak<dyn RefusalListener>,
    /// Id of the last entry that was told.
    pub(crate) last: String,
}

/// What the layer and its keeper have in common.
pub(crate) struct Shared {
    connection: RwLock<Option<Line>>,
    /// A question found the connection broken.
    pub(crate) broken: Notify,
    followers: Mutex<Vec<Follower>>,
    pub(crate) metrics: CacheMetrics,
    pub(crate) space: Space,
}

impl Shared {
    fn connection(&self) -> Option<Line> {
        self.connection.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn connect(&self, connection: Option<Line>) {
        self.metrics.up(connection.is_some());
        *self.connection.write().unwrap_or_else(PoisonError::into_inner) = connection;
    }

    pub(crate) fn followers(&self) -> MutexGuard<'_, Vec<Follower>> {
        self.followers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A Redis server that processes share. `Debug` leaves the URL out.
pub struct RedisLayer {
    shared: Arc<Shared>,
    writes: mpsc::Sender<Write>,
    keeper: JoinHandle<()>,
}

impl fmt::Debug for RedisLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLayer").finish_non_exhaustive()
    }
}

impl Drop for RedisLayer {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl RedisLayer {
    /// Begins to look after a connection, and waits a moment for the first one. A server that does
    /// not answer is no error.
    ///
    /// # Errors
    /// [`UrlError`].
    pub async fn start(
        url: &Redacted<String>,
        key: CacheKey,
        metrics: &Metrics,
    ) -> Result<Self, UrlError> {
        let client = client(url.expose())?;
        let shared = Arc::new(Shared {
            connection: RwLock::new(None),
            broken: Notify::new(),
            followers: Mutex::default(),
            metrics: metrics.cache(),
            space: Space::new(key),
        });
        let (writes, waiting) = mpsc::channel(MAX_WAITING_WRITES);
        let (tried, mut first) = watch::channel(false);
        let keeper = tokio::spawn(keeper::keep(Arc::clone(&shared), client, waiting, tried));
        // Whatever became of it, it is in the log.
        let _ = timeout(START_PATIENCE, first.wait_for(|tried| *tried)).await;
        Ok(Self { shared, writes, keeper })
    }

    fn write(&self, write: Write) {
        let kind = write.kind();
        if self.shared.connection().is_none() || self.writes.try_send(write).is_err() {
            self.shared.metrics.write(kind, WriteOutcome::Dropped);
        }
    }
}

#[async_trait]
impl SecondLayer for RedisLayer {
    async fn fact(&self, name: &str) -> Result<Option<Vec<u8>>, NoFact> {
        let mut connection = self.shared.connection().ok_or(NoFact::NoAnswer)?;
        match self.shared.space.get(&mut connection, name).await {
            Ok(found) => Ok(found),
            Err(Fault::Unusable) => Err(NoFact::Unusable),
            Err(Fault::Refused) => Err(NoFact::NoAnswer),
            Err(Fault::Broken(_)) => {
                self.shared.connect(None);
                self.shared.broken.notify_one();
                Err(NoFact::NoAnswer)
            }
        }
    }

    fn keep_fact(&self, name: &str, value: Vec<u8>, keep_for: Duration) {
        self.write(Write::Fact { name: name.to_owned(), value, keep_for });
    }

    fn tell_refusal(&self, chain: &str, entry: Vec<u8>) {
        self.write(Write::Refusal { chain: chain.to_owned(), entry });
    }

    fn follow_refusals(&self, chain: &str, listener: Weak<dyn RefusalListener>) {
        let last = wire::BEGINNING.to_owned();
        self.shared.followers().push(Follower { chain: chain.to_owned(), listener, last });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_checked_and_never_repeated() {
        for good in [
            "redis://127.0.0.1",
            "redis://127.0.0.1:6380/3",
            "redis://:secret@cache.example.com",
            "rediss://user:secret@cache.example.com:6380",
        ] {
            assert_eq!(check_url(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("", UrlError::Scheme),
            ("http://127.0.0.1:6379", UrlError::Scheme),
            ("127.0.0.1:6379", UrlError::Scheme),
            ("redis://", UrlError::Malformed),
            ("redis://:secret@host:port", UrlError::Malformed),
            ("redis://:secret@host/notanumber", UrlError::Malformed),
            ("rediss://:secret@host/#insecure", UrlError::Insecure),
        ] {
            let found = check_url(bad).unwrap_err();
            assert_eq!(found, why, "{bad}");
            assert!(!format!("{found} {found:?}").contains("secret"));
        }
    }
}
