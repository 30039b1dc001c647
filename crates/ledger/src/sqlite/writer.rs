//! The one writer, and commits that are shared: whoever waits for its turn joins the transaction
//! that is open, in a savepoint of its own, and all are told once it is on disk. So many writers
//! at once cost one flush of the disk, and one alone waits for nobody.
//!
//! A writer that fails, or is dropped in the middle, takes back its savepoint and nothing else. If
//! the commit fails, all who joined are told that nothing is known, as after any failed commit.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{Executor as _, Sqlite};
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};

use super::{ACQUIRE_TIMEOUT, unavailable};
use crate::LedgerError;

/// Writers that share one commit: the last of them waits for so many others.
const MOST: usize = 256;

/// Hands out turns, in the order in which they were asked for.
#[derive(Clone)]
pub(super) struct Writer {
    pool: SqlitePool,
    group: Arc<Mutex<Group>>,
}

/// The transaction that is open, if one is.
#[derive(Default)]
struct Group {
    connection: Option<PoolConnection<Sqlite>>,
    /// Who joined and waits for the commit.
    members: Vec<oneshot::Sender<bool>>,
}

/// A turn: a savepoint in the open transaction. Dropped without [`Turn::commit`] it is taken back.
pub(super) struct Turn {
    writer: Writer,
    /// None once it is over.
    group: Option<OwnedMutexGuard<Group>>,
}

impl Writer {
    pub(super) fn new(pool: SqlitePool) -> Self {
        Self { pool, group: Arc::default() }
    }

    pub(super) const fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    /// Waits for a turn.
    pub(super) async fn begin(&self) -> Result<Turn, LedgerError> {
        let turn = tokio::time::timeout(ACQUIRE_TIMEOUT, Arc::clone(&self.group).lock_owned());
        let group = turn.await.map_err(|_| unavailable(sqlx::Error::PoolTimedOut))?;
        // From here on it is taken back, wherever this is dropped.
        let mut turn = Turn { writer: self.clone(), group: Some(group) };
        turn.enter().await.map_err(unavailable)?;
        Ok(turn)
    }

    /// Whoever has its turn ends first.
    pub(super) async fn close(&self) {
        let mut group = self.group.lock().await;
        group.end().await;
        self.pool.close().await;
    }
}

impl Group {
    /// Commits what joined, and tells.
    async fn end(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        if self.members.is_empty() {
            // Nothing is open if it was dropped before it began.
            let _ = connection.execute("rollback").await;
            return;
        }
        let done = connection.execute("commit").await;
        if let Err(error) = &done {
            tracing::error!(%error, "a commit of the ledger failed");
            // Nothing is open any more if the database has taken it back by itself.
            let _ = connection.execute("rollback").await;
        }
        for member in self.members.drain(..) {
            let _ = member.send(done.is_ok());
        }
    }
}

impl Turn {
    async fn enter(&mut self) -> Result<(), sqlx::Error> {
        let pool = self.writer.pool.clone();
        let Some(group) = self.group.as_mut() else { return Err(sqlx::Error::WorkerCrashed) };
        if group.connection.is_none() {
            // Kept before anything is begun on it: whoever is dropped here has it taken back.
            let connection = group.connection.insert(pool.acquire().await?);
            connection.execute("begin immediate").await?;
        }
        self.execute("savepoint turn").await?;
        Ok(())
    }

    /// On disk when it returns. An error: it may or may not be.
    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.execute("release turn").await?;
        let Some(mut group) = self.group.take() else { return Err(sqlx::Error::WorkerCrashed) };
        let (tell, told) = oneshot::channel();
        group.members.push(tell);
        if group.members.len() >= MOST {
            group.end().await;
        } else if group.members.len() == 1 {
            // It gets its turn after all who wait now, and who join until then.
            let all = Arc::clone(&self.writer.group);
            tokio::spawn(async move { all.lock_owned().await.end().await });
        }
        drop(group);
        match told.await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(sqlx::Error::WorkerCrashed),
        }
    }

    /// Takes it back now.
    pub(super) async fn rollback(mut self) -> Result<(), sqlx::Error> {
        match self.group.take() {
            Some(group) => take_back(group).await,
            None => Ok(()),
        }
    }
}

/// Only the last savepoint; the whole transaction if nobody else has joined it.
async fn take_back(mut group: OwnedMutexGuard<Group>) -> Result<(), sqlx::Error> {
    if group.members.is_empty() {
        group.end().await;
        return Ok(());
    }
    let Some(connection) = group.connection.as_mut() else { return Ok(()) };
    // Neither is there if the turn was dropped before its savepoint was made; if the database has
    // taken the whole transaction back, its commit fails and says so to all.
    connection.execute("rollback to turn").await?;
    connection.execute("release turn").await.map(|_| ())
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(mut group) = self.group.take() else { return };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => {
                runtime.spawn(take_back(group));
            }
            // Without a runtime nothing can be taken back one by one: the connection closes, and
            // all who joined hear nothing.
            Err(_) => {
                group.members.clear();
                if let Some(connection) = group.connection.take() {
                    drop(connection.detach());
                }
            }
        }
    }
}

