//! What only PostgreSQL can show: several processes, a server that fails, settings that lose
//! commits, and a network in between.

mod failures;
mod guarantees;
mod hints;
mod proxy;
mod races;
mod start;

use faregate_ledger::PostgresConfig;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _};

use crate::cluster::Cluster;

/// A connection beside the ledger's.
async fn raw(cluster: &Cluster, database: &str) -> PgConnection {
    PgConnection::connect(&cluster.url(database)).await.unwrap()
}

async fn run(connection: &mut PgConnection, sql: &str) {
    connection.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
}

/// Until a session of this database waits for a lock.
async fn until_somebody_waits(connection: &mut PgConnection) {
    let waits = "select count(*) from pg_stat_activity \
         where datname = current_database() and wait_event_type = 'Lock'";
    while sqlx::query(waits).fetch_one(&mut *connection).await.unwrap().get::<i64, _>(0) == 0 {}
}

fn config() -> PostgresConfig {
    PostgresConfig { max_connections: 8, ..PostgresConfig::default() }
}
