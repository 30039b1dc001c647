//! The one writer: a thread, and commits that are shared. Whatever waits when it looks is done in
//! one transaction, and all are told once it is on disk. So many writers at once cost one flush of
//! the disk, and one alone waits for nobody.
//!
//! An operation that fails is taken back, and nothing else: if it has changed anything, all of them
//! are done again, each in a savepoint of its own. If the commit fails, all who took part
//! are told that nothing is known. Whoever has gone away before its turn is skipped; afterwards it
//! is done all the same, so a caller that was dropped in the middle has to read again.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rusqlite::Connection;

use super::asking::{Job, Turn};
use super::carrying::{Beside, Carrying};
use super::statements::run;
use super::threads::{Queue, Threads};
use crate::LedgerError;

/// Operations that share one commit: the first of them waits for so many others.
const MOST: usize = 256;
/// Transactions that are made with savepoints after one of them had to be done again: what takes
/// back comes in numbers.
const APART_FOR: u32 = 64;
const NAME: &str = "ledger-writer";

/// The thread that writes.
pub(super) struct Writer(Threads);

impl Writer {
    /// `beside` carries the log over into the file while this one writes.
    pub(super) fn over(
        connection: Connection,
        beside: Option<Beside>,
    ) -> Result<Self, LedgerError> {
        let carrying = beside.map(|beside| Carrying::of(&connection, beside)).transpose()?;
        let work = move |queue: &Queue| serve(&connection, queue, carrying);
        Threads::start(NAME, vec![work]).map(Self)
    }

