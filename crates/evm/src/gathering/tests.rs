use super::*;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;

const ROUND_TRIP: Duration = Duration::from_millis(20);
const QUICK: Duration = Duration::from_millis(3);

/// Answers a question with itself, after a round trip.
#[derive(Default)]
struct Echo {
    reads: AtomicUsize,
    read: Mutex<Vec<Vec<u32>>>,
    silent: AtomicBool,
    closed: AtomicBool,
    quick: AtomicBool,
}

impl Reader for Echo {
    type Question = u32;
    type Answer = u32;

    fn is_open(&self) -> bool {
        !self.closed.load(Ordering::SeqCst)
    }

    async fn read(&self, questions: &[u32]) -> Vec<Option<u32>> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.read.lock().unwrap().push(questions.to_vec());
        let quick = self.quick.load(Ordering::SeqCst);
        tokio::time::sleep(if quick { QUICK } else { ROUND_TRIP }).await;
        let told = |question: &u32| (!self.silent.load(Ordering::SeqCst)).then_some(*question);
        questions.iter().map(told).collect()
    }
}

/// How a question was answered, and how long that took.
struct Asked {
    alone: bool,
    took: Duration,
}

async fn ask(gathering: &Arc<Gathering<Echo>>, question: u32) -> Asked {
    let began = Instant::now();
    let turn = match gathering.alone() {
        Some(under_way) => Turn::Alone(under_way),
        None => gathering.ask(question).await,
    };
    let alone = match turn {
        Turn::Told(answer) => {
            assert_eq!(answer, question);
            false
        }
        Turn::Alone(_under_way) => {
            tokio::time::sleep(ROUND_TRIP).await;
            true
        }
    };
    Asked { alone, took: began.elapsed() }
}

