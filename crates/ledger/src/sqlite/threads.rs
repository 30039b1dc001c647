//! Threads that take operations from one queue.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;

use super::asking::{Answer, Job, Turn, ask};
use crate::LedgerError;

/// What waits for a thread.
#[derive(Clone)]
pub(super) struct Queue(Arc<Mutex<Receiver<Box<dyn Job>>>>);

impl Queue {
    /// Waits for the next; none once it is closed and empty.
    pub(super) fn next(&self) -> Option<Box<dyn Job>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
    }

    /// The next, if it is there.
    pub(super) fn next_now(&self) -> Option<Box<dyn Job>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).try_recv().ok()
    }
}

/// They end when this is dropped or closed, after what was asked before.
pub(super) struct Threads {
    jobs: Mutex<Option<Sender<Box<dyn Job>>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Threads {
    /// One for each of `work`, which has what it needs, its connection above all, until it ends.
    pub(super) fn start<W>(name: &str, work: Vec<W>) -> Result<Self, LedgerError>
    where
        W: FnOnce(&Queue) + Send + 'static,
    {
        let (jobs, queue) = mpsc::channel();
        let queue = Queue(Arc::new(Mutex::new(queue)));
        let start = |work: W| {
            let queue = queue.clone();
            let thread = thread::Builder::new().name(name.to_owned());
            thread.spawn(move || work(&queue))
        };
        let threads = work.into_iter().map(start).collect::<Result<Vec<_>, _>>();
        let threads = threads.map_err(|e| LedgerError::Unavailable { detail: e.to_string() })?;
        Ok(Self { jobs: Mutex::new(Some(jobs)), threads: Mutex::new(threads) })
    }

    /// Has `work` done on one of them, in its turn.
    pub(super) fn ask<T, F>(&self, work: F) -> Answer<T>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<Turn<T>, LedgerError> + Send + 'static,
    {
        let (job, answer) = ask(work);
        if let Some(jobs) = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            // Without anybody to take it, it is dropped, and the answer says so.
            let _ = jobs.send(job);
        }
        answer
    }

    /// Ends them after what was asked before.
    pub(super) async fn close(&self) {
        let threads = self.end();
        // An error: one of them panicked, or there is no runtime to wait on any more.
        let _ = tokio::task::spawn_blocking(move || join(threads)).await;
    }

    fn end(&self) -> Vec<JoinHandle<()>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take();
        std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Threads {
    /// Waits, because whoever opens the file next finds it closed then. Nothing but what is under
    /// way is left: everybody who asked has gone away.
    fn drop(&mut self) {
        join(self.end());
    }
}

fn join(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        let _ = thread.join();
    }
}
