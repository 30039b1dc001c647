//! Who dies when: processes at random times and at named places, frozen ones, and the database.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::arguments::Arguments;
use crate::buyers::{BUYERS, Market};
use crate::database::Database;
use crate::history::Outage;
use crate::random::Random;
use crate::replica::{Ended, LEASE_MS, Replica};

/// The named places of gate and engine, but for the one of replacements.
const POINTS: &[&str] = &[
    "G1", "G2", "G3", "G4", "G5", "G6", "G7", "G8", "G9", "G10", "G11", "G12", "F1", "F2", "F3",
    "F4", "F5", "F6", "F7", "F8", "F9", "F11", "F12", "B1", "B2",
];
/// It is passed only while a batch that did nothing is made again in smaller ones: only the
/// weather brings that about.
const SPLIT: &str = "B3";
/// One in so many of those who are to die at a place waits for it in bad weather.
const SPLIT_IN: u64 = 12;
/// Those of deferred money.
const DEFERRED_POINTS: &[&str] = &["A1", "A2", "A3", "A4"];
/// It is passed only while gas has become dearer, and then it is the only one that is armed.
pub(crate) const REPLACEMENT: &str = "F10";
/// After so many deaths there nobody else is armed with it.
const REPLACEMENTS: usize = 3;
/// A process dies at one of its first passes of a place.
const PASSES: u64 = 3;
/// A process that has not come to its place by then may be killed anywhere.
const PATIENCE: Duration = Duration::from_secs(4);
/// Time from one death to the next that nothing else brings about, in milliseconds.
const PAUSE_MS: (u64, u64) = (50, 1400);
/// One in so many deaths comes with a frozen process, one with the death of the database.
const FREEZE_EVERY: usize = 10;
const DATABASE_EVERY: usize = 20;
/// Frozen for longer than its leases, the engine's included.
const FROZEN: Duration = Duration::from_millis(LEASE_MS * 3);
/// How long after its return the database can still be missed: what waits for a connection waits
/// for five seconds.
const AFTERMATH_US: u64 = 6_000_000;
/// Longest wait for buyers before the next death.
const STALL: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(5);

/// What was done to the processes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Toll {
    pub(crate) random: usize,
    pub(crate) at_points: BTreeMap<String, usize>,
    pub(crate) frozen: usize,
    /// When the database was away.
    pub(crate) outages: Vec<Outage>,
    /// Processes that ended by themselves, with how.
    pub(crate) alone: Vec<String>,
}

impl Toll {
    /// Deaths of replicas that this run brought about.
    pub(crate) fn deaths(&self) -> usize {
        self.random + self.at_points.values().sum::<usize>()
    }
}

/// Brings the deaths of a run about.
pub(crate) struct Executioner<'a> {
    arguments: &'a Arguments,
    replicas: &'a mut Vec<Replica>,
    database: &'a mut Database,
    market: &'a Market,
    /// Transactions wait to be replaced.
    climbs: Arc<AtomicBool>,
    random: Random,
    toll: Toll,
}

impl<'a> Executioner<'a> {
    pub(crate) fn new(
        arguments: &'a Arguments,
        replicas: &'a mut Vec<Replica>,
        database: &'a mut Database,
        market: &'a Market,
        climbs: Arc<AtomicBool>,
    ) -> Self {
        let random = Random::new(arguments.seed, 0);
        Self { arguments, replicas, database, market, climbs, random, toll: Toll::default() }
    }

    /// Spreads the deaths over the payments, until there were enough or `stop` says so.
    pub(crate) fn run(mut self, stop: &dyn Fn() -> bool) -> Toll {
        let (payments, kills) = (self.arguments.payments, self.arguments.kills);
        while self.toll.deaths() < kills && !stop() {
            let before = self.toll.deaths();
            self.market.release((before + 1) * payments / kills.max(1));
            self.wait_for_buyers(before * payments / kills.max(1), stop);
            self.extras(before);
            let (least, most) = PAUSE_MS;
            let pause = Duration::from_millis(least + self.random.below(most - least));
            self.let_time_pass(pause, before, stop);
            if self.toll.deaths() == before && !stop() {
                self.kill_one();
            }
        }
        self.toll
    }

    /// Deaths do not run ahead of payments by more than what buyers have in their hands.
    fn wait_for_buyers(&mut self, sent: usize, stop: &dyn Fn() -> bool) {
        let (began, before) = (Instant::now(), self.toll.deaths());
        while self.market.done() + BUYERS < sent
            && began.elapsed() < STALL
            && self.toll.deaths() == before
            && !stop()
        {
            self.tick();
            std::thread::sleep(POLL);
        }
    }

