//! The crash harness: many replicas of `faregate serve` over one ledger and one signer, buyers that
//! insist, and somebody who kills all of them again and again; if asked for, also a thief of leases
//! and bad weather on the chain and on the way there. At the end the chain's logs, the tables and
//! the buyers must tell the same story. `scripts/crash` runs it.
//!
//! The last line is `payments=N transfers=.. settled=.. keys=.. lost=.. doubled=.. unresolved=..`:
//!
//! | word | meaning |
//! |---|---|
//! | payments | keys whose buyer was served or is owed |
//! | transfers | `AuthorizationUsed` logs that come with a transfer to the payee |
//! | settled | settlement rows that are MINED or FINAL |
//! | keys | different authorizations among the transfers |
//! | lost | keys with a transfer and neither an answer nor a CREDIT row |
//! | doubled | keys with two grants, two transfers or two different answers |
//! | unresolved | keys whose settlement is neither FINAL nor DEAD, or whose claim or deferred money has no end |
//!
//! The line before it says what was done to them, `most_in_flight` requests that waited at the same
//! time, and `granted_unseen`: those of the lost payments that were granted and whose buyer was told
//! `payment_already_used` without ever getting the answer, because it was not kept.
//!
//! Each payment has a history of requests, of up to 64 buyers that present the same header to all
//! gates at once. `history` says which histories are possible; the audit asks that of each.

#![allow(clippy::unwrap_used)] // a panic is how the harness fails

mod arguments;
mod audit;
mod buyers;
mod database;
mod deferred;
mod endpoint;
mod history;
mod kills;
mod payments;
mod random;
mod replica;
mod report;
mod thief;
mod upstream;
mod weather;

// Parts of the stories, as they are.
#[allow(dead_code)]
#[path = "../it/chain_reader.rs"]
mod chain_reader;
#[allow(dead_code)]
#[path = "../it/http.rs"]
mod http;
#[allow(dead_code)]
#[path = "../it/ports.rs"]
mod ports;
#[allow(dead_code)]
#[path = "../it/real_chain.rs"]
mod real_chain;
#[allow(dead_code)]
#[path = "../it/scripted_server.rs"]
mod scripted_server;
#[allow(dead_code)]
#[path = "../it/service.rs"]
mod service;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arguments::{Arguments, LedgerKind};
use audit::{Books, Evidence, Transfers, Verdict};
use buyers::Market;
use database::{Cluster, Database};
use endpoint::Endpoint;
use kills::Executioner;
use real_chain::RealChain;
use replica::{Replica, Site};
use report::Deeds;
use serde_json::json;
use thief::Thief;
use upstream::Upstream;
use weather::Sky;

/// Once nothing more is done to them, something must come to its end at least this often until
/// everything is at rest.
const QUIET: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);
/// Faults that are printed; all are in the folder of the run.
const SHOWN: usize = 20;
/// Ports of one replica: gate, facilitator, metrics.
const PORTS: u16 = 3;
const BLOCK_SECS: u64 = 1;

