//! The shared store: one PostgreSQL database, any number of processes.
//!
//! Every step is one transaction at READ COMMITTED whose updates name the state and the token they
//! expect, so that of two writers one changes nothing. Rows are locked in one order, lease,
//! settlement, slot; a transaction that the database gave up all the same, for a deadlock or a
//! conflict, is made again as a whole. Time is the database's clock.

mod claim_rows;
mod claims;
mod debts;
mod deferral;
mod exposure;
mod grants;
mod handler_mark;
mod hints;
mod kept;
mod leases;
mod moves;
mod parts;
mod payees;
mod proofs;
mod records;
mod rows;
mod session;
mod settlement_rows;
mod settlements;
mod slots;

use std::sync::Arc;
use std::time::Duration;

use faregate_protocol::PaymentKey;
use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Executor as _, Postgres, Row as _, Transaction};
use tokio::sync::{Semaphore, broadcast};
use uuid::Uuid;

use self::hints::Hints;
use self::rows::text;
use crate::migrations;
use crate::{Change, Hint, LedgerError, Sealer};

/// Times a transaction is made again after the database gave it up.
const RETRIES: u32 = 3;
/// Longest that a call takes, with all it waits for; then its outcome is unknown.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// Milliseconds of the database's clock, as SQL.
macro_rules! now_ms {
    () => {
        "floor(extract(epoch from clock_timestamp()) * 1000)::bigint"
    };
}
use now_ms;

/// The same, read once for a statement, so that an index can be searched for it.
macro_rules! one_now_ms {
    () => {
        "(select floor(extract(epoch from clock_timestamp()) * 1000)::bigint)"
    };
}
use one_now_ms;

const MIGRATIONS: &[migrations::Change] = &[
    (
        1,
        "claims and settlements",
        include_str!("../migrations/postgres/0001_claims_and_settlements.sql"),
    ),
    (2, "owners of payees", include_str!("../migrations/postgres/0002_pay_to_owners.sql")),
    (3, "handlers started", include_str!("../migrations/postgres/0003_handler_started.sql")),
    (5, "parts of answers", include_str!("../migrations/postgres/0005_kept_parts.sql")),
    (6, "deferred money", include_str!("../migrations/postgres/0006_deferred.sql")),
    (8, "order of wanted", include_str!("../migrations/postgres/0008_order_of_wanted.sql")),
];

const INSERT_DEPLOYMENT: &str = concat!(
    "insert into deployment (one, id, made_at_ms) values (1, $1, ",
    now_ms!(),
    ") on conflict do nothing"
);

const INSERT_JOURNAL: &str = concat!(
    "insert into journal (at_ms, actor, subject, payment_key, from_state, to_state, evidence) ",
    "values (",
    now_ms!(),
    ", $1, $2, $3, $4, $5, $6)"
);

/// Limits of a connection to PostgreSQL. Two more connections than the pool's carry hints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresConfig {
    /// Most connections of the pool.
    pub max_connections: u32,
    /// How long a call waits for a connection.
    pub acquire_timeout: Duration,
    /// The database ends a statement that takes longer.
    pub statement_timeout: Duration,
    /// The database ends a statement that waits longer for a lock.
    pub lock_timeout: Duration,
    /// The database ends a session that leaves a transaction open for longer, so that a process
    /// that froze in the middle does not keep its locks.
    pub idle_in_transaction_timeout: Duration,
}

impl Default for PostgresConfig {
    fn default() -> Self {
        Self {
            max_connections: 20,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(5),
            lock_timeout: Duration::from_secs(3),
            idle_in_transaction_timeout: Duration::from_secs(10),
        }
    }
}

/// A ledger in a PostgreSQL database. Cheap to clone.
#[derive(Clone)]
pub struct PostgresLedger {
    pool: PgPool,
    deployment: Uuid,
    sealer: Arc<Sealer>,
    /// For who writes parts of answers, so that connections are left to those who have less to
    /// write.
    turns_of_parts: Arc<Semaphore>,
    hints: Arc<Hints>,
}

impl std::fmt::Debug for PostgresLedger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresLedger")
            .field("deployment", &self.deployment)
            .finish_non_exhaustive()
    }
}

/// Why a transaction was not made.
#[derive(Debug)]
enum Failure {
    Database(sqlx::Error),
    Ledger(LedgerError),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

impl Failure {
    /// The database took the whole transaction back and asks for it again.
    fn asks_again(&self) -> bool {
        const SERIALIZATION_FAILURE: &str = "40001";
        const DEADLOCK_DETECTED: &str = "40P01";
        let Self::Database(sqlx::Error::Database(error)) = self else { return false };
        matches!(error.code().as_deref(), Some(SERIALIZATION_FAILURE | DEADLOCK_DETECTED))
    }
}

impl From<Failure> for LedgerError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Database(error) => unavailable(error),
            Failure::Ledger(error) => error,
        }
    }
}

impl PostgresLedger {
    /// Connects to `url` (`postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full`),
    /// makes or changes the schema under a lock that other starting processes wait for, and begins
    /// to listen for hints. Signed payments and transactions are sealed with `sealer`.
    ///
    /// # Errors
    /// [`LedgerError::BadUrl`], [`LedgerError::Unavailable`], [`LedgerError::NotDurable`],
    /// [`LedgerError::Standby`], [`LedgerError::NewerSchema`]. None of them holds the URL.
    pub async fn connect(
        url: &str,
        sealer: Sealer,
        config: PostgresConfig,
    ) -> Result<Self, LedgerError> {
        let options = session::options(url)?;
        session::prepare(&options, &config, &migrations::migrator(MIGRATIONS)).await?;
        let ledger = Self::over(&session::limited(options, &config), sealer, &config);
        let made = sqlx::query(INSERT_DEPLOYMENT).bind(Uuid::new_v4().to_string());
        ledger.pool.execute(made).await.map_err(unavailable)?;
        ledger.introduced().await
    }

