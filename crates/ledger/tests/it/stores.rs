//! The stores under test, and how a suite is run on each of them.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use faregate_ledger::{
    DebtRecords, DeferredStore, MemoryLedger, PayeeStore, PaymentRecords, PostgresConfig,
    PostgresLedger, Sealer, SettlementStore, SqliteLedger,
};
use uuid::Uuid;

use crate::cluster;

/// What every test of a suite gets.
pub(crate) trait Store:
    DeferredStore
    + SettlementStore
    + PayeeStore
    + PaymentRecords
    + DebtRecords
    + Clone
    + std::fmt::Debug
    + 'static
{
}

impl<T> Store for T where
    T: DeferredStore
        + SettlementStore
        + PayeeStore
        + PaymentRecords
        + DebtRecords
        + Clone
        + std::fmt::Debug
        + 'static
{
}

pub(crate) async fn sqlite() -> SqliteLedger {
    SqliteLedger::open_in_memory().await.unwrap()
}

pub(crate) async fn memory() -> MemoryLedger {
    MemoryLedger::new(Arc::new(unix_ms), Uuid::from_u128(1))
}

/// In a database of its own.
pub(crate) async fn postgres() -> PostgresLedger {
    let cluster = cluster::shared();
    connect(&cluster.url(&cluster.database().await)).await
}

pub(crate) async fn connect(url: &str) -> PostgresLedger {
    let config = PostgresConfig { max_connections: 8, ..PostgresConfig::default() };
    PostgresLedger::connect(url, sealer(), config).await.unwrap()
}

pub(crate) fn sealer() -> Sealer {
    Sealer::new(&"11".repeat(32), &[]).unwrap()
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_millis().try_into().unwrap()
}

/// Runs each named test of the module on a fresh store of every kind.
macro_rules! on_every_store {
    ($($test:ident,)+) => {
        $crate::stores::on_every_store!(@in sqlite: $($test,)+);
        $crate::stores::on_every_store!(@in memory: $($test,)+);
        $crate::stores::on_every_store!(@in postgres: $($test,)+);
    };
    (@in $store:ident: $($test:ident,)+) => {
        mod $store {
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test($crate::stores::$store().await).await;
                }
            )+
        }
    };
}
pub(crate) use on_every_store;
