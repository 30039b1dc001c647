//! The embedded store: one SQLite file, one writing process.
//!
//! All writes go through one connection and begin with `BEGIN IMMEDIATE` (a deferred upgrade
//! fails with SQLITE_BUSY without waiting); reads have connections of their own. Each connection
//! has a thread (`threads.rs`), which is handed whole operations. Commits are durable: WAL with
//! `synchronous = FULL`, and many writers at once share one (`writer.rs`). The log is carried over
//! into the file beside the writer (`carrying.rs`).

mod asking;
mod carrying;
mod claim_rows;
mod claims;
mod connections;
mod debts;
mod deferral;
mod exposure;
mod grants;
mod handler_mark;
mod homes;
mod kept;
mod leases;
mod parts;
mod payees;
mod proofs;
mod readers;
mod records;
mod reservations;
mod schema;
mod settlement_rows;
mod settlements;
mod slots;
mod statements;
mod threads;
mod writer;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use faregate_protocol::PaymentKey;
use rusqlite::{Connection, params};
use tokio::sync::{Semaphore, broadcast};
use uuid::Uuid;

use self::asking::Turn;
use self::carrying::Beside;
use self::readers::Readers;
use self::statements::{exactly_one, now_ms, run, unavailable, uuid};
use self::writer::Writer;
use crate::hint::{BACKLOG, Change, Hint};
use crate::{LedgerError, Sealer};

/// How long a caller waits for its turn.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections that only read.
const READERS: usize = 2;

/// A ledger in one SQLite file. Cheap to clone.
#[derive(Clone)]
pub struct SqliteLedger {
    threads: Arc<Threads>,
    deployment: Uuid,
    hints: broadcast::Sender<Hint>,
    sealer: Arc<Sealer>,
    // Parts of answers come to the writer one at a time: whoever has less to write, a renewal of a
    // lease above all, waits for one of them and not for all.
    turn_of_parts: Arc<Semaphore>,
}

/// In the order in which they end: the database and its lock are let go of once no connection is open
/// any more. The kernel lets go of them when the process dies.
struct Threads {
    writer: Writer,
    /// None where nobody but the writer can see the database.
    readers: Option<Readers>,
    _files: Option<(Arc<File>, File)>,
}

impl std::fmt::Debug for SqliteLedger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteLedger").field("deployment", &self.deployment).finish_non_exhaustive()
    }
}

impl SqliteLedger {
    /// Opens or makes the ledger at `path` and takes its lock (a file beside it, `PATH.lock`).
    /// Signed payments and transactions are sealed with `sealer`.
    ///
    /// # Errors
    /// [`LedgerError::InUse`] when another process has it, [`LedgerError::Unavailable`] when it
    /// cannot be opened or migrated.
    pub async fn open(path: &Path, sealer: Sealer) -> Result<Self, LedgerError> {
        let path = path.to_owned();
        blocking(move || {
            let lock = lock(&path)?;
            let file = Arc::new(private_file(&path)?);
            let writer = connections::to_write(&path)?;
            make(&writer)?;
            let connection = connections::to_write(&path)?;
            let beside = Beside { connection, file: Arc::clone(&file) };
            let readers = connections::to_read(&path, READERS)?;
            Self::over((writer, Some(beside)), readers, sealer, Some((file, lock)))
        })
        .await
    }

    /// Opens the ledger at `path` to read it, beside the process that writes it; every write
    /// fails.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`] when it is not there or cannot be read,
    /// [`LedgerError::OlderSchema`], [`LedgerError::NewerSchema`].
    pub async fn open_to_read(path: &Path, sealer: Sealer) -> Result<Self, LedgerError> {
        let path = path.to_owned();
        blocking(move || {
            let mut readers = connections::to_read(&path, READERS + 1)?;
            let writer = readers.pop().ok_or(LedgerError::Corrupt { what: "readers" })?;
            schema::expect_current(&writer)?;
            Self::over((writer, None), readers, sealer, None)
        })
        .await
    }

