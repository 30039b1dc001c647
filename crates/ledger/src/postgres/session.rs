//! What a connection must be before it is used: to a primary that keeps what it acknowledges, with
//! limits on how long anything takes, and to a schema that this program knows.

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use super::{PostgresConfig, unavailable};
use crate::{LedgerError, migrations};

/// How long a start waits for other processes that change the schema, and for its own change.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(60);

/// Parameters that a URL may have. Others would be ignored, and a value could end in a log.
const PARAMETERS: [&str; 10] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
];

const APPLICATION: &str = "faregate";

const GUARANTEES: &str = "select current_setting('synchronous_commit') as synchronous_commit, \
     current_setting('fsync') as fsync, \
     current_setting('full_page_writes') as full_page_writes, \
     pg_is_in_recovery() as standby";

/// Reads the URL.
pub(super) fn options(url: &str) -> Result<PgConnectOptions, LedgerError> {
    let bad = |reason: &str| LedgerError::BadUrl { reason: reason.to_owned() };
    let form = "write postgres://USER:PASSWORD@HOST:PORT/DATABASE";
    let parsed = url::Url::parse(url).map_err(|_| bad(form))?;
    if !matches!(parsed.scheme(), "postgres" | "postgresql") {
        return Err(bad(form));
    }
    for (name, _) in parsed.query_pairs() {
        if !PARAMETERS.contains(&&*name) {
            let known = PARAMETERS.join(", ");
            return Err(bad(&format!("it has a parameter other than {known}")));
        }
    }
    let named = parsed.query_pairs().any(|(name, _)| name == "application_name");
    let options = PgConnectOptions::from_str(url).map_err(|_| bad("a parameter has no sense"))?;
    // What the database only mentions would be logged at every start.
    let options = options.disable_statement_logging().options([("client_min_messages", "warning")]);
    Ok(if named { options } else { options.application_name(APPLICATION) })
}

/// The same with the limits of calls.
pub(super) fn limited(options: PgConnectOptions, config: &PostgresConfig) -> PgConnectOptions {
    options.options([
        ("statement_timeout", ms(config.statement_timeout)),
        ("lock_timeout", ms(config.lock_timeout)),
        ("idle_in_transaction_session_timeout", ms(config.idle_in_transaction_timeout)),
    ])
}

/// Checks the database and brings its schema up to date, over a connection of its own.
pub(super) async fn prepare(
    options: &PgConnectOptions,
    config: &PostgresConfig,
    migrator: &Migrator,
) -> Result<(), LedgerError> {
    let (host, port) = (options.get_host(), options.get_port());
    let place =
        |what: String| LedgerError::Unavailable { detail: format!("{host}:{port}: {what}") };
    let patient = options.clone().options([
        ("statement_timeout", ms(MIGRATION_TIMEOUT)),
        ("lock_timeout", ms(MIGRATION_TIMEOUT)),
        ("idle_in_transaction_session_timeout", ms(MIGRATION_TIMEOUT)),
    ]);
    let connecting = tokio::time::timeout(config.acquire_timeout, patient.connect());
    let mut connection = match connecting.await {
        Ok(connected) => connected.map_err(|error| place(error.to_string()))?,
        Err(_) => return Err(place("no answer in time".to_owned())),
    };
    check(&mut connection).await?;
    // The lock that the migrator takes is the database's, so it ends with this connection.
    // `run` would make this future one that cannot be sent to another thread.
    migrator.run_direct(None, &mut connection, false).await.map_err(migrations::failed)?;
    let _ = connection.close().await;
    Ok(())
}

/// A new connection of the pool: the settings can be other ones for it than they were at start.
pub(super) async fn checked(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    check(connection).await.map_err(|error| sqlx::Error::Configuration(error.into()))
}

async fn check(connection: &mut PgConnection) -> Result<(), LedgerError> {
    let row = sqlx::query(GUARANTEES).fetch_one(connection).await.map_err(unavailable)?;
    if row.try_get("standby").map_err(unavailable)? {
        return Err(LedgerError::Standby);
    }
    for (setting, enough) in [
        ("synchronous_commit", ["on", "remote_apply"].as_slice()),
        ("fsync", ["on"].as_slice()),
        ("full_page_writes", ["on"].as_slice()),
    ] {
        let found: String = row.try_get(setting).map_err(unavailable)?;
        if !enough.contains(&&*found) {
            return Err(LedgerError::NotDurable { setting, found });
        }
    }
    Ok(())
}

fn ms(time: Duration) -> String {
    format!("{}ms", time.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_cannot_be_used_is_not_repeated() {
        for url in [
            "postgres://u:hunter2@h:99999/db",
            "mysql://u:hunter2@h/db",
            "u:hunter2@h/db",
            "postgres://u:hunter2@h/db?sslmode=hunter2",
            "postgres://u:hunter2@h/db?pasword=hunter2",
            "postgres://u:hunter2@h/db?hunter2=1",
            "postgres://u@h/db?port=hunter2",
        ] {
            let error = options(url).unwrap_err();
            assert!(matches!(error, LedgerError::BadUrl { .. }), "{error:?}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn a_url_may_name_a_socket_and_tls() {
        let options = options("postgres://u@h:6000/db?host=/run/pg&sslmode=verify-full").unwrap();
        assert_eq!(options.get_socket().unwrap().to_str(), Some("/run/pg"));
        assert_eq!((options.get_database(), options.get_port()), (Some("db"), 6000));
        assert_eq!(options.get_application_name(), Some(APPLICATION));
        assert!(matches!(options.get_ssl_mode(), sqlx::postgres::PgSslMode::VerifyFull));
    }
}
