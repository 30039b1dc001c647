//! The embedded store: one SQLite file, one writing process.
//!
//! All writes go through one connection and begin with `BEGIN IMMEDIATE` (a deferred upgrade
//! fails with SQLITE_BUSY without waiting); reads have connections of their own. Commits are
//! durable: WAL with `synchronous = FULL`, and many writers at once share one (`writer.rs`).

mod claim_rows;
mod claims;
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
mod records;
mod reservations;
mod settlement_rows;
mod settlements;
mod slots;
mod writer;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use faregate_protocol::PaymentKey;
use serde_json::Value;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteRow, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Row, Sqlite};
use tokio::sync::{Semaphore, broadcast};
use uuid::Uuid;

use self::writer::{Turn, Writer};
use crate::migrations::{self, Change};
use crate::{LedgerError, Sealer};

/// How long a statement waits for a lock of another process's reader or checkpoint.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a caller waits for a connection of the pool.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections that only read.
const READERS: u32 = 4;
/// Hints that a slow listener may fall behind by before it misses some.
const MOVED_BACKLOG: usize = 1024;
/// Milliseconds of the database's clock, as SQL.
macro_rules! now_ms {
    () => {
        "cast(unixepoch('subsec') * 1000 as integer)"
    };
}
use now_ms;

const MIGRATIONS: &[Change] = &[
    (
        1,
        "claims and settlements",
        include_str!("../migrations/sqlite/0001_claims_and_settlements.sql"),
    ),
    (2, "owners of payees", include_str!("../migrations/sqlite/0002_pay_to_owners.sql")),
    (3, "handlers started", include_str!("../migrations/sqlite/0003_handler_started.sql")),
    (5, "parts of answers", include_str!("../migrations/sqlite/0005_kept_parts.sql")),
    (6, "deferred money", include_str!("../migrations/sqlite/0006_deferred.sql")),
];

/// A ledger in one SQLite file. Cheap to clone.
#[derive(Clone)]
pub struct SqliteLedger {
    writer: Writer,
    reader: SqlitePool,
    deployment: Uuid,
    moved: broadcast::Sender<PaymentKey>,
    sealer: Arc<Sealer>,
    // Parts of answers come to the writer one at a time: whoever has less to write, a renewal of a
    // lease above all, waits for one of them and not for all.
    turn_of_parts: Arc<Semaphore>,
    // Held for as long as any clone lives; the kernel lets go of it when the process dies.
    _lock: Option<Arc<File>>,
    // Never used: a database in memory is gone with its last connection, and the pool replaces a
    // connection whose call was dropped in the middle.
    _anchor: Option<Arc<Mutex<SqliteConnection>>>,
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
        let lock = lock(path)?;
        private_file(path)?;
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let writer = pool(options.clone(), 1).await?;
        let reader = pool(options.read_only(true), READERS).await?;
        Self::start(writer, reader, sealer, Some(Arc::new(lock))).await
    }

    /// Opens the ledger at `path` to read it, beside the process that writes it; every write
    /// fails.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`] when it is not there or cannot be read,
    /// [`LedgerError::OlderSchema`], [`LedgerError::NewerSchema`].
    pub async fn open_to_read(path: &Path, sealer: Sealer) -> Result<Self, LedgerError> {
        let options = SqliteConnectOptions::new().filename(path).read_only(true);
        let reader = pool(options, READERS).await?;
        let version = sqlx::query(migrations::LAST_CHANGE)
            .fetch_one(&reader)
            .await
            .and_then(|row| row.try_get(0))
            .map_err(unavailable)?;
        migrations::expect_current(MIGRATIONS, version)?;
        Self::over(reader.clone(), reader, sealer, None).await
    }

    /// A ledger that is gone with its last clone; for tests.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn open_in_memory() -> Result<Self, LedgerError> {
        // A name that starts with a slash is one database for all connections of this process.
        let options =
            SqliteConnectOptions::new().vfs("memdb").filename(format!("/{}", Uuid::new_v4()));
        let anchor = options.connect().await.map_err(unavailable)?;
        let only = pool(options, 1).await?;
        let ledger = Self::start(only.clone(), only, Sealer::throwaway()?, None).await?;
        Ok(Self { _anchor: Some(Arc::new(Mutex::new(anchor))), ..ledger })
    }

    async fn start(
        writer: SqlitePool,
        reader: SqlitePool,
        sealer: Sealer,
        lock: Option<Arc<File>>,
    ) -> Result<Self, LedgerError> {
        migrate(&writer).await?;
        sqlx::query(concat!(
            "insert into deployment (one, id, made_at_ms) values (1, ?, ",
            now_ms!(),
            ") on conflict do nothing"
        ))
        .bind(Uuid::new_v4().to_string())
        .execute(&writer)
        .await
        .map_err(unavailable)?;
        Self::over(writer, reader, sealer, lock).await
    }

    /// Over a schema that is up to date.
    async fn over(
        writer: SqlitePool,
        reader: SqlitePool,
        sealer: Sealer,
        lock: Option<Arc<File>>,
    ) -> Result<Self, LedgerError> {
        let id: String = sqlx::query("select id from deployment where one = 1")
            .fetch_one(&reader)
            .await
            .and_then(|row| row.try_get(0))
            .map_err(unavailable)?;
        let deployment = id.parse().map_err(|_| LedgerError::Corrupt { what: "deployment.id" })?;
        let (moved, _) = broadcast::channel(MOVED_BACKLOG);
        Ok(Self {
            writer: Writer::new(writer),
            reader,
            deployment,
            moved,
            sealer: Arc::new(sealer),
            turn_of_parts: Arc::new(Semaphore::new(1)),
            _lock: lock,
            _anchor: None,
        })
    }

    /// Ends all connections after their running statements.
    pub async fn close(&self) {
        self.writer.close().await;
        self.reader.close().await;
    }

    /// Journal mode and synchronous level of the writing connection: `("wal", 2)` is durable.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn durability(&self) -> Result<(String, i64), LedgerError> {
        let pool = self.writer.pool();
        let mode = sqlx::query("pragma journal_mode").fetch_one(pool).await;
        let level = sqlx::query("pragma synchronous").fetch_one(pool).await;
        let mode = mode.and_then(|row| row.try_get(0)).map_err(unavailable)?;
        let level = level.and_then(|row| row.try_get(0)).map_err(unavailable)?;
        Ok((mode, level))
    }

    /// Tells whoever listens that a payment moved. Nobody may be listening.
    fn tell(&self, key: PaymentKey) {
        let _ = self.moved.send(key);
    }

    async fn begin(&self) -> Result<Turn, LedgerError> {
        self.writer.begin().await
    }
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

