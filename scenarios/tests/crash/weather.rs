//! What happens to the chain and to the way there, while replicas die: one thing after the other,
//! in an order that the seed determines. Everything comes up once before anything comes up again,
//! and payments are spread over the first time, so that each thing meets some.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::buyers::Market;
use crate::chain_reader::ChainReader;
use crate::endpoint::{Endpoint, Mood};
use crate::random::Random;
use crate::real_chain::{MULTICALL3, SIGNER, place_multicall};

/// The stream of chance of the weather, beyond those of buyers and deaths.
const LANE: u64 = 1 << 40;
/// Length of one thing, and of the calm after it, in milliseconds. In a long run longer than the
/// engine takes to believe what it is told: that a nonce was used elsewhere, or taken back.
const LASTS_MS: (u64, u64) = (1500, 4000);
const LASTS_LONG_MS: (u64, u64) = (1500, 9000);
const CALM_MS: (u64, u64) = (300, 1200);
const POLL: Duration = Duration::from_millis(100);
/// A reorganisation waits so long for blocks that hold something.
const WAIT_FOR_BLOCKS: Duration = Duration::from_secs(6);
/// Shares of the payments that are kept back for what has to come up again.
const SPARE: usize = 2;
/// Payments of a long run.
const LONG_RUN: usize = 200;
/// Transactions are replaced when they have waited for 20 seconds, one after the other.
const CLIMB: Duration = Duration::from_secs(40);
/// Code that reverts whatever is asked.
const REVERTS: &str = "0x5f5ffd";
/// Blocks that a reorganisation takes back: those that are not final.
const DEPTHS: u64 = 2;
/// Base fees in wei: what no replica of this run may pay, and what the node begins with.
const TOO_DEAR: u64 = 1_000_000_000_000;
const ORDINARY: u64 = 1_000_000_000;
/// More than anybody offers at the ordinary fee, and less than half of what they may offer.
const CLIMBED: u64 = 40 * ORDINARY;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weather {
    /// The endpoint says it took transactions and forgets them.
    Forgets,
    /// The endpoint passes on and does not answer.
    Cuts,
    /// The endpoint denies transactions that are mined.
    Hides,
    /// The endpoint stands still at a block.
    Lags,
    /// The endpoint refuses.
    Refuses,
    /// Several of these at once.
    Mixed,
    /// The chain takes its newest blocks back, and their transactions are in no pool.
    Reorganised,
    /// Gas costs more than replicas may pay.
    TooDear,
    /// Transactions for several payments are mined and revert.
    Spoiled,
    /// Gas costs more than what waits to be mined offers, for as long as it takes to replace it.
    Climbed,
}

const ALL: [Weather; 9] = [
    Weather::Forgets,
    Weather::Cuts,
    Weather::Hides,
    Weather::Lags,
    Weather::Refuses,
    Weather::Mixed,
    Weather::Reorganised,
    Weather::TooDear,
    Weather::Spoiled,
];

/// How often what happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub(crate) forgotten: usize,
    pub(crate) cut: usize,
    pub(crate) hidden: usize,
    pub(crate) lagged: usize,
    pub(crate) refused: usize,
    /// Reorganisations, and the transactions that fell out.
    pub(crate) reorganised: usize,
    pub(crate) fallen_out: usize,
    /// Blocks that were too dear for what waited.
    pub(crate) too_dear: usize,
    /// Transactions for several payments that were mined without effect; maybe none in a short
    /// run.
    pub(crate) spoiled: usize,
    /// Times that gas became dearer than what waited; none in a short run.
    pub(crate) climbed: usize,
}