    /// Watches for `pause`, or until somebody died.
    fn let_time_pass(&mut self, pause: Duration, before: usize, stop: &dyn Fn() -> bool) {
        let began = Instant::now();
        while began.elapsed() < pause && self.toll.deaths() == before && !stop() {
            self.tick();
            std::thread::sleep(POLL);
        }
    }

    /// Starts what has ended, lets go on what was frozen.
    fn tick(&mut self) {
        for index in 0..self.replicas.len() {
            self.replicas[index].thaw_if_due();
            match self.replicas[index].ended() {
                Some(Ended::AtPoint(point)) => {
                    let name = point.split(':').next().unwrap_or_default().to_owned();
                    *self.toll.at_points.entry(name).or_default() += 1;
                }
                Some(Ended::Alone(how)) => self.toll.alone.push(how),
                None => continue,
            }
            let armed = self.arm(index);
            self.replicas[index].start_again(armed);
        }
    }

    /// The place at which the next process of this replica dies, if it is to die at one: half of
    /// the deaths are promised to places.
    fn arm(&mut self, index: usize) -> Option<String> {
        if !self.arguments.points {
            return None;
        }
        if self.climbs.load(Ordering::SeqCst) {
            let died = self.toll.at_points.get(REPLACEMENT).copied().unwrap_or(0);
            // Somebody has to get past it in the end.
            return (died < REPLACEMENTS).then(|| format!("{REPLACEMENT}:1"));
        }
        let others = self.replicas.iter().enumerate().filter(|(other, _)| *other != index);
        let armed = others.filter(|(_, replica)| replica.armed_for().is_some()).count();
        let at_points = self.toll.deaths() - self.toll.random;
        let left = self.arguments.kills.saturating_sub(self.toll.deaths());
        let promised = at_points + armed;
        if promised >= self.arguments.kills / 2 || armed >= left {
            return None;
        }
        if self.toll.random < self.at_random_times() && self.random.once_in(2) {
            return None;
        }
        let split = self.arguments.chaos && self.random.below(SPLIT_IN) == 0;
        if split {
            return Some(format!("{SPLIT}:1"));
        }
        let mut points = POINTS.to_vec();
        if self.arguments.deferred {
            // Four places among so many others would hardly be drawn.
            points.extend(DEFERRED_POINTS.repeat(3));
        }
        let point = points[self.random.index(points.len())];
        Some(format!("{point}:{}", 1 + self.random.below(PASSES)))
    }

    /// Deaths that are not promised to places.
    fn at_random_times(&self) -> usize {
        let kills = self.arguments.kills;
        if self.arguments.points { kills - kills / 2 } else { kills }
    }

    /// Somebody that is not on the way to a place of its own, or has been for too long.
    fn kill_one(&mut self) {
        let armed = self.replicas.iter().any(|replica| replica.armed_for().is_some());
        let spares = armed && self.toll.random >= self.at_random_times();
        let is_due = |replica: &Replica| {
            let armed_for = replica.armed_for();
            !replica.is_frozen() && armed_for.map_or(!spares, |armed| armed > PATIENCE)
        };
        let due: Vec<usize> =
            (0..self.replicas.len()).filter(|index| is_due(&self.replicas[*index])).collect();
        if due.is_empty() {
            return;
        }
        let index = due[self.random.index(due.len())];
        self.toll.random += 1;
        let armed = self.arm(index);
        self.replicas[index].kill_and_start(armed);
    }

    /// What comes with some of the deaths.
    fn extras(&mut self, deaths: usize) {
        if deaths % FREEZE_EVERY == 2 && self.toll.frozen <= deaths / FREEZE_EVERY {
            let index = self.random.index(self.replicas.len());
            self.replicas[index].freeze(FROZEN);
            self.toll.frozen += 1;
        }
        if let Database::Postgres(cluster) = &mut *self.database
            && deaths % DATABASE_EVERY == 3
            && self.toll.outages.len() <= deaths / DATABASE_EVERY
        {
            let died_us = self.market.now_us();
            cluster.kill_and_start();
            self.toll.outages.push(died_us..=self.market.now_us() + AFTERMATH_US);
        }
    }
}

/// Until everybody runs and nobody is frozen or armed.
pub(crate) fn calm_down(replicas: &mut [Replica]) {
    for replica in replicas {
        if replica.ended().is_some() {
            replica.start_again(None);
        } else if replica.is_frozen() || replica.armed_for().is_some() {
            replica.kill_and_start(None);
        }
    }
}
