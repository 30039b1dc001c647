//! What is asked of a thread that has a connection, and the wait for its answer. SQLite blocks
//! whoever calls it, so it is called on threads of its own; a whole operation at a time, because
//! each hand-over costs more than most statements.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::ACQUIRE_TIMEOUT;
use crate::LedgerError;

/// What a turn of the writer came to.
pub(super) enum Turn<T> {
    /// To be stored.
    Kept(T),
    /// Whatever it wrote is taken back.
    TakenBack(T),
}

/// An operation that waits for its turn.
pub(super) trait Job: Send {
    /// Somebody still waits for it. After `true` it is under way.
    fn is_wanted(&self) -> bool;
    /// Whether what it wrote is to be stored. Where all of a transaction was taken back it is run
    /// again, and the last time counts.
    fn run(&mut self, on: &Connection) -> bool;
    /// Says what it came to, or why nothing is known of it.
    fn tell(self: Box<Self>, done: Result<(), &str>);
}

/// The asking side.
pub(super) struct Answer<T> {
    begun: Arc<AtomicBool>,
    receive: oneshot::Receiver<Result<T, LedgerError>>,
}

struct Operation<T, F> {
    begun: Arc<AtomicBool>,
    work: F,
    came_to: Option<Result<T, LedgerError>>,
    tell: oneshot::Sender<Result<T, LedgerError>>,
}

/// An operation and where its answer will be.
pub(super) fn ask<T, F>(work: F) -> (Box<dyn Job>, Answer<T>)
where
    T: Send + 'static,
    F: Fn(&Connection) -> Result<Turn<T>, LedgerError> + Send + 'static,
{
    let begun = Arc::new(AtomicBool::new(false));
    let (tell, receive) = oneshot::channel();
    let operation = Operation { begun: Arc::clone(&begun), work, came_to: None, tell };
    (Box::new(operation), Answer { begun, receive })
}

impl<T, F> Job for Operation<T, F>
where
    T: Send,
    F: Fn(&Connection) -> Result<Turn<T>, LedgerError> + Send,
{
    fn is_wanted(&self) -> bool {
        !self.tell.is_closed() && !self.begun.swap(true, Ordering::AcqRel)
    }

    fn run(&mut self, on: &Connection) -> bool {
        // What an earlier run came to is no answer, should this one break down.
        self.came_to = None;
        let (keep, came_to) = match (self.work)(on) {
            Ok(Turn::Kept(value)) => (true, Ok(value)),
            Ok(Turn::TakenBack(value)) => (false, Ok(value)),
            Err(error) => (false, Err(error)),
        };
        self.came_to = Some(came_to);
        keep
    }

    fn tell(self: Box<Self>, done: Result<(), &str>) {
        let unknown = |detail: &str| Err(LedgerError::Unavailable { detail: detail.to_owned() });
        let answer = match (done, self.came_to) {
            (Ok(()), Some(came_to)) => came_to,
            (Ok(()), None) => unknown(BROKE_DOWN),
            (Err(detail), _) => unknown(detail),
        };
        // Whoever has gone away reads the ledger again.
        let _ = self.tell.send(answer);
    }
}

/// What is said of an operation that nothing is known of.
const BROKE_DOWN: &str = "the operation broke down";
const CLOSED: &str = "the database is closed";
const BUSY: &str = "the database had no time";

impl<T> Answer<T> {
    /// Whether it has come to something, or never will.
    pub(super) fn is_there(&mut self) -> bool {
        !matches!(self.receive.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }

    /// Waits for it. One that has not begun in time never will; one that has is waited for.
    pub(super) async fn wait(mut self) -> Result<T, LedgerError> {
        let unknown = |detail: &str| LedgerError::Unavailable { detail: detail.to_owned() };
        let closed = |_| unknown(CLOSED);
        if let Ok(answer) = tokio::time::timeout(ACQUIRE_TIMEOUT, &mut self.receive).await {
            return answer.map_err(closed)?;
        }
        if !self.begun.swap(true, Ordering::AcqRel) {
            return Err(unknown(BUSY));
        }
        self.receive.await.map_err(closed)?
    }
}