impl Record {
    /// Each kind that every run is to have, with its number.
    pub(crate) fn kinds(&self) -> [(&'static str, usize); 8] {
        [
            ("forgotten", self.forgotten),
            ("cut", self.cut),
            ("hidden", self.hidden),
            ("lagged", self.lagged),
            ("refused", self.refused),
            ("reorganised", self.reorganised),
            ("fallen_out", self.fallen_out),
            ("too_dear", self.too_dear),
        ]
    }
}

/// A thread that makes the weather until it is told to stop, at least everything once.
pub(crate) struct Sky {
    told: Arc<AtomicBool>,
    climbs: Arc<AtomicBool>,
    work: JoinHandle<Record>,
}

impl Sky {
    pub(crate) fn start(
        seed: u64,
        endpoint: Endpoint,
        chain: ChainReader,
        market: Arc<Market>,
    ) -> Self {
        let told = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&told);
        let climbs = Arc::new(AtomicBool::new(false));
        let climbing = Arc::clone(&climbs);
        let work = std::thread::spawn(move || {
            let random = Random::new(seed, LANE);
            let record = Record::default();
            let is_long = market.payments.len() >= LONG_RUN;
            let lasts_ms = if is_long { LASTS_LONG_MS } else { LASTS_MS };
            let mut maker = Maker { endpoint, chain, random, lasts_ms, climbing, record };
            maker.first_round(&market);
            while !stop.load(Ordering::SeqCst) {
                let weather = ALL[maker.random.index(ALL.len())];
                maker.make(weather);
            }
            maker.record()
        });
        Self { told, climbs, work }
    }

    /// Whether transactions wait to be replaced.
    pub(crate) fn climbs(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.climbs)
    }

    /// Good weather from now on.
    pub(crate) fn clear(self) -> Record {
        self.told.store(true, Ordering::SeqCst);
        self.work.join().unwrap()
    }
}

struct Maker {
    endpoint: Endpoint,
    chain: ChainReader,
    random: Random,
    lasts_ms: (u64, u64),
    climbing: Arc<AtomicBool>,
    record: Record,
}

impl Maker {
    /// Everything once, and again what met nothing.
    fn first_round(&mut self, market: &Market) {
        let total = market.payments.len();
        let share = |passed: usize| ((passed + 1) * total / (ALL.len() + SPARE)).min(total);
        if total >= LONG_RUN {
            // First, so that deaths are left for it.
            market.ration(share(0));
            self.make(Weather::Climbed);
        }
        let mut left = ALL.to_vec();
        for passed in 0..2 * ALL.len() {
            market.ration(share(passed));
            let index = self.random.index(left.len());
            let before = self.effect(left[index]);
            self.make(left[index]);
            if self.effect(left[index]) > before {
                left.remove(index);
            }
            if left.is_empty() {
                break;
            }
        }
        market.no_ration();
    }

    /// How much it has brought about so far.
    fn effect(&self, weather: Weather) -> usize {
        let done = self.record();
        match weather {
            Weather::Forgets => done.forgotten,
            Weather::Cuts => done.cut,
            Weather::Hides => done.hidden,
            Weather::Lags => done.lagged,
            Weather::Refuses => done.refused,
            Weather::Mixed => done.kinds().map(|(_, times)| times).iter().sum(),
            Weather::Reorganised => done.fallen_out,
            Weather::Spoiled => done.spoiled,
            Weather::TooDear => done.too_dear,
            Weather::Climbed => done.climbed,
        }
    }

    fn make(&mut self, weather: Weather) {
        let lasts = self.between(self.lasts_ms);
        let one_in = 1 + self.random.index(3);
        let mood = match weather {
            Weather::Forgets => Mood { forgets: true, ..Mood::default() },
            Weather::Cuts => Mood { cuts: true, ..Mood::default() },
            Weather::Hides => Mood { hides: true, ..Mood::default() },
            Weather::Lags => Mood { lags_at: Some(self.head()), ..Mood::default() },
            Weather::Refuses => Mood { refuses: true, ..Mood::default() },
            Weather::Mixed => self.mixed(),
            Weather::Reorganised => {
                self.reorganise();
                Mood::default()
            }
            Weather::TooDear => {
                self.record.too_dear += self.hold_base_fee(TOO_DEAR, lasts);
                Mood::default()
            }
            Weather::Spoiled => {
                self.record.spoiled += self.spoil(lasts);
                Mood::default()
            }
            Weather::Climbed => {
                self.climb();
                Mood::default()
            }
        };
        if !mood.is_good() {
            self.endpoint.set_mood(Mood { one_in, ..mood });
            std::thread::sleep(lasts);
            self.endpoint.set_mood(Mood::default());
        }
        let calm = self.between(CALM_MS);
        std::thread::sleep(calm);
    }

