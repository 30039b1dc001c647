//! Threads that read: each sees what was committed before it looks, and waits for no writer.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rusqlite::Connection;

use super::asking::Turn;
use super::statements::unavailable;
use super::threads::{Queue, Threads};
use crate::LedgerError;

const NAME: &str = "ledger-reader";

/// The threads that read.
pub(super) struct Readers(Threads);

impl Readers {
    pub(super) fn over(connections: Vec<Connection>) -> Result<Self, LedgerError> {
        let serve = |connection| move |queue: &Queue| serve(&connection, queue);
        Threads::start(NAME, connections.into_iter().map(serve).collect()).map(Self)
    }

    /// Reads as one look: all its statements see the same state.
    pub(super) async fn read<T, F>(&self, work: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T, LedgerError> + Send + 'static,
    {
        let look = move |on: &Connection| {
            let look = on.unchecked_transaction().map_err(unavailable)?;
            work(&look).map(Turn::TakenBack)
        };
        self.0.ask(look).wait().await
    }

    pub(super) async fn close(&self) {
        self.0.close().await;
    }
}

fn serve(connection: &Connection, queue: &Queue) {
    while let Some(mut job) = queue.next() {
        if job.is_wanted() {
            // After a panic it is told that nothing is known, and the next one is served.
            let _ = catch_unwind(AssertUnwindSafe(|| job.run(connection)));
            job.tell(Ok(()));
        }
    }
}
