//! Buyers that send one header until they are served: to one gate after the other, over dead and
//! frozen ones, a few of them several at a time, and now and then a crowd of 64 with one header.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use faregate_protocol::header::PAYMENT_SIGNATURE;

use crate::history::{Got, Seen};
use crate::http::{self, Answer};
use crate::payments::Payment;
use crate::random::Random;

/// Buyers that pay at the same time.
pub(crate) const BUYERS: usize = 64;
/// Every so often a payment is sent by several at once.
const RIVALS_EVERY: u64 = 6;
const RIVALS: usize = 3;
/// And one in so many by a crowd, beginning with this one. Not left to chance, so that every run
/// has one.
const CROWD_EVERY: usize = 128;
const FIRST_CROWD: usize = 5;
/// Buyers of one payment that send its header at the same time.
pub(crate) const CROWD: usize = 64;
/// Their streams of chance, beyond those of the buyers.
const RIVAL_LANES: u64 = 1 << 32;
/// Every so often a buyer that was served sends the header once more.
const AGAIN_EVERY: u64 = 3;
/// Pauses of a buyer: shorter than it is asked to make, because more requests find more.
const PAUSE_MS: (u64, u64) = (50, 400);
/// Refusals after which a buyer gives a payment up.
const REFUSALS: usize = 3;
const POLL: Duration = Duration::from_millis(10);

/// What buyers and the rest of the run share.
pub(crate) struct Market {
    pub(crate) payments: Vec<Payment>,
    urls: Vec<String>,
    seed: u64,
    began: Instant,
    next: AtomicUsize,
    released: AtomicUsize,
    ration: AtomicUsize,
    done: AtomicUsize,
    closed: AtomicBool,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
    histories: Vec<Mutex<Vec<Seen>>>,
}

impl Market {
    pub(crate) fn open(payments: Vec<Payment>, urls: Vec<String>, seed: u64) -> Arc<Self> {
        let histories = payments.iter().map(|_| Mutex::default()).collect();
        Arc::new(Self {
            payments,
            urls,
            seed,
            began: Instant::now(),
            next: AtomicUsize::new(0),
            released: AtomicUsize::new(0),
            ration: AtomicUsize::new(usize::MAX),
            done: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            most_in_flight: AtomicUsize::new(0),
            histories,
        })
    }

    /// Lets buyers in, up to this many payments in all.
    pub(crate) fn release(&self, count: usize) {
        self.released.fetch_max(count.min(self.payments.len()), Ordering::SeqCst);
    }

    /// From now on this many in all are let in, whatever else was said.
    pub(crate) fn ration(&self, count: usize) {
        self.ration.store(count, Ordering::SeqCst);
    }

    /// From now on [`Market::release`] decides again.
    pub(crate) fn no_ration(&self) {
        self.ration.store(usize::MAX, Ordering::SeqCst);
    }

    /// Payments that buyers are done with.
    pub(crate) fn done(&self) -> usize {
        self.done.load(Ordering::SeqCst)
    }

    /// Most requests that waited for an answer at the same time.
    pub(crate) fn most_in_flight(&self) -> usize {
        self.most_in_flight.load(Ordering::SeqCst)
    }