    fn mixed(&mut self) -> Mood {
        Mood {
            forgets: self.random.once_in(2),
            cuts: self.random.once_in(3),
            hides: true,
            lags_at: if self.random.once_in(2) { Some(self.head()) } else { None },
            refuses: self.random.once_in(3),
            one_in: 0,
        }
    }

    fn between(&mut self, (least, most): (u64, u64)) -> Duration {
        Duration::from_millis(least + self.random.below(most - least))
    }

    fn head(&self) -> u64 {
        number(&self.chain.call("eth_blockNumber", &json!([])))
    }

    /// Takes blocks back that hold something, if there are any soon.
    fn reorganise(&mut self) {
        let depth = 1 + self.random.below(DEPTHS);
        let began = Instant::now();
        let mut inside = 0;
        while inside == 0 && began.elapsed() < WAIT_FOR_BLOCKS {
            let head = self.head();
            let newest = head.saturating_sub(depth - 1)..=head;
            inside = newest.map(|block| self.transactions_in(block)).sum();
            if inside == 0 {
                std::thread::sleep(POLL);
            }
        }
        self.chain.call("anvil_reorg", &json!([depth, []]));
        self.record.reorganised += 1;
        self.record.fallen_out += inside;
    }

    fn transactions_in(&self, block: u64) -> usize {
        let count = format!("{block:#x}");
        let count = self.chain.call("eth_getBlockTransactionCountByNumber", &json!([count]));
        usize::try_from(number(&count)).unwrap_or(0)
    }

    /// Transactions for several payments revert, whatever they hold. Returns how many did.
    fn spoil(&self, lasts: Duration) -> usize {
        let first = self.head() + 1;
        self.chain.call("anvil_setCode", &json!([MULTICALL3, REVERTS]));
        std::thread::sleep(lasts);
        place_multicall(&self.chain);
        (first..=self.head()).map(|block| self.spoiled_in(block)).sum()
    }

    /// Transactions for several payments in a block that did nothing.
    fn spoiled_in(&self, block: u64) -> usize {
        let receipts = self.chain.call("eth_getBlockReceipts", &json!([format!("{block:#x}")]));
        let is_one = |receipt: &&Value| {
            let to = receipt["to"].as_str().unwrap_or_default();
            to.eq_ignore_ascii_case(MULTICALL3) && receipt["status"] == "0x0"
        };
        receipts.as_array().map_or(0, |receipts| receipts.iter().filter(is_one).count())
    }

    /// Gas becomes dearer while something waits to be mined, and stays so.
    fn climb(&mut self) {
        let began = Instant::now();
        let count = |tag| self.chain.transactions_of(SIGNER, tag);
        while count("pending") == count("latest") && began.elapsed() < CLIMB {
            std::thread::sleep(POLL);
        }
        self.climbing.store(true, Ordering::SeqCst);
        self.hold_base_fee(CLIMBED, CLIMB);
        self.climbing.store(false, Ordering::SeqCst);
        self.record.climbed += 1;
    }

    /// The base fee of each block of this time; the one after it costs what it did before. Returns
    /// the number of blocks.
    fn hold_base_fee(&self, wei: u64, lasts: Duration) -> usize {
        let (began, first) = (Instant::now(), self.head());
        while began.elapsed() < lasts {
            self.set_base_fee(wei);
            std::thread::sleep(POLL);
        }
        let blocks = self.head().saturating_sub(first);
        self.set_base_fee(ORDINARY);
        usize::try_from(blocks).unwrap_or(0)
    }

    fn set_base_fee(&self, wei: u64) {
        let wei = format!("{wei:#x}");
        self.chain.call("anvil_setNextBlockBaseFeePerGas", &json!([wei]));
    }

    fn record(&self) -> Record {
        let done = self.endpoint.misdeeds();
        let of = |count: &std::sync::atomic::AtomicUsize| count.load(Ordering::SeqCst);
        Record {
            forgotten: of(&done.forgotten),
            cut: of(&done.cut),
            hidden: of(&done.hidden),
            lagged: of(&done.lagged),
            refused: of(&done.refused),
            ..self.record.clone()
        }
    }
}

fn number(value: &Value) -> u64 {
    let text = value.as_str().unwrap_or_default().trim_start_matches("0x");
    u64::from_str_radix(text, 16).unwrap_or_default()
}