fn main() -> ExitCode {
    let arguments = match Arguments::read(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    history::check_the_rules();
    audit::check_the_rules();
    let seed = arguments.seed;
    println!("seed={seed}");
    let folder = run_folder(seed);
    let verdict = World::build(&arguments, &folder).run(&arguments);
    if verdict.is_good() && !arguments.keep {
        let _ = std::fs::remove_dir_all(&folder);
    }
    println!("{verdict}");
    if verdict.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// `target/crash/SEED`, empty.
fn run_folder(seed: u64) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folder = root.join("target/crash").join(seed.to_string());
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Everything that runs. Dropped in this order: what asks before what is asked.
struct World {
    replicas: Vec<Replica>,
    database: Database,
    upstream: Upstream,
    endpoint: Option<Endpoint>,
    chain: RealChain,
    folder: PathBuf,
    told_to_stop: Arc<AtomicBool>,
}

impl World {
    fn build(arguments: &Arguments, folder: &Path) -> Self {
        let told_to_stop = watch_signals();
        let chain = RealChain::start();
        // The token and what the buyers have are not what a reorganisation is to take back.
        chain.reader.call("anvil_mine", &json!(["0x8"]));
        chain.reader.call("evm_setIntervalMining", &json!([BLOCK_SECS]));
        let endpoint = arguments.chaos.then(|| Endpoint::before(chain.rpc()));
        let upstream = Upstream::start();
        let database = match arguments.ledger {
            LedgerKind::Sqlite => Database::Sqlite(folder.join("ledger.db")),
            LedgerKind::Postgres => Database::Postgres(Box::new(Cluster::start(folder))),
        };
        let sealing_key = folder.join("seal.key");
        std::fs::write(&sealing_key, "5e".repeat(32)).unwrap();
        let count = u16::try_from(arguments.replicas).unwrap();
        let first = ports::row(PORTS * count);
        let site = Site {
            binary: arguments
                .binary
                .clone()
                .unwrap_or_else(|| PathBuf::from(service::faregate().get_program())),
            folder: folder.to_path_buf(),
            ledger_url: database.url(),
            sealing_key,
            rpc: endpoint.as_ref().map_or(chain.rpc(), |endpoint| &endpoint.url).to_owned(),
            upstream: upstream.url.clone(),
            origin: format!("http://127.0.0.1:{first}"),
        };
        let start =
            |index: u16| Replica::start(&site, usize::from(index), first + PORTS * index, None);
        let mut replicas: Vec<Replica> = (0..count).map(start).collect();
        replicas.iter_mut().for_each(Replica::ready);
        let folder = folder.to_path_buf();
        Self { replicas, database, upstream, endpoint, chain, folder, told_to_stop }
    }

    fn run(mut self, arguments: &Arguments) -> Verdict {
        let mut paths = vec![replica::PRICED_PATH];
        paths.extend(arguments.deferred.then_some(replica::DEFERRED_PATH));
        paths.extend(arguments.before_run.then_some(replica::BEFORE_RUN_PATH));
        let payments = payments::sign(&self.replicas[0].url, &paths, arguments.payments);
        let urls = self.replicas.iter().map(|replica| replica.url.clone()).collect();
        let market = Market::open(payments, urls, arguments.seed);
        let buyers = buyers::start(&market);
        let thief = self.thief(arguments);
        let sky = self.endpoint.take().map(|endpoint| {
            let (chain, market) = (self.chain.reader.clone(), Arc::clone(&market));
            Sky::start(arguments.seed, endpoint, chain, market)
        });
        let began = Instant::now();
        let told = Arc::clone(&self.told_to_stop);
        let stop = || told.load(Ordering::SeqCst) || began.elapsed() > arguments.limit;
        let climbs = sky.as_ref().map(Sky::climbs).unwrap_or_default();
        let executioner =
            Executioner::new(arguments, &mut self.replicas, &mut self.database, &market, climbs);
        let toll = executioner.run(&stop);
        market.release(arguments.payments);
        kills::calm_down(&mut self.replicas);
        let weather = sky.map(Sky::clear);
        let killed_for = began.elapsed();
        self.wait_until_quiet(&market);
        let thefts = thief.map(Thief::stop);
        market.close();
        buyers.into_iter().for_each(|buyer| drop(buyer.join()));
        let deeds = Deeds {
            toll,
            thefts,
            weather,
            replaced: self.replaced(),
            batches: self.batches(),
            points: arguments.points,
            killed_for,
            quiet_after: began.elapsed() - killed_for,
            most_in_flight: market.most_in_flight(),
        };
        self.judge(&market, &deeds, arguments)
    }

    fn thief(&self, arguments: &Arguments) -> Option<Thief> {
        match (&self.database, arguments.steal_lanes) {
            (Database::Postgres(cluster), Some(every)) => {
                Some(Thief::start(every, cluster.sessions()))
            }
            _ => None,
        }
    }

    /// Until every payment has an end, or for [`QUIET`] none came any nearer to it. How fast they
    /// come to it is the machine's affair.
    fn wait_until_quiet(&mut self, market: &Market) {
        let (mut news, mut since) = ((0, 0), Instant::now());
        while since.elapsed() < QUIET && !self.told_to_stop.load(Ordering::SeqCst) {
            let done = market.done();
            let resolved = if done == market.payments.len() {
                Books::read(&self.database).map_or(0, |books| books.resolved(&market.payments))
            } else {
                0
            };
            if resolved == market.payments.len() {
                return;
            }
            if news != (done, resolved) {
                (news, since) = ((done, resolved), Instant::now());
            }
            // A process that ends by itself is started again, as a supervisor would.
            for replica in &mut self.replicas {
                if replica.ended().is_some() {
                    replica.start_again(None);
                }
            }
            std::thread::sleep(POLL);
        }
    }

    /// Nonces for which more than one transaction was signed.
    fn replaced(&self) -> usize {
        let rows = self
            .database
            .rows("select nonce from attempts group by network, signer, nonce having count(*) > 1");
        rows.unwrap_or_default().len()
    }

    /// Nonces for which transactions for several payments were signed.
    fn batches(&self) -> usize {
        const SLOTS: &str = "select nonce from nonce_slots where kind = 1 and state <> 0";
        self.database.rows(SLOTS).unwrap_or_default().len()
    }

    fn judge(&self, market: &Market, deeds: &Deeds, arguments: &Arguments) -> Verdict {
        let histories = market.histories();
        let mut verdict = audit::judge(&Evidence {
            payments: &market.payments,
            histories: &histories,
            books: Books::read(&self.database).unwrap(),
            transfers: Transfers::read(&self.chain),
            runs: self.upstream.runs(),
            outages: &deeds.toll.outages,
        });
        verdict.faults.extend(deeds.not_shown(market.payments.len()));
        if arguments.deferred {
            verdict.faults.extend(deferred::faults(&self.database));
        }
        for fault in verdict.faults.iter().take(SHOWN) {
            println!("fault: {fault}");
        }
        std::fs::write(self.folder.join("faults.txt"), verdict.faults.join("\n")).unwrap();
        for index in &verdict.suspects {
            self.write_down(*index, &market.payments[*index].key, &histories[*index]);
        }
        if !verdict.is_good() {
            println!("logs={}", self.folder.display());
        }
        println!("{deeds} granted_unseen={}", verdict.granted_unseen);
        verdict
    }

    /// What is known of a payment, for whoever looks into it.
    fn write_down(&self, index: usize, key: &str, history: &[history::Seen]) {
        let column = self.database.hex("payment_key");
        let journal = self.database.rows(&format!(
            "select id, at_ms, actor, subject, from_state, to_state, evidence from journal \
             where {column} = '{key}' order by id"
        ));
        let mut text = format!("payment {index}, key {key}\n\nwhat its buyers saw:\n");
        history.iter().for_each(|seen| text.push_str(&format!("{seen}\n")));
        text.push_str("\njournal:\n");
        for row in journal.unwrap_or_default() {
            text.push_str(&row.join(" | "));
            text.push('\n');
        }
        std::fs::write(self.folder.join(format!("payment-{index}.txt")), text).unwrap();
    }
}

/// Set when somebody wants this process to end: it still kills what it started.
fn watch_signals() -> Arc<AtomicBool> {
    use tokio::signal::unix::{SignalKind, signal};
    let told = Arc::new(AtomicBool::new(false));
    let tell = Arc::clone(&told);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut terminate = signal(SignalKind::terminate()).unwrap();
            let mut interrupt = signal(SignalKind::interrupt()).unwrap();
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        });
        tell.store(true, Ordering::SeqCst);
    });
    told
}
