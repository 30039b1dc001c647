//! The books at the end of a run in which money followed its answers: empty, and nobody owes.

use crate::database::Database;

/// Everything that is left on them.
pub(crate) fn faults(database: &Database) -> Vec<String> {
    let nothing = match database {
        Database::Sqlite(_) => "zeroblob(32)",
        Database::Postgres(_) => "0",
    };
    let checks = [
        (
            format!("select count(*) from exposures where unsettled <> {nothing}"),
            "exposure is left",
        ),
        ("select count(*) from debts where debtor = 1".to_owned(), "somebody served owes"),
        ("select count(*) from deferrals where state <> 3".to_owned(), "deferred and not settled"),
    ];
    let mut found = Vec::new();
    for (sql, what) in checks {
        match count(database, &sql) {
            Ok(0) => {}
            Ok(count) => found.push(format!("{what}: {count}")),
            Err(error) => found.push(error),
        }
    }
    // A run in which nothing was deferred shows nothing.
    match count(database, "select count(*) from deferrals") {
        Ok(0) => found.push("nothing was deferred".to_owned()),
        Ok(count) => println!("deferred={count}"),
        Err(error) => found.push(error),
    }
    found
}

fn count(database: &Database, sql: &str) -> Result<u64, String> {
    let rows = database.rows(sql)?;
    let text = rows.first().and_then(|row| row.first()).ok_or("no count")?;
    text.parse().map_err(|error| format!("{text}: {error}"))
}
