//! The ledger of a process: one of the stores, opened as the configuration says.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use faregate_ledger::{
    ClaimStore, DebtRecords, DeferredStore, PaymentRecords, PostgresConfig, PostgresLedger, Sealer,
    SettlementStore, SqliteLedger, sealing,
};

use faregate_telemetry::Redacted;

use crate::config::{LedgerPlace, LedgerSettings, SecretRef};

/// An open ledger. Cheap to clone.
#[derive(Clone)]
pub(crate) enum Ledger {
    Sqlite(SqliteLedger),
    Postgres(PostgresLedger),
}

/// What a process does with its ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Makes it if it is not there, and brings its schema up to date.
    Write,
    /// Beside the processes that write it; changes nothing.
    Read,
}

impl Ledger {
    pub(crate) fn claims(&self) -> Arc<dyn ClaimStore> {
        match self {
            Self::Sqlite(ledger) => Arc::new(ledger.clone()),
            Self::Postgres(ledger) => Arc::new(ledger.clone()),
        }
    }

    pub(crate) fn deferred(&self) -> Arc<dyn DeferredStore> {
        match self {
            Self::Sqlite(ledger) => Arc::new(ledger.clone()),
            Self::Postgres(ledger) => Arc::new(ledger.clone()),
        }
    }

    pub(crate) fn settlements(&self) -> Arc<dyn SettlementStore> {
        match self {
            Self::Sqlite(ledger) => Arc::new(ledger.clone()),
            Self::Postgres(ledger) => Arc::new(ledger.clone()),
        }
    }

    pub(crate) fn records(&self) -> Arc<dyn PaymentRecords> {
        match self {
            Self::Sqlite(ledger) => Arc::new(ledger.clone()),
            Self::Postgres(ledger) => Arc::new(ledger.clone()),
        }
    }

    pub(crate) fn debts(&self) -> Arc<dyn DebtRecords> {
        match self {
            Self::Sqlite(ledger) => Arc::new(ledger.clone()),
            Self::Postgres(ledger) => Arc::new(ledger.clone()),
        }
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(ledger) => ledger.close().await,
            Self::Postgres(ledger) => ledger.close().await,
        }
    }
}

pub(crate) async fn open(settings: &LedgerSettings, access: Access) -> anyhow::Result<Ledger> {
    match &settings.place {
        LedgerPlace::Sqlite(file) => {
            let place = || format!("ledger {}", file.display());
            if access == Access::Read && !file.exists() {
                bail!("{}: there is none", place());
            }
            let sealer = sealer(settings, Some(file)).with_context(place)?;
            let opened = match access {
                Access::Write => SqliteLedger::open(file, sealer).await,
                Access::Read => SqliteLedger::open_to_read(file, sealer).await,
            };
            opened.with_context(place).map(Ledger::Sqlite)
        }
        LedgerPlace::Postgres { url, max_connections } => {
            const PLACE: &str = "ledger in PostgreSQL";
            let sealer = sealer(settings, None).context(PLACE)?;
            let config =
                PostgresConfig { max_connections: *max_connections, ..PostgresConfig::default() };
            let opened = match access {
                Access::Write => PostgresLedger::connect(url.expose(), sealer, config).await,
                Access::Read => PostgresLedger::connect_to_read(url.expose(), sealer, config).await,
            };
            opened.context(PLACE).map(Ledger::Postgres)
        }
    }
}

fn sealer(settings: &LedgerSettings, file: Option<&Path>) -> anyhow::Result<Sealer> {
    let first = first_key(settings, file)?;
    let older = settings.old_sealing_keys.iter().map(resolved).collect::<Result<Vec<_>, _>>()?;
    let older: Vec<&str> = older.iter().map(|key| key.expose().as_str()).collect();
    Ok(Sealer::new(first.expose(), &older)?)
}

/// The key that seals what is written to the ledger.
pub(crate) fn sealing_key(settings: &LedgerSettings) -> anyhow::Result<Redacted<String>> {
    let file = match &settings.place {
        LedgerPlace::Sqlite(file) => Some(file.as_path()),
        LedgerPlace::Postgres { .. } => None,
    };
    first_key(settings, file)
}

fn first_key(settings: &LedgerSettings, file: Option<&Path>) -> anyhow::Result<Redacted<String>> {
    match (&settings.sealing_key, file) {
        (Some(reference), _) => resolved(reference),
        (None, Some(file)) => resolved(&SecretRef::File(key_beside(file)?)),
        (None, None) => bail!("sealing key: none is named"),
    }
}

fn resolved(reference: &SecretRef) -> anyhow::Result<Redacted<String>> {
    reference.resolve().map_err(|reason| anyhow!("sealing key: {reason}"))
}

/// The key file of a ledger whose configuration names none; made once, for its owner only.
fn key_beside(ledger: &Path) -> anyhow::Result<String> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    const OWNER_ONLY: u32 = 0o600;
    let path = format!("{}.seal", ledger.display());
    let mut options = std::fs::OpenOptions::new();
    match options.write(true).create_new(true).mode(OWNER_ONLY).open(&path) {
        Ok(mut file) => {
            file.write_all(sealing::new_key()?.as_bytes())?;
            file.sync_all()?;
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => bail!("{path}: {error}"),
    }
    Ok(path)
}
