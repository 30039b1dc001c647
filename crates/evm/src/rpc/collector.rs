//! Questions that come while an endpoint is busy go out together, as one JSON-RPC batch.
//!
//! A question to an idle endpoint goes at once and waits for nobody. While it is under way others
//! gather; when it is over, when they are as many as a batch may hold, or when one of them has
//! waited long enough, one of those who wait takes the others along. Nobody depends on another
//! asker's patience: when the one who carries a batch goes away, the others ask alone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use faregate_chain::ChainError;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Answer, Call};
use crate::limits::{COLLECT_FOR, MAX_BATCH_CALLS, MAX_COLLECTED_CHARS};

/// What one asker gets.
pub(super) type Answers = Result<Vec<Answer>, ChainError>;

/// The line before one endpoint.
#[derive(Default)]
pub(super) struct Collector {
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    /// Requests under way.
    flights: usize,
    waiting: Vec<Waiting>,
    next_number: u64,
}

struct Waiting {
    number: u64,
    calls: Vec<Call>,
    tell: oneshot::Sender<Turn>,
}

/// What one who waits is told. Dropped without a word, it asks alone.
enum Turn {
    Answers(Answers),
    Carry(Flight),
}

/// What an asker is to do.
pub(super) enum Place {
    /// Ask, together with those who have waited.
    Carry(Flight),
    /// Ask alone.
    Alone,
    /// Nothing: another has asked.
    Answered(Answers),
}

/// A request that is under way, with the questions of others. When it ends the next may go.
pub(super) struct Flight {
    collector: Arc<Collector>,
    others: Vec<Waiting>,
}

impl Collector {
    /// Waits for a turn: not at all before an idle endpoint, at most [`COLLECT_FOR`] before a
    /// busy one, and then for the request that took the question along. A large question, which is
    /// many in one, goes at once and by itself.
    pub(super) async fn turn(self: &Arc<Self>, calls: &[Call]) -> Place {
        if calls.iter().any(|call| call.params.len() > MAX_COLLECTED_CHARS) {
            return Place::Alone;
        }
        let (number, mut told) = {
            let mut line = self.lock();
            let gathered: usize = line.waiting.iter().map(|waiting| waiting.calls.len()).sum();
            if line.flights == 0 || gathered + calls.len() >= MAX_BATCH_CALLS {
                return Place::Carry(self.take_off(&mut line, calls.len()));
            }
            let number = line.next_number;
            line.next_number = number.wrapping_add(1);
            let (tell, told) = oneshot::channel();
            line.waiting.push(Waiting { number, calls: calls.to_vec(), tell });
            (number, told)
        };
        let turn = match timeout(COLLECT_FOR, &mut told).await {
            Ok(turn) => turn,
            Err(_) => match self.step_out(number, calls.len()) {
                Some(flight) => return Place::Carry(flight),
                None => told.await,
            },
        };
        match turn {
            Ok(Turn::Answers(answers)) => Place::Answered(answers),
            Ok(Turn::Carry(flight)) => Place::Carry(flight),
            Err(_) => Place::Alone,
        }
    }

    /// Leaves the line with those who stand in it; `None` when a request took it along already.
    fn step_out(self: &Arc<Self>, number: u64, calls: usize) -> Option<Flight> {
        let mut line = self.lock();
        let place = line.waiting.iter().position(|waiting| waiting.number == number)?;
        line.waiting.remove(place);
        Some(self.take_off(&mut line, calls))
    }

    /// Begins a request of `own` calls with as many others as fit.
    fn take_off(self: &Arc<Self>, line: &mut Line, own: usize) -> Flight {
        line.flights += 1;
        line.waiting.retain(|waiting| !waiting.tell.is_closed());
        let mut calls = own;
        let fits = |waiting: &&Waiting| {
            calls = calls.saturating_add(waiting.calls.len());
            calls <= MAX_BATCH_CALLS
        };
        let fitting = line.waiting.iter().take_while(fits).count();
        let others = line.waiting.drain(..fitting).collect();
        Flight { collector: Arc::clone(self), others }
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight {
    /// The calls of the others, in order.
    pub(super) fn calls(&self) -> impl Iterator<Item = &Call> {
        self.others.iter().flat_map(|waiting| &waiting.calls)
    }

    /// Whether somebody else's question is on board.
    pub(super) fn is_shared(&self) -> bool {
        !self.others.is_empty()
    }

    /// Gives the others their part of the answers, or the error that all of them share.
    pub(super) fn land(mut self, answers: Answers) {
        let mut answers = answers.map(Vec::into_iter);
        for waiting in std::mem::take(&mut self.others) {
            let own = match &mut answers {
                Ok(all) => Ok(all.by_ref().take(waiting.calls.len()).collect()),
                Err(error) => Err(error.clone()),
            };
            let _ = waiting.tell.send(Turn::Answers(own));
        }
    }

    /// What went wrong may be one question's fault: each is asked alone.
    pub(super) fn disband(mut self) {
        self.others.clear();
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let next = {
            let mut line = self.collector.lock();
            line.flights = line.flights.saturating_sub(1);
            line.waiting.retain(|waiting| !waiting.tell.is_closed());
            if line.flights > 0 || line.waiting.is_empty() {
                return;
            }
            let first = line.waiting.remove(0);
            let flight = self.collector.take_off(&mut line, first.calls.len());
            (first.tell, flight)
        };
        // One that went away this moment drops the flight, which hands it to the next.
        let (tell, flight) = next;
        let _ = tell.send(Turn::Carry(flight));
    }
}