#[tokio::test(start_paused = true)]
async fn a_lone_question_waits_for_nobody() {
    let gathering = Gathering::new(Echo::default());
    for question in 0..5 {
        let asked = ask(&gathering, question).await;
        assert!(asked.alone);
        assert_eq!(asked.took, ROUND_TRIP);
    }
    assert_eq!(gathering.reader.reads.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn who_comes_meanwhile_is_asked_for_together_after_a_window() {
    let gathering = Gathering::new(Echo::default());
    // One alone, and a batch that is not full.
    let questions = 0..u32::try_from(MAX_GATHERED).unwrap();
    let asked = join_all(questions.map(|question| ask(&gathering, question))).await;
    assert_eq!(asked.iter().filter(|asked| asked.alone).count(), 1);
    assert_eq!(gathering.reader.reads.load(Ordering::SeqCst), 1);
    for asked in asked.iter().filter(|asked| !asked.alone) {
        assert_eq!(asked.took, GATHERING_WINDOW_MAX + ROUND_TRIP);
    }
}

#[tokio::test(start_paused = true)]
async fn where_reads_are_short_nobody_waits_long_for_company() {
    let echo = Echo { quick: AtomicBool::new(true), ..Echo::default() };
    let gathering = Gathering::new(echo);
    let three = || join_all((0..3).map(|question| ask(&gathering, question)));
    for _ in 0..64 {
        three().await;
    }
    let asked = three().await;
    assert_eq!(asked[0].took, ROUND_TRIP, "alone");
    for asked in &asked[1..] {
        assert_eq!(asked.took, GATHERING_WINDOW_MIN + QUICK);
    }
    gathering.reader.quick.store(false, Ordering::SeqCst);
    for _ in 0..64 {
        three().await;
    }
    let asked = three().await;
    assert_eq!(asked[1].took, GATHERING_WINDOW_MAX + ROUND_TRIP, "slow ones are noticed as well");
}

#[tokio::test(start_paused = true)]
async fn equal_questions_are_asked_once() {
    let gathering = Gathering::new(Echo::default());
    let asked = join_all((0..40).map(|question| ask(&gathering, question % 4))).await;
    assert_eq!(asked.iter().filter(|asked| asked.alone).count(), 1);
    let mut read = gathering.reader.read.lock().unwrap().concat();
    read.sort_unstable();
    assert_eq!(read, [0, 1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_departs_at_once() {
    let gathering = Gathering::new(Echo::default());
    let many = 1 + MAX_GATHERED;
    let asked = join_all((0..many as u32).map(|question| ask(&gathering, question))).await;
    assert!(asked.iter().all(|asked| asked.took == ROUND_TRIP));
    assert_eq!(gathering.reader.reads.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_gets_no_answer_asks_alone() {
    let gathering = Gathering::new(Echo::default());
    gathering.reader.silent.store(true, Ordering::SeqCst);
    let asked = join_all((0..10).map(|question| ask(&gathering, question))).await;
    assert!(asked.iter().all(|asked| asked.alone));
    assert_eq!(gathering.lock().under_way, 0);
}

#[tokio::test(start_paused = true)]
async fn where_asking_together_is_no_use_nobody_waits() {
    let gathering = Gathering::new(Echo::default());
    gathering.reader.closed.store(true, Ordering::SeqCst);
    let asked = join_all((0..10).map(|question| ask(&gathering, question))).await;
    assert!(asked.iter().all(|asked| asked.alone && asked.took == ROUND_TRIP));
}

#[tokio::test(start_paused = true)]
async fn who_goes_away_takes_nobody_along() {
    let gathering = Gathering::new(Echo::default());
    let one = Duration::from_millis(1);
    let (first, second) = (ask(&gathering, 1), ask(&gathering, 2));
    let gone = tokio::time::timeout(one, ask(&gathering, 3));
    let late = async {
        tokio::time::sleep(2 * one).await;
        ask(&gathering, 4).await
    };
    let (_, second, gone, late) = tokio::join!(first, second, gone, late);
    assert!(gone.is_err());
    assert!(!second.alone && !late.alone);
    assert_eq!(*gathering.reader.read.lock().unwrap(), [[2, 4]]);
}

#[tokio::test(start_paused = true)]
async fn reads_that_never_end_hold_others_up_for_a_bounded_time() {
    let gathering = Gathering::new(Echo::default());
    let mut stuck = Vec::new();
    for _ in 0..2 * MAX_READS_UNDER_WAY {
        gathering.lock().under_way += 1;
        stuck.push(UnderWay(gathering.clone()));
    }
    let asked = join_all((0..3).map(|question| ask(&gathering, question))).await;
    assert!(asked.iter().all(|asked| asked.took == GATHERING_PATIENCE + ROUND_TRIP));
}

/// 128 that always ask again: the cost and the wait that the design promises, in virtual time.
#[tokio::test(start_paused = true)]
async fn at_128_in_flight_a_question_costs_a_tenth_of_a_call_and_waits_little() {
    const ROUNDS: u32 = 50;
    // A question alone is at most five calls, a batch two.
    const ALONE: usize = 5;
    const TOGETHER: usize = 2;
    let gathering = Gathering::new(Echo::default());
    let again = |asker: u32| {
        let gathering = gathering.clone();
        async move {
            // They do not start together.
            tokio::time::sleep(Duration::from_micros(u64::from(asker) * 157)).await;
            let mut asked = Vec::new();
            for round in 0..ROUNDS {
                asked.push(ask(&gathering, asker * ROUNDS + round).await);
                tokio::time::sleep(Duration::from_micros(u64::from(asker % 7) * 300)).await;
            }
            asked
        }
    };
    let mut asked: Vec<Asked> = join_all((0..128).map(again)).await.into_iter().flatten().collect();
    let alone = asked.iter().filter(|asked| asked.alone).count();
    let calls = alone * ALONE + gathering.reader.reads.load(Ordering::SeqCst) * TOGETHER;
    assert!(calls * 10 <= asked.len(), "{calls} calls for {} questions", asked.len());
    asked.sort_by_key(|asked| asked.took);
    let median = asked[asked.len() / 2].took;
    assert!(median <= Duration::from_millis(30), "{median:?}");
}
