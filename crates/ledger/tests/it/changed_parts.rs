//! Parts that somebody with the database in hand has changed, exchanged or removed: none of them is
//! given out as what it was not.

use faregate_ledger::{
    BodyParts, ClaimMove, ClaimState, LedgerError, PostgresConfig, PostgresLedger, Sealer,
    SqliteLedger,
};
use rusqlite::Connection;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::cluster;
use crate::parts::{answer, kept, won};
use crate::samples::new_claim;
use crate::stores::{Store, sealer};

/// A connection beside the ledger's.
enum Raw {
    Sqlite(Connection),
    Postgres(PgConnection),
}

impl Raw {
    async fn run(&mut self, sql: &str) {
        match self {
            Self::Sqlite(connection) => {
                connection.execute(sql, ()).unwrap();
            }
            Self::Postgres(connection) => {
                connection.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
            }
        }
    }
}

fn stranger() -> Sealer {
    Sealer::new(&"22".repeat(32), &[]).unwrap()
}

#[tokio::test]
async fn changed_parts_are_not_given_out_by_sqlite() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let ledger = SqliteLedger::open(&path, sealer()).await.unwrap();
    let raw = Connection::open(&path).unwrap();
    nothing_changed_is_given_out(&ledger, Raw::Sqlite(raw)).await;
    ledger.close().await;
    drop(ledger);
    let other = SqliteLedger::open(&path, stranger()).await.unwrap();
    another_key_opens_nothing(&other).await;
}

#[tokio::test]
async fn changed_parts_are_not_given_out_by_postgres() {
    let cluster = cluster::shared();
    let url = cluster.url(&cluster.database().await);
    let connect = |sealer| PostgresLedger::connect(&url, sealer, PostgresConfig::default());
    let ledger = connect(sealer()).await.unwrap();
    let raw = PgConnection::connect(&url).await.unwrap();
    nothing_changed_is_given_out(&ledger, Raw::Postgres(raw)).await;
    another_key_opens_nothing(&connect(stranger()).await.unwrap()).await;
}

const BODY: BodyParts = BodyParts { epoch: 0, count: 2, bytes: 6 };

async fn find(ledger: &impl Store, n: u8, number: u32) -> Result<Option<Vec<u8>>, LedgerError> {
    ledger.find_part(&new_claim(n).key, &BODY, number).await
}

async fn assert_unsealable(ledger: &impl Store, n: u8, numbers: &[u32]) {
    for number in numbers {
        let found = find(ledger, n, *number).await;
        assert!(matches!(found, Err(LedgerError::Unsealable)), "{n} {number}: {found:?}");
    }
}

async fn nothing_changed_is_given_out(ledger: &impl Store, mut raw: Raw) {
    let hex = |n: u8| format!("{n:02x}").repeat(32);
    let key = |raw: &Raw, n: u8| match raw {
        Raw::Sqlite(_) => format!("x'{}'", hex(n)),
        Raw::Postgres(_) => format!("'\\x{}'::bytea", hex(n)),
    };
    for n in 1..=6 {
        let hold = won(ledger, &new_claim(n)).await;
        if n == 4 {
            // An earlier run, whose parts somebody has put aside.
            kept(ledger, &hold, &[b"old", b"run"]).await;
            let table = format!(
                "create table aside as select * from kept_parts where payment_key = {}",
                key(&raw, n)
            );
            raw.run(&table).await;
            let (from, to) = (ClaimState::Executed, ClaimState::Released);
            let step = ClaimMove { from, to, transaction: None, evidence: json!({}) };
            assert!(ledger.move_claim(&hold, step).await.unwrap());
            let again = won(ledger, &new_claim(n)).await;
            kept(ledger, &again, &[b"new", b"run"]).await;
        } else {
            kept(ledger, &hold, &[b"sun", b"set"]).await;
        }
    }
    assert_eq!(find(ledger, 1, 0).await.unwrap().unwrap(), b"sun");

    let one = key(&raw, 1);
    for (from, to) in [(0, 9), (1, 0), (9, 1)] {
        let sql = "update kept_parts set number";
        raw.run(&format!("{sql} = {to} where number = {from} and payment_key = {one}")).await;
    }
    assert_unsealable(ledger, 1, &[0, 1]).await;

    let (two, three, four) = (key(&raw, 2), key(&raw, 3), key(&raw, 4));
    raw.run(&format!(
        "update kept_parts set part = (select part from kept_parts as other \
         where other.payment_key = {three} and other.number = kept_parts.number) \
         where payment_key = {two}"
    ))
    .await;
    assert_unsealable(ledger, 2, &[0, 1]).await;

    raw.run(&format!(
        "update kept_parts set part = (select part from aside \
         where aside.number = kept_parts.number) where payment_key = {four}"
    ))
    .await;
    let second = BodyParts { epoch: 1, ..BODY };
    let found = ledger.find_part(&new_claim(4).key, &second, 0).await;
    assert!(matches!(found, Err(LedgerError::Unsealable)), "{found:?}");

    let five = key(&raw, 5);
    raw.run(&format!(
        "update kept_parts set part = substr(part, 1, length(part) - 1) where payment_key = {five}"
    ))
    .await;
    assert_unsealable(ledger, 5, &[0, 1]).await;

    let (six, key) = (key(&raw, 6), new_claim(6).key);
    assert_eq!(ledger.find_answer(&key).await.unwrap(), Some(answer(BODY)));
    raw.run(&format!("delete from kept_parts where number = 1 and payment_key = {six}")).await;
    assert_eq!(find(ledger, 6, 1).await.unwrap(), None);
    assert_eq!(ledger.find_answer(&key).await.unwrap(), None, "what is left is no answer");
}

async fn another_key_opens_nothing(ledger: &impl Store) {
    assert_unsealable(ledger, 3, &[0, 1]).await;
    let found = ledger.find_answer(&new_claim(3).key).await;
    assert!(matches!(found, Err(LedgerError::Unsealable)), "{found:?}");
}