    /// Does `work` in its turn. What it kept is on disk when this returns. An error: it may or may
    /// not be.
    pub(super) async fn turn<T, F>(&self, work: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<Turn<T>, LedgerError> + Send + 'static,
    {
        self.0.ask(work).wait().await
    }

    /// Ends after what was asked before.
    pub(super) async fn close(&self) {
        self.0.close().await;
    }
}

fn serve(connection: &Connection, queue: &Queue, mut carrying: Option<Carrying>) {
    let mut apart = 0;
    while let Some(first) = queue.next() {
        let more = std::iter::from_fn(|| queue.next_now());
        let mut members = Vec::new();
        let jobs = std::iter::once(first).chain(more);
        let done = together(connection, jobs, &mut members, &mut apart);
        if let Err(detail) = &done {
            tracing::error!(detail, "a commit of the ledger failed");
        }
        for member in members {
            member.tell(done.as_ref().copied().map_err(String::as_str));
        }
        if let Some(carrying) = &mut carrying {
            carrying.go_on(connection);
        }
    }
}

/// One transaction with all that is there to be done. An error says what the database said.
fn together(
    connection: &Connection,
    jobs: impl Iterator<Item = Box<dyn Job>>,
    members: &mut Vec<Box<dyn Job>>,
    apart: &mut u32,
) -> Result<(), String> {
    if !connection.is_autocommit() {
        // A rollback failed before.
        control(connection, "rollback")?;
    }
    let mut is_anything_kept = false;
    for job in jobs.filter(|job| job.is_wanted()) {
        if members.is_empty() {
            let begun = control(connection, "begin immediate");
            if begun.is_err() {
                members.push(job);
                return begun;
            }
            *apart = apart.saturating_sub(1);
        }
        members.push(job);
        let done = match members.last_mut() {
            Some(job) if *apart > 0 => in_savepoint(connection, &mut **job),
            Some(job) => Ok(bare(connection, &mut **job)),
            None => Ok(Done::TakenBack),
        };
        let done = done.and_then(|done| match done {
            Done::Left if is_anything_kept => {
                *apart = APART_FOR;
                again(connection, members)
            }
            Done::Left => anew(connection).map(|()| Done::TakenBack),
            done => Ok(done),
        });
        // Where the database took the whole transaction back by itself, there is nothing left to
        // join or to commit.
        if connection.is_autocommit() {
            return Err("the transaction was taken back".to_owned());
        }
        match done {
            Ok(done) => is_anything_kept |= matches!(done, Done::Kept),
            Err(detail) => {
                let _ = control(connection, "rollback");
                return Err(detail);
            }
        }
        if members.len() >= MOST {
            break;
        }
    }
    if members.is_empty() {
        return Ok(());
    }
    let ended = control(connection, if is_anything_kept { "commit" } else { "rollback" });
    if ended.is_err() && !connection.is_autocommit() {
        let _ = control(connection, "rollback");
    }
    ended
}

/// What became of what an operation wrote.
enum Done {
    Kept,
    TakenBack,
    /// It is to be taken back, and still there.
    Left,
}

/// After a panic it is taken back and told that nothing is known.
fn keeps(connection: &Connection, job: &mut dyn Job) -> bool {
    catch_unwind(AssertUnwindSafe(|| job.run(connection))).unwrap_or(false)
}

/// Without a savepoint: the database sets aside a copy of each page that an operation changes in
/// one, and nearly all operations are kept or change nothing.
fn bare(connection: &Connection, job: &mut dyn Job) -> Done {
    let before = connection.total_changes();
    match keeps(connection, job) {
        true => Done::Kept,
        false if connection.total_changes() == before => Done::TakenBack,
        false => Done::Left,
    }
}

/// An error: the savepoint could not be made or ended.
fn in_savepoint(connection: &Connection, job: &mut dyn Job) -> Result<Done, String> {
    control(connection, "savepoint turn")?;
    let kept = keeps(connection, job);
    if connection.is_autocommit() {
        return Ok(Done::TakenBack);
    }
    if !kept {
        control(connection, "rollback to turn")?;
    }
    control(connection, "release turn")?;
    Ok(if kept { Done::Kept } else { Done::TakenBack })
}

/// Takes everything back.
fn anew(connection: &Connection) -> Result<(), String> {
    control(connection, "rollback")?;
    control(connection, "begin immediate")
}

/// Takes everything back, and has all of them do it again, each in a savepoint.
fn again(connection: &Connection, members: &mut [Box<dyn Job>]) -> Result<Done, String> {
    anew(connection)?;
    let mut done = Done::TakenBack;
    for job in members {
        if let Done::Kept = in_savepoint(connection, &mut **job)? {
            done = Done::Kept;
        }
        if connection.is_autocommit() {
            break;
        }
    }
    Ok(done)
}

fn control(connection: &Connection, sql: &'static str) -> Result<(), String> {
    run(connection, sql, ()).map(|_| ()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::mpsc;

    use super::*;
    use crate::sqlite::asking::Answer;
    use crate::sqlite::connections;
    use crate::sqlite::statements::{exactly_one, unavailable};

    const OTHERS: i64 = 64;

    fn writer(file: &Path) -> Writer {
        let connection = connections::to_write(file).unwrap();
        connection.execute_batch("create table t (n integer primary key)").unwrap();
        Writer::over(connection, None).unwrap()
    }

    fn put(tx: &Connection, n: i64) -> Result<Turn<()>, LedgerError> {
        run(tx, "insert into t values (?)", [n]).map(|_| Turn::Kept(()))
    }

    /// Read by somebody else.
    fn stored(file: &Path) -> i64 {
        let beside = Connection::open(file).unwrap();
        let count = |row: &rusqlite::Row<'_>| row.get(0).map_err(unavailable);
        exactly_one(&beside, "select count(*) from t", (), count).unwrap()
    }

    /// Frames of the log that end a commit; what is not in it was not flushed.
    fn commits(file: &Path) -> usize {
        const HEADER: usize = 32;
        const FRAME: usize = 24 + 4096;
        const PAGES: std::ops::Range<usize> = 4..8;
        let log = std::fs::read(format!("{}-wal", file.display())).unwrap();
        let frames = log[HEADER..].chunks_exact(FRAME);
        frames.filter(|frame| frame[PAGES] != [0; 4]).count()
    }

    /// Everything that is asked while the first is under way shares its commit.
    struct First(mpsc::Sender<()>);

    impl First {
        async fn under_way(
            writer: &Writer,
            n: i64,
        ) -> (Self, impl Future<Output = Result<(), LedgerError>>) {
            let (go, wait) = mpsc::channel();
            let (tell, mut begun) = tokio::sync::mpsc::unbounded_channel();
            let turn = writer.0.ask(move |tx| {
                let _ = tell.send(());
                let _ = wait.recv();
                put(tx, n)
            });
            begun.recv().await.unwrap();
            (Self(go), turn.wait())
        }

        fn go_on(self) {
            self.0.send(()).unwrap();
        }
    }

    #[tokio::test]
    async fn whoever_waits_shares_the_commit_of_whoever_is_first() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ledger.db");
        let writer = writer(&file);
        let before = commits(&file);
        let (first, done) = First::under_way(&writer, -1).await;
        let others: Vec<_> = (0..OTHERS).map(|n| writer.0.ask(move |tx| put(tx, n))).collect();
        first.go_on();
        done.await.unwrap();
        for other in others {
            other.wait().await.unwrap();
        }
        assert_eq!(stored(&file), OTHERS + 1);
        assert_eq!(commits(&file) - before, 1);
    }

    #[tokio::test]
    async fn who_fails_or_panics_takes_back_its_own_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ledger.db");
        let writer = writer(&file);
        let (first, done) = First::under_way(&writer, 1).await;
        let twice = writer.0.ask(|tx| put(tx, 1));
        let broken: Answer<()> = writer.0.ask(|tx| {
            put(tx, 2)?;
            panic!("in the middle")
        });
        let taken_back = writer.0.ask(|tx| put(tx, 2).map(|_| Turn::TakenBack(7)));
        drop(writer.0.ask(|tx| put(tx, 3)));
        let last = writer.0.ask(|tx| put(tx, 4));
        first.go_on();
        done.await.unwrap();
        assert!(twice.wait().await.is_err());
        assert!(broken.wait().await.is_err());
        assert_eq!(taken_back.wait().await.unwrap(), 7);
        last.wait().await.unwrap();
        assert_eq!(stored(&file), 2, "1 and 4: whoever went away before its turn is skipped");
        writer.turn(|tx| put(tx, 2)).await.unwrap();
        writer.turn(|_| Ok(Turn::TakenBack(()))).await.unwrap();
        writer.close().await;
        assert_eq!(stored(&file), 3);
        assert!(writer.turn(|tx| put(tx, 6)).await.is_err(), "closed");
    }

