//! The log is carried over into the file by a connection and a thread of its own: everybody would
//! wait for thousands of pages if the writer did it between two commits.
//!
//! What is written meanwhile stays in the log, which begins anew only when all of it is in the file.
//! So the writer carries that rest over once the other has ended: few pages. The two never do it at
//! the same time.

use std::cell::Cell;
use std::ffi::c_int;
use std::fs::File;
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::hooks::Wal;

use super::asking::{Answer, Turn};
use super::statements::exactly_one;
use super::threads::{Queue, Threads};
use crate::LedgerError;

/// Pages of the log after which it is carried over: by then most were changed many times, and are
/// carried over once. With pages of 4 KiB that is 32 MiB.
const PAGES: c_int = 8192;
const NAME: &str = "ledger-carrier";
/// Before this version SQLite could lose commits where two connections met at the end of a log
/// (<https://sqlite.org/wal.html#walresetbug>).
const FIRST_SOUND: c_int = 3_051_003;

thread_local! {
    /// Pages of the log after the last commit of this thread; none if it was carried over since.
    static LOGGED: Cell<c_int> = const { Cell::new(0) };
}

/// What the other has.
pub(super) struct Beside {
    pub(super) connection: Connection,
    /// The database. Whoever closes it lets go of the locks of all connections of this process, so
    /// it is kept until they are closed.
    pub(super) file: Arc<File>,
}

/// What the writer knows of the other.
pub(super) struct Carrying {
    threads: Threads,
    pages: c_int,
    beside: Option<Answer<()>>,
}

impl Carrying {
    /// For this writer, with a connection for the other.
    pub(super) fn of(writer: &Connection, beside: Beside) -> Result<Self, LedgerError> {
        Self::after(PAGES, writer, beside)
    }

    fn after(pages: c_int, writer: &Connection, beside: Beside) -> Result<Self, LedgerError> {
        if rusqlite::version_number() < FIRST_SOUND {
            let detail = format!("SQLite {} can lose commits", rusqlite::version());
            return Err(LedgerError::Unavailable { detail });
        }
        // In the place of what SQLite does by itself.
        writer.wal_hook(Some(note));
        let work = move |queue: &Queue| {
            while let Some(mut job) = queue.next() {
                job.run(&beside.connection);
                // Otherwise the writer waits for all of it: the database flushes its file only when
                // the whole log is in it.
                let flushed = beside.file.sync_data().map_err(|error| error.to_string());
                job.tell(flushed.as_ref().copied().map_err(String::as_str));
            }
        };
        Ok(Self { threads: Threads::start(NAME, vec![work])?, pages, beside: None })
    }

    /// After a commit, on the writer's thread.
    pub(super) fn go_on(&mut self, writer: &Connection) {
        let Some(beside) = &mut self.beside else {
            if LOGGED.get() >= self.pages {
                self.beside = Some(self.threads.ask(|on| carry_over(on).map(Turn::TakenBack)));
            }
            return;
        };
        if !beside.is_there() {
            return;
        }
        // Whatever the other came to: it is gone on with here, and said here if it fails.
        self.beside = None;
        LOGGED.set(0);
        if let Err(error) = carry_over(writer) {
            tracing::warn!(%error, "the log of the ledger could not be carried over");
        }
    }
}

/// As much as no reader is in the way of.
fn carry_over(on: &Connection) -> Result<(), LedgerError> {
    exactly_one(on, "pragma wal_checkpoint(passive)", (), |_| Ok(()))
}

#[allow(clippy::unnecessary_wraps)] // the shape of a hook
fn note(_: &Wal, pages: c_int) -> rusqlite::Result<()> {
    LOGGED.set(pages);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::sqlite::connections;
    use crate::sqlite::statements::run;

    const AFTER: c_int = 64;
    const LONG: Duration = Duration::from_secs(60);

    fn beside(connection: Connection, file: &Path) -> Beside {
        Beside { connection, file: Arc::new(File::open(file).unwrap()) }
    }

    #[test]
    fn the_log_begins_anew_although_the_writer_never_stops() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ledger.db");
        let writer = connections::to_write(&file).unwrap();
        writer.execute_batch("create table t (n integer primary key, x blob)").unwrap();
        let beside = beside(connections::to_write(&file).unwrap(), &file);
        let mut carrying = Carrying::after(AFTER, &writer, beside).unwrap();
        let (began, mut most, mut rounds, mut written) = (Instant::now(), 0, 0, 0);
        while rounds < 5 {
            assert!(began.elapsed() < LONG, "{rounds} rounds, {most} pages");
            let before = LOGGED.get();
            run(&writer, "insert into t (x) values (zeroblob(5000))", ()).unwrap();
            written += 1;
            most = most.max(LOGGED.get());
            // Not what was set to zero by hand, but what the commit found.
            rounds += usize::from(before == 0 && LOGGED.get() < AFTER && most >= AFTER);
            carrying.go_on(&writer);
        }
        drop((carrying, writer));
        let count = |on: &Connection| {
            on.query_row("select count(*) from t", (), |row| row.get::<_, i64>(0)).unwrap()
        };
        assert_eq!(count(&Connection::open(&file).unwrap()), written);
    }

    #[test]
    fn without_the_other_the_writer_does_all_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ledger.db");
        let writer = connections::to_write(&file).unwrap();
        writer.execute_batch("create table t (n integer primary key, x blob)").unwrap();
        // Its log is that of another database, so it does nothing.
        let beside = beside(Connection::open_in_memory().unwrap(), &file);
        let mut carrying = Carrying::after(AFTER, &writer, beside).unwrap();
        let (began, mut most) = (Instant::now(), 0);
        loop {
            assert!(began.elapsed() < LONG, "{most} pages");
            run(&writer, "insert into t (x) values (zeroblob(5000))", ()).unwrap();
            if most >= AFTER && LOGGED.get() < AFTER {
                return;
            }
            most = most.max(LOGGED.get());
            carrying.go_on(&writer);
        }
    }
}