    /// Buyers go home after the request that they are waiting for.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// What was seen of each payment, in the order in which it ended.
    pub(crate) fn histories(&self) -> Vec<Vec<Seen>> {
        let mut all: Vec<Vec<Seen>> =
            self.histories.iter().map(|of_one| lock(of_one).clone()).collect();
        all.iter_mut().for_each(|history| history.sort_by_key(|seen| seen.ended_us));
        all
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Microseconds since the run began.
    pub(crate) fn now_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Sends a payment once and writes down what came of it.
    fn send(&self, payment: usize, gate: usize) -> Got {
        let began_us = self.now_us();
        let Payment { header, path, .. } = &self.payments[payment];
        let url = format!("{}{path}", self.urls[gate]);
        let in_flight = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_in_flight.fetch_max(in_flight, Ordering::SeqCst);
        let answer = http::try_request("GET", &url, &[(PAYMENT_SIGNATURE, header.as_str())], b"");
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        let got = match answer {
            Ok(answer) => read(&answer),
            Err(error) => Got::Nothing(error.to_string().chars().take(60).collect()),
        };
        let seen = Seen { gate, began_us, ended_us: self.now_us(), got: got.clone() };
        lock(&self.histories[payment]).push(seen);
        got
    }

    /// Sends a payment until it has an end.
    fn insist(&self, payment: usize, first_gate: usize, random: &mut Random) {
        let (mut gate, mut refusals) = (first_gate, 0);
        while !self.is_closed() {
            match self.send(payment, gate % self.urls.len()) {
                Got::Served(_) | Got::Used | Got::NotCharged => return,
                Got::Refused(..) if refusals + 1 >= REFUSALS => return,
                Got::Refused(..) => refusals += 1,
                Got::InProgress | Got::Pending | Got::Down(..) | Got::Nothing(_) => {}
            }
            gate += 1;
            let (least, most) = PAUSE_MS;
            std::thread::sleep(Duration::from_millis(least + random.below(most - least)));
        }
    }

    /// One payment, from the first request to the last.
    fn pay(self: &Arc<Self>, payment: usize, random: &mut Random) {
        let rivals = match random.once_in(RIVALS_EVERY) {
            _ if payment % CROWD_EVERY == FIRST_CROWD => CROWD - 1,
            true => RIVALS - 1,
            false => 0,
        };
        let others: Vec<JoinHandle<()>> = (1..=rivals)
            .map(|rival| {
                let lane = RIVAL_LANES + (payment * CROWD + rival) as u64;
                let (market, mut random) = (Arc::clone(self), Random::new(self.seed, lane));
                std::thread::spawn(move || market.insist(payment, payment + rival, &mut random))
            })
            .collect();
        self.insist(payment, payment, random);
        others.into_iter().for_each(|rival| drop(rival.join()));
        if random.once_in(AGAIN_EVERY) {
            self.insist(payment, payment + 1, random);
        }
        self.done.fetch_add(1, Ordering::SeqCst);
    }

    fn take(&self) -> Option<usize> {
        let released = match self.ration.load(Ordering::SeqCst) {
            usize::MAX => self.released.load(Ordering::SeqCst),
            ration => ration,
        };
        let step = |next: usize| (next < released).then_some(next + 1);
        self.next.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step).ok()
    }
}

/// Sends the buyers in.
pub(crate) fn start(market: &Arc<Market>) -> Vec<JoinHandle<()>> {
    let buyers = BUYERS.min(market.payments.len()) as u64;
    let buyer = |index: u64| {
        let market = Arc::clone(market);
        std::thread::spawn(move || {
            let mut random = Random::new(market.seed, 1 + index);
            while !market.is_closed() && market.done() < market.payments.len() {
                match market.take() {
                    Some(payment) => market.pay(payment, &mut random),
                    None => std::thread::sleep(POLL),
                }
            }
        })
    };
    (0..buyers).map(buyer).collect()
}

fn lock(history: &Mutex<Vec<Seen>>) -> std::sync::MutexGuard<'_, Vec<Seen>> {
    history.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read(answer: &Answer) -> Got {
    let stated = answer.header("content-length").and_then(|length| length.parse().ok());
    if stated.is_some_and(|length: usize| length != answer.body.len()) {
        return Got::Nothing("half an answer".to_owned());
    }
    if answer.status == 200 {
        let mut hasher = DefaultHasher::new();
        answer.body.hash(&mut hasher);
        return Got::Served(hasher.finish());
    }
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let code = body["error"].as_str().unwrap_or_default().to_owned();
    match (answer.status, code.as_str()) {
        (409, "payment_already_used") => Got::Used,
        (409 | 503, "payment_in_progress") => Got::InProgress,
        (503, "settlement_pending") => Got::Pending,
        (402, "payment_not_charged") => Got::NotCharged,
        (status @ 500..=599, _) => Got::Down(status, code),
        (status, _) => Got::Refused(status, code),
    }
}