    /// Connects to read; every write fails, and the schema is left as it is.
    ///
    /// # Errors
    /// As [`PostgresLedger::connect`], and [`LedgerError::OlderSchema`].
    pub async fn connect_to_read(
        url: &str,
        sealer: Sealer,
        config: PostgresConfig,
    ) -> Result<Self, LedgerError> {
        let options = session::limited(session::options(url)?, &config);
        let options = options.options([("default_transaction_read_only", "on")]);
        let ledger = Self::over(&options, sealer, &config);
        let row = ledger.pool.fetch_one(migrations::LAST_CHANGE).await;
        let version = row.and_then(|row| row.try_get(0)).map_err(unavailable)?;
        migrations::expect_current(MIGRATIONS, version)?;
        ledger.introduced().await
    }

    fn over(options: &PgConnectOptions, sealer: Sealer, config: &PostgresConfig) -> Self {
        let pool = |most| {
            PgPoolOptions::new()
                .max_connections(most)
                .acquire_timeout(config.acquire_timeout)
                .after_connect(|connection, _| Box::pin(session::checked(connection)))
                .connect_lazy_with(options.clone())
        };
        Self {
            pool: pool(config.max_connections),
            deployment: Uuid::nil(),
            sealer: Arc::new(sealer),
            turns_of_parts: Arc::new(Semaphore::new(turns_of_parts(config.max_connections))),
            hints: Arc::new(Hints::start(pool(hints::CONNECTIONS))),
        }
    }

    /// With the deployment that the database names.
    async fn introduced(mut self) -> Result<Self, LedgerError> {
        let row = self.pool.fetch_one("select id from deployment where one = 1").await;
        let id: String = row.and_then(|row| row.try_get(0)).map_err(unavailable)?;
        self.deployment = id.parse().map_err(|_| LedgerError::Corrupt { what: "deployment.id" })?;
        Ok(self)
    }

    /// Whether [`PostgresLedger::connect`] can read `url`; nothing is asked of a server.
    ///
    /// # Errors
    /// [`LedgerError::BadUrl`], without the URL.
    pub fn check_url(url: &str) -> Result<(), LedgerError> {
        session::options(url).map(|_| ())
    }

    /// Ends all connections after their running statements.
    pub async fn close(&self) {
        self.hints.close().await;
        self.pool.close().await;
    }

    /// Makes a whole transaction, again if the database asks for it.
    async fn retried<T, Once>(&self, make: impl Fn() -> Once) -> Result<T, LedgerError>
    where
        Once: Future<Output = Result<T, Failure>>,
    {
        let call = async {
            let mut retries = 0;
            loop {
                match make().await {
                    Err(failure) if failure.asks_again() && retries < RETRIES => retries += 1,
                    done => return done.map_err(LedgerError::from),
                }
            }
        };
        tokio::time::timeout(CALL_TIMEOUT, call).await.unwrap_or_else(|_| {
            Err(LedgerError::Unavailable { detail: "no answer in time".to_owned() })
        })
    }

    async fn begin(&self) -> Result<Transaction<'static, Postgres>, Failure> {
        self.begin_with("begin isolation level read committed").await
    }

    /// Reads that belong together see one moment.
    async fn begin_reading(&self) -> Result<Transaction<'static, Postgres>, Failure> {
        self.begin_with("begin isolation level repeatable read, read only").await
    }

    /// In a task of its own, which is not dropped with its caller: sqlx does not take back a
    /// transaction whose beginning nobody waits for, and the session would stay in it.
    async fn begin_with(
        &self,
        statement: &'static str,
    ) -> Result<Transaction<'static, Postgres>, Failure> {
        let pool = self.pool.clone();
        let begun = tokio::spawn(async move { pool.begin_with(statement).await }).await;
        let ended = |_| LedgerError::Unavailable { detail: "this process ends".to_owned() };
        Ok(begun.map_err(ended)??)
    }

    fn tell(&self, key: PaymentKey, change: Change) {
        self.hints.tell(Hint { key, change });
    }

    fn listen(&self) -> broadcast::Receiver<Hint> {
        self.hints.listen()
    }
}

/// A quarter of the connections, and at least one.
fn turns_of_parts(connections: u32) -> usize {
    usize::try_from(connections / 4).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS)
}

/// The database's own words hold names of tables and constraints, never content of rows: values
/// are always bound.
#[allow(clippy::needless_pass_by_value)] // the shape `map_err` wants
fn unavailable(error: sqlx::Error) -> LedgerError {
    LedgerError::Unavailable { detail: error.to_string() }
}

fn refused(constraint: &'static str) -> Failure {
    LedgerError::Unavailable { detail: format!("constraint failed: {constraint}") }.into()
}

/// One journal row, in the caller's transaction.
async fn journal(
    tx: &mut Transaction<'static, Postgres>,
    (actor, subject): (&str, &str),
    key: &PaymentKey,
    (from, to): (&str, &str),
    evidence: &Value,
) -> Result<(), Failure> {
    sqlx::query(INSERT_JOURNAL)
        .bind(actor)
        .bind(subject)
        .bind(key.0.as_slice())
        .bind(from)
        .bind(to)
        .bind(text(&evidence.to_string()))
        .execute(&mut **tx)
        .await?;
    Ok(())
}