    #[tokio::test]
    async fn what_changes_nothing_has_nobody_do_it_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ledger.db");
        let writer = writer(&file);
        let runs = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        for (takes_back, changes, expected) in [(false, true, 1), (true, false, 2), (true, true, 4)]
        {
            let (first, done) = First::under_way(&writer, expected).await;
            let counted = std::sync::Arc::clone(&runs);
            let kept = writer.0.ask(move |tx| {
                counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                put(tx, 10 + expected)
            });
            let other = writer.0.ask(move |tx| {
                if changes {
                    put(tx, 20 + expected)?;
                }
                Ok(if takes_back { Turn::TakenBack(()) } else { Turn::Kept(()) })
            });
            first.go_on();
            for turn in [done.await, kept.wait().await, other.wait().await] {
                turn.unwrap();
            }
            assert_eq!(runs.load(std::sync::atomic::Ordering::SeqCst) as i64, expected);
        }
        assert_eq!(stored(&file), 7);
    }

    #[tokio::test]
    async fn whoever_is_under_way_is_done_although_nobody_waits() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ledger.db");
        let writer = writer(&file);
        let (first, done) = First::under_way(&writer, 1).await;
        drop(done);
        first.go_on();
        writer.turn(|tx| put(tx, 2)).await.unwrap();
        assert_eq!(stored(&file), 2);
    }

    #[tokio::test]
    async fn a_commit_that_fails_is_nobodys_success() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ledger.db");
        let writer = writer(&file);
        let (first, done) = First::under_way(&writer, 1).await;
        let other = writer.0.ask(|tx| put(tx, 2));
        // As the database does by itself when its disk is full.
        let spoiler = writer.0.ask(|tx| run(tx, "rollback", ()).map(|_| Turn::Kept(())));
        first.go_on();
        assert!(done.await.is_err());
        assert!(other.wait().await.is_err());
        assert!(spoiler.wait().await.is_err());
        assert_eq!(stored(&file), 0);
        writer.turn(|tx| put(tx, 3)).await.unwrap();
        assert_eq!(stored(&file), 1);
    }

    #[tokio::test]
    async fn dropped_it_has_let_go_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ledger.db");
        let writer = writer(&file);
        writer.turn(|tx| put(tx, 1)).await.unwrap();
        drop(writer);
        assert!(!folder.path().join("ledger.db-wal").exists(), "the last one tidies up");
        assert_eq!(stored(&file), 1);
    }
}
