//! A task that wakes itself goes on at once.
//!
//! A connection and the request it serves are one task that talks to itself: a body that arrives
//! wakes the handler, which is the task that has just read it. The scheduler takes such a wake for
//! work that another thread should take over, so it wakes a thread too, and a short request
//! travels between processors instead of being answered.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures::task::AtomicWaker;

/// Polls in a row before the other tasks of the thread have their turn.
const MAX_POLLS: usize = 16;

const RESTS: u8 = 0;
const RUNS: u8 = 1;
const RUNS_AGAIN: u8 = 2;

struct Wakes {
    state: AtomicU8,
    task: AtomicWaker,
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let noted = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
            (state != RESTS).then_some(RUNS_AGAIN)
        });
        if noted.is_err() {
            self.task.wake();
        }
    }
}

/// Runs `work`; a wake during a poll, whoever it comes from, polls it again without the scheduler.
pub(crate) async fn absorb<F: Future>(work: F) -> F::Output {
    let mut work = pin!(work);
    let wakes = Arc::new(Wakes { state: AtomicU8::new(RESTS), task: AtomicWaker::new() });
    let waker = Waker::from(Arc::clone(&wakes));
    poll_fn(|outer| {
        wakes.task.register(outer.waker());
        for _ in 0..MAX_POLLS {
            wakes.state.store(RUNS, Ordering::Release);
            if let Poll::Ready(output) = work.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Poll::Ready(output);
            }
            // From here on a wake reaches the scheduler.
            if wakes.state.swap(RESTS, Ordering::AcqRel) == RUNS {
                return Poll::Pending;
            }
        }
        outer.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    /// Counts its wakes.
    #[derive(Default)]
    struct Scheduler(AtomicUsize);

    impl Wake for Scheduler {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn own_wakes_do_not_reach_the_scheduler_and_later_ones_do() {
        let scheduler = Arc::new(Scheduler::default());
        let mut polls = 0;
        let mut work = pin!(absorb(poll_fn(|context| {
            polls += 1;
            if polls < 3 {
                context.waker().wake_by_ref();
            }
            if polls < 4 { Poll::Pending } else { Poll::Ready(polls) }
        })));
        let waker = Waker::from(Arc::clone(&scheduler));
        let mut poll = || work.as_mut().poll(&mut Context::from_waker(&waker));
        assert_eq!(poll(), Poll::Pending);
        assert_eq!(scheduler.0.load(Ordering::SeqCst), 0);
        assert_eq!(poll(), Poll::Ready(4));
    }

    #[test]
    fn a_wake_while_it_rests_reaches_the_scheduler() {
        let scheduler = Arc::new(Scheduler::default());
        let kept = std::sync::Mutex::new(None);
        let mut work = pin!(absorb(poll_fn(|context| {
            *kept.lock().unwrap() = Some(context.waker().clone());
            Poll::<()>::Pending
        })));
        let waker = Waker::from(Arc::clone(&scheduler));
        let mut poll = || work.as_mut().poll(&mut Context::from_waker(&waker));
        for wakes in 1..3 {
            assert_eq!(poll(), Poll::Pending);
            kept.lock().unwrap().take().unwrap().wake();
            assert_eq!(scheduler.0.load(Ordering::SeqCst), wakes);
        }
    }

    #[test]
    fn work_that_never_rests_lets_others_go_first() {
        let scheduler = Arc::new(Scheduler::default());
        let polls = AtomicUsize::new(0);
        let mut work = pin!(absorb(poll_fn(|context| {
            polls.fetch_add(1, Ordering::SeqCst);
            context.waker().wake_by_ref();
            Poll::<()>::Pending
        })));
        let waker = Waker::from(Arc::clone(&scheduler));
        assert!(work.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert_eq!(scheduler.0.load(Ordering::SeqCst), 1);
        assert_eq!(polls.load(Ordering::SeqCst), MAX_POLLS);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_wake_from_another_thread_is_lost() {
        for _ in 0..200 {
            let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
            let sends = tokio::spawn(async move {
                for n in 0..50 {
                    sender.send(n).await.unwrap();
                }
            });
            let received = absorb(async {
                let mut sum = 0;
                while let Some(n) = receiver.recv().await {
                    sum += n;
                }
                sum
            });
            let received = tokio::time::timeout(Duration::from_secs(10), received).await;
            assert_eq!(received, Ok(49 * 50 / 2));
            sends.await.unwrap();
        }
    }
}