    /// A ledger that is gone with its last clone; for tests.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn open_in_memory() -> Result<Self, LedgerError> {
        blocking(|| {
            let writer = connections::in_memory()?;
            make(&writer)?;
            Self::over((writer, None), Vec::new(), Sealer::throwaway()?, None)
        })
        .await
    }

    /// Over a schema that is up to date.
    fn over(
        (writer, beside): (Connection, Option<Beside>),
        readers: Vec<Connection>,
        sealer: Sealer,
        files: Option<(Arc<File>, File)>,
    ) -> Result<Self, LedgerError> {
        let deployment =
            exactly_one(&writer, "select id from deployment where one = 1", (), |row| {
                uuid(row, "id")
            })?;
        let readers = (!readers.is_empty()).then(|| Readers::over(readers)).transpose()?;
        let threads = Threads { writer: Writer::over(writer, beside)?, readers, _files: files };
        let (hints, _) = broadcast::channel(BACKLOG);
        Ok(Self {
            threads: Arc::new(threads),
            deployment,
            hints,
            sealer: Arc::new(sealer),
            turn_of_parts: Arc::new(Semaphore::new(1)),
        })
    }

    /// Ends all connections after what was asked of them.
    pub async fn close(&self) {
        if let Some(readers) = &self.threads.readers {
            readers.close().await;
        }
        self.threads.writer.close().await;
    }

    /// Journal mode and synchronous level of the writing connection: `("wal", 2)` is durable.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn durability(&self) -> Result<(String, i64), LedgerError> {
        self.write(|tx| {
            let text = |row: &rusqlite::Row<'_>| row.get(0).map_err(unavailable);
            let mode = exactly_one(tx, "pragma journal_mode", (), text)?;
            let number = |row: &rusqlite::Row<'_>| row.get(0).map_err(unavailable);
            let level = exactly_one(tx, "pragma synchronous", (), number)?;
            Ok(Turn::TakenBack((mode, level)))
        })
        .await
    }

    /// Tells whoever listens what changed. Nobody may be listening.
    fn tell(&self, key: PaymentKey, change: Change) {
        let _ = self.hints.send(Hint { key, change });
    }

    /// Does `work` in the writer's turn; what it kept is on disk when this returns. An error: it
    /// may or may not be. It may be done again after everything was taken back.
    async fn write<T, F>(&self, work: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<Turn<T>, LedgerError> + Send + 'static,
    {
        self.threads.writer.turn(work).await
    }

    /// Reads what is committed, as one look.
    async fn read<T, F>(&self, work: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T, LedgerError> + Send + 'static,
    {
        match &self.threads.readers {
            Some(readers) => readers.read(work).await,
            None => self.write(move |tx| work(tx).map(Turn::TakenBack)).await,
        }
    }
}

/// Opening reads and writes files.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LedgerError> + Send + 'static,
) -> Result<T, LedgerError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| LedgerError::Unavailable { detail: error.to_string() })?
}

/// The schema of today, and an id of its own if it is new.
fn make(writer: &Connection) -> Result<(), LedgerError> {
    const NAME: &str = concat!(
        "insert into deployment (one, id, made_at_ms) values (1, ?, ",
        now_ms!(),
        ") on conflict do nothing"
    );
    schema::migrate(writer)?;
    run(writer, NAME, params![Uuid::new_v4().to_string()]).map(|_| ())
}

/// A ledger holds signed payments, so only its owner may read it; SQLite gives the files beside it
/// the mode of the database.
fn private_file(path: &Path) -> Result<File, LedgerError> {
    const OWNER_ONLY: u32 = 0o600;
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(OWNER_ONLY)
        .open(path)
        .map_err(|e| LedgerError::Unavailable { detail: format!("{}: {e}", path.display()) })
}

fn lock(path: &Path) -> Result<File, LedgerError> {
    let beside = PathBuf::from(format!("{}.lock", path.display()));
    let file = private_file(&beside)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(LedgerError::InUse { path: path.display().to_string() })
        }
        Err(std::fs::TryLockError::Error(e)) => {
            Err(LedgerError::Unavailable { detail: format!("{}: {e}", beside.display()) })
        }
    }
}
