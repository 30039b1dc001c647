//! What only PostgreSQL can show: several processes, a server that fails, settings that lose
//! commits, and a network in between.

mod failures;
mod guarantees;
mod hints;
mod proxy;
mod races;
mod start;

use faregate_ledger::PostgresConfig;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::cluster::Cluster;

/// A connection beside the ledger's.
async fn raw(cluster: &Cluster, database: &str) -> PgConnection {
    PgConnection::connect(&cluster.url(database)).await.unwrap()
}

async fn run(connection: &mut PgConnection, sql: &str) {
    connection.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
}

fn config() -> PostgresConfig {
    PostgresConfig { max_connections: 8, ..PostgresConfig::default() }
}