fn durable(options: SqliteConnectOptions) -> SqliteConnectOptions {
    options
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
}

async fn pool(options: SqliteConnectOptions, most: u32) -> Result<SqlitePool, LedgerError> {
    SqlitePoolOptions::new()
        .max_connections(most)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(durable(options))
        .await
        .map_err(unavailable)
}

async fn migrate(writer: &SqlitePool) -> Result<(), LedgerError> {
    migrations::migrator(MIGRATIONS).run(writer).await.map_err(migrations::failed)
}

/// The database's own words hold names of tables and files, never content of rows: values are
/// always bound.
#[allow(clippy::needless_pass_by_value)] // the shape `map_err` wants
fn unavailable(error: sqlx::Error) -> LedgerError {
    LedgerError::Unavailable { detail: error.to_string() }
}

/// One journal row, in the caller's transaction.
async fn journal(
    tx: &mut Turn,
    actor: &str,
    subject: &str,
    key: &PaymentKey,
    (from, to): (&str, &str),
    evidence: &Value,
) -> Result<(), LedgerError> {
    sqlx::query(concat!(
        "insert into journal (at_ms, actor, subject, payment_key, from_state, to_state, evidence) ",
        "values (",
        now_ms!(),
        ", ?, ?, ?, ?, ?, ?)"
    ))
    .bind(actor)
    .bind(subject)
    .bind(key.0.as_slice())
    .bind(from)
    .bind(to)
    .bind(evidence.to_string())
    .execute(&mut **tx)
    .await
    .map_err(unavailable)?;
    Ok(())
}

/// Reads a column, or says which one makes no sense.
fn column<'r, T>(row: &'r SqliteRow, name: &'static str) -> Result<T, LedgerError>
where
    T: sqlx::Decode<'r, Sqlite> + sqlx::Type<Sqlite>,
{
    row.try_get(name).map_err(|_| LedgerError::Corrupt { what: name })
}

fn bytes32(row: &SqliteRow, name: &'static str) -> Result<[u8; 32], LedgerError> {
    let bytes: &[u8] = column(row, name)?;
    bytes.try_into().map_err(|_| LedgerError::Corrupt { what: name })
}

fn unsigned(row: &SqliteRow, name: &'static str) -> Result<u64, LedgerError> {
    let number: i64 = column(row, name)?;
    number.try_into().map_err(|_| LedgerError::Corrupt { what: name })
}

fn uuid(row: &SqliteRow, name: &'static str) -> Result<Uuid, LedgerError> {
    let text: &str = column(row, name)?;
    text.parse().map_err(|_| LedgerError::Corrupt { what: name })
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