impl Deref for Turn {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        let group = self.group.as_ref().expect("a turn that is not over holds the group");
        group.connection.as_ref().expect("a turn begins with a connection")
    }
}

impl DerefMut for Turn {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        let group = self.group.as_mut().expect("a turn that is not over holds the group");
        group.connection.as_mut().expect("a turn begins with a connection")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sqlx::sqlite::SqliteConnectOptions;
    use sqlx::{ConnectOptions as _, Row as _};

    use super::*;
    use crate::sqlite::pool;

    const OTHERS: usize = 64;

    async fn writer(file: &Path) -> Writer {
        let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
        let pool = pool(options, 1).await.unwrap();
        pool.execute("create table t (n integer primary key)").await.unwrap();
        Writer::new(pool)
    }

    async fn insert(writer: Writer, n: i64) -> Result<(), LedgerError> {
        let mut turn = writer.begin().await?;
        let query = sqlx::query("insert into t values (?)").bind(n);
        query.execute(&mut *turn).await.map_err(unavailable)?;
        turn.commit().await.map_err(unavailable)
    }

    /// Read by somebody else.
    async fn stored(file: &Path) -> i64 {
        let mut beside = SqliteConnectOptions::new().filename(file).connect().await.unwrap();
        let row = sqlx::query("select count(*) from t").fetch_one(&mut beside).await.unwrap();
        row.get(0)
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

    #[tokio::test]
    async fn whoever_waits_shares_the_commit_of_whoever_is_first() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ledger.db");
        let writer = writer(&file).await;
        let before = commits(&file);
        let mut first = writer.begin().await.unwrap();
        first.execute("insert into t values (-1)").await.unwrap();
        let others: Vec<_> = (0..OTHERS)
            .map(|n| tokio::spawn(insert(writer.clone(), i64::try_from(n).unwrap())))
            .collect();
        // On one thread all of them wait for their turn after this.
        tokio::task::yield_now().await;
        first.commit().await.unwrap();
        for other in others {
            other.await.unwrap().unwrap();
        }
        assert_eq!(stored(&file).await, i64::try_from(OTHERS).unwrap() + 1);
        assert_eq!(commits(&file) - before, 1);
    }

    #[tokio::test]
    async fn who_fails_or_is_dropped_takes_back_its_own_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ledger.db");
        let writer = writer(&file).await;
        let mut first = writer.begin().await.unwrap();
        first.execute("insert into t values (1)").await.unwrap();
        let twice = tokio::spawn(insert(writer.clone(), 1));
        let dropped = {
            let writer = writer.clone();
            tokio::spawn(async move {
                let mut turn = writer.begin().await.unwrap();
                turn.execute("insert into t values (2)").await.unwrap();
            })
        };
        let waiting = tokio::spawn(insert(writer.clone(), 3));
        waiting.abort();
        let last = tokio::spawn(insert(writer.clone(), 4));
        tokio::task::yield_now().await;
        first.commit().await.unwrap();
        assert!(twice.await.unwrap().is_err());
        dropped.await.unwrap();
        last.await.unwrap().unwrap();
        assert_eq!(stored(&file).await, 2, "1 and 4");
        insert(writer.clone(), 2).await.unwrap();
        let turn = writer.begin().await.unwrap();
        turn.rollback().await.unwrap();
        drop(writer.begin().await.unwrap());
        insert(writer.clone(), 5).await.unwrap();
        writer.close().await;
        assert_eq!(stored(&file).await, 4);
        assert!(insert(writer, 6).await.is_err(), "closed");
    }

    #[tokio::test]
    async fn a_commit_that_fails_is_nobodys_success() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ledger.db");
        let writer = writer(&file).await;
        let mut first = writer.begin().await.unwrap();
        first.execute("insert into t values (1)").await.unwrap();
        let other = tokio::spawn(insert(writer.clone(), 2));
        let spoiler = {
            let writer = writer.clone();
            tokio::spawn(async move {
                let mut turn = writer.begin().await.unwrap();
                // As the database does by itself when its disk is full.
                turn.execute("rollback").await.unwrap();
            })
        };
        tokio::task::yield_now().await;
        assert!(first.commit().await.is_err());
        assert!(other.await.unwrap().is_err());
        spoiler.await.unwrap();
        assert_eq!(stored(&file).await, 0);
        insert(writer, 3).await.unwrap();
        assert_eq!(stored(&file).await, 1);
    }
}
