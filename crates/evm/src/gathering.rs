//! Group commit for questions: who asks while others are being answered is asked for together
//! with whoever else comes meanwhile.
//!
//! ```text
//!  nothing under way            -> ask alone, at once
//!  something under way          -> into the open batch, which departs when
//!                                    nothing is under way any more, or
//!                                    it is full, or
//!                                    its window is over and few reads are under way, or
//!                                    its patience is over
//! ```
//!
//! A batch is read by a task of its own: who goes away takes nobody along. Whoever gets no answer
//! from it asks alone.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::limits::{
    GATHERING_PART, GATHERING_PATIENCE, GATHERING_WINDOW_MAX, GATHERING_WINDOW_MIN, MAX_GATHERED,
    MAX_READS_UNDER_WAY,
};

/// How much of what was usual stays so after one more read, of as many parts.
const USUAL_PARTS: u32 = 8;

/// Reads the answers to many questions at once.
pub(crate) trait Reader: Send + Sync + 'static {
    /// Equal questions are asked once.
    type Question: PartialEq + Send + 'static;
    /// What everybody who asked is told.
    type Answer: Clone + Send + 'static;

    /// Whether asking together is worth a try now.
    fn is_open(&self) -> bool;

    /// One answer for each question, in their order; `None` for one that is to be asked alone.
    fn read(
        &self,
        questions: &[Self::Question],
    ) -> impl Future<Output = Vec<Option<Self::Answer>>> + Send;
}

/// What becomes of a question.
pub(crate) enum Turn<R: Reader> {
    /// It was asked together with others.
    Told(R::Answer),
    /// It is to be asked alone; whoever comes meanwhile waits for others.
    Alone(UnderWay<R>),
}

/// Where questions meet.
pub(crate) struct Gathering<R: Reader> {
    reader: R,
    state: Mutex<State<R>>,
    /// A read has ended, or the open batch is gone.
    changed: Notify,
}

struct State<R: Reader> {
    under_way: usize,
    open: Option<Batch<R>>,
    batches: u64,
    /// What a read takes.
    usual: Duration,
}

impl<R: Reader> State<R> {
    fn window(&self) -> Duration {
        (self.usual / GATHERING_PART).clamp(GATHERING_WINDOW_MIN, GATHERING_WINDOW_MAX)
    }

    fn took(&mut self, time: Duration) {
        self.usual = (self.usual * (USUAL_PARTS - 1) + time.min(GATHERING_PATIENCE)) / USUAL_PARTS;
    }
}

struct Batch<R: Reader> {
    number: u64,
    members: Vec<Member<R>>,
}

struct Member<R: Reader> {
    question: R::Question,
    asking: Vec<oneshot::Sender<Option<R::Answer>>>,
}

/// While it lives, a read is under way.
pub(crate) struct UnderWay<R: Reader>(Arc<Gathering<R>>);

impl<R: Reader> Drop for UnderWay<R> {
    fn drop(&mut self) {
        self.0.lock().under_way -= 1;
        self.0.changed.notify_waiters();
    }
}

impl<R: Reader> Gathering<R> {
    /// A place where nobody has asked yet.
    pub(crate) fn new(reader: R) -> Arc<Self> {
        let state = State { under_way: 0, open: None, batches: 0, usual: GATHERING_PATIENCE };
        Arc::new(Self { reader, state: Mutex::new(state), changed: Notify::new() })
    }

    /// The turn to ask alone, if this is the time to.
    pub(crate) fn alone(self: &Arc<Self>) -> Option<UnderWay<R>> {
        let mut state = self.lock();
        if (state.under_way > 0 || state.open.is_some()) && self.reader.is_open() {
            return None;
        }
        state.under_way += 1;
        Some(UnderWay(self.clone()))
    }

    /// Asks together with others: the answer, or the turn to ask alone after all.
    pub(crate) async fn ask(self: &Arc<Self>, question: R::Question) -> Turn<R> {
        if let Ok(Some(answer)) = self.join(question).await {
            return Turn::Told(answer);
        }
        self.lock().under_way += 1;
        Turn::Alone(UnderWay(self.clone()))
    }

    fn join(self: &Arc<Self>, question: R::Question) -> oneshot::Receiver<Option<R::Answer>> {
        let mut state = self.lock();
        let (sender, told) = oneshot::channel();
        let mut batch = match state.open.take() {
            Some(batch) => batch,
            None => {
                state.batches += 1;
                tokio::spawn(Arc::clone(self).depart(state.batches));
                Batch { number: state.batches, members: Vec::new() }
            }
        };
        match batch.members.iter_mut().find(|member| member.question == question) {
            Some(member) => member.asking.push(sender),
            None => batch.members.push(Member { question, asking: vec![sender] }),
        }
        if batch.members.len() < MAX_GATHERED {
            state.open = Some(batch);
        } else {
            state.under_way += 1;
            tokio::spawn(carry(UnderWay(self.clone()), batch));
            self.changed.notify_waiters();
        }
        told
    }

    /// Waits until the batch may depart, and reads its answers.
    async fn depart(self: Arc<Self>, number: u64) {
        let opened = Instant::now();
        let batch = loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let look_again = {
                let mut state = self.lock();
                if state.open.as_ref().is_none_or(|batch| batch.number != number) {
                    return;
                }
                let (waited, window) = (opened.elapsed(), state.window());
                let over = waited >= window && state.under_way < MAX_READS_UNDER_WAY;
                if state.under_way == 0 || over || waited >= GATHERING_PATIENCE {
                    state.under_way += 1;
                    break state.open.take();
                }
                opened + if waited < window { window } else { GATHERING_PATIENCE }
            };
            tokio::select! {
                () = changed => {}
                () = sleep_until(look_again) => {}
            }
        };
        let under_way = UnderWay(self);
        if let Some(batch) = batch {
            carry(under_way, batch).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the answers of a batch and tells them.
async fn carry<R: Reader>(under_way: UnderWay<R>, batch: Batch<R>) {
    let (mut questions, mut asking) = (Vec::new(), Vec::new());
    for mut member in batch.members {
        member.asking.retain(|sender| !sender.is_closed());
        if !member.asking.is_empty() {
            questions.push(member.question);
            asking.push(member.asking);
        }
    }
    // One alone is asked as if nobody else had been there: its sender is dropped.
    if asking.iter().flatten().count() < 2 {
        return;
    }
    let began = Instant::now();
    let answers = under_way.0.reader.read(&questions).await;
    under_way.0.lock().took(began.elapsed());
    for (senders, answer) in asking.into_iter().zip(answers) {
        for sender in senders {
            // Who has gone away needs no answer.
            let _ = sender.send(answer.clone());
        }
    }
}

#[cfg(test)]
mod tests;
