//! Answers that are too large for the gate's memory: it is killed in the middle of one, and many
//! are on their way at once. P21, H13.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use faregate_protocol::header::PAYMENT_SIGNATURE;

use crate::dev_chain::DevChain;
use crate::draft::{Draft, PRICE};
use crate::http;
use crate::roles::{self, Extra, Role};
use crate::scripted_server::{Reaction, ScriptedServer};

const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(50);
const MIB: usize = 1024 * 1024;
/// Of the answer that is interrupted: many parts, and a last one that is not full.
const SIZE: usize = 4 * MIB + 7;
/// As large as an answer may be by default.
const LARGEST: usize = 8 * MIB;
const AT_ONCE: usize = 64;

/// No two places of it look alike, so that a part in another's place shows.
fn bytes(size: usize) -> Arc<Vec<u8>> {
    Arc::new((0..size.div_ceil(8)).flat_map(|n| n.to_be_bytes()).take(size).collect())
}

/// Whoever comes waits until it is opened.
#[derive(Default)]
struct Barrier {
    open: Mutex<bool>,
    opened: Condvar,
    waiting: AtomicUsize,
}

impl Barrier {
    fn wait(&self, longest: Duration) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let open = self.open.lock().unwrap();
        drop(self.opened.wait_timeout_while(open, longest, |open| !*open).unwrap());
    }

    fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }
}

/// What a buyer got: the status and as much of the body as arrived.
fn pay(url: &str, header: &str, longest: usize) -> std::io::Result<(u16, Vec<u8>)> {
    let (authority, path) = http::split(url);
    let mut stream = TcpStream::connect(authority)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {authority}\r\n{PAYMENT_SIGNATURE}: {header}\r\n\
         connection: close\r\n\r\n"
    )?;
    let (mut got, mut chunk) = (Vec::new(), vec![0; 64 * 1024]);
    while got.len() < longest {
        match stream.read(&mut chunk)? {
            0 => break,
            size => got.extend_from_slice(&chunk[..size]),
        }
    }
    let no_answer = || std::io::Error::other("no answer");
    let end = got.windows(4).position(|window| window == b"\r\n\r\n").ok_or_else(no_answer)?;
    let status = std::str::from_utf8(&got[9..12]).ok().and_then(|status| status.parse().ok());
    Ok((status.ok_or_else(no_answer)?, got.split_off(end + 4)))
}

fn until(what: &str, mut ready: impl FnMut() -> bool) {
    let started = Instant::now();
    while !ready() {
        assert!(started.elapsed() < PATIENCE, "no {what}");
        std::thread::sleep(PAUSE);
    }
}

/// Sends the header until the whole body is there.
fn insist(url: &str, header: &str, body: &[u8]) {
    let started = Instant::now();
    loop {
        match pay(url, header, usize::MAX) {
            Ok((200, got)) if got.len() == body.len() => {
                assert!(got == body, "other bytes");
                return;
            }
            Ok((200, cut)) => assert!(cut.len() < body.len(), "{} bytes", cut.len()),
            Ok((409 | 503, _)) | Err(_) => {}
            Ok((status, _)) => panic!("a buyer that may have paid was told {status}"),
        }
        assert!(started.elapsed() < PATIENCE, "never served");
        std::thread::sleep(PAUSE);
    }
}

type Sent = std::thread::JoinHandle<std::io::Result<(u16, Vec<u8>)>>;

/// One payment for one large answer.
struct Story {
    chain: DevChain,
    body: Arc<Vec<u8>>,
    /// Keeps the second half of the answer back.
    rest: Arc<Barrier>,
    upstream: ScriptedServer,
    role: Role,
    header: String,
}

impl Story {
    fn begin() -> Self {
        let chain = DevChain::start();
        let (body, rest) = (bytes(SIZE), Arc::new(Barrier::default()));
        let upstream = ScriptedServer::start({
            let (body, rest) = (Arc::clone(&body), Arc::clone(&rest));
            move |_| {
                let rest = Arc::clone(&rest);
                Reaction::Held(Arc::clone(&body), SIZE / 2, Arc::new(move || rest.wait(PATIENCE)))
            }
        });
        let role = roles::serve_at(chain.rpc(), &upstream.url, &Extra::default());
        Self { chain, body, rest, upstream, role, header: Draft::new().header() }
    }

    /// Sends the header until it is not told to wait for another holder of the claim.
    fn send(&self) -> Sent {
        let (url, header) = (self.role.priced_url(), self.header.clone());
        std::thread::spawn(move || {
            loop {
                match pay(&url, &header, usize::MAX) {
                    Ok((409, _)) => std::thread::sleep(PAUSE),
                    other => return other,
                }
            }
        })
    }

    fn kill(&mut self, sent: Sent) {
        self.role.service.kill();
        let answer = sent.join().unwrap();
        assert!(answer.is_err(), "something of it left: {:?}", answer.map(|(status, _)| status));
    }

    /// A buyer that takes the first bytes of its answer and hangs up.
    fn take_some(&self) {
        let started = Instant::now();
        loop {
            let (status, some) = pay(&self.role.priced_url(), &self.header, MIB).unwrap();
            if status == 200 {
                assert!(some.len() > MIB / 2 && self.body.starts_with(&some), "{}", some.len());
                return;
            }
            assert!(matches!(status, 409 | 503), "{status}");
            assert!(started.elapsed() < PATIENCE, "never served");
            std::thread::sleep(PAUSE);
        }
    }
}

#[test]
fn killed_in_the_middle_of_a_large_answer_it_is_paid_once_and_given_whole() {
    let mut story = Story::begin();
    // While the application answers: half of it is in the ledger, and nothing was asked for.
    let enough = story.role.ledger_bytes() + u64::try_from(SIZE / 4).unwrap();
    let sent = story.send();
    until("parts in the ledger", || story.role.ledger_bytes() >= enough);
    story.kill(sent);
    assert_eq!((story.chain.paid(), story.chain.sent()), (0, 0), "nothing was charged");
    story.rest.open();

    // While it settles: the answer is kept, whole.
    story.chain.node.set_automine(false);
    story.role.start_again();
    let sent = story.send();
    until("transaction", || !story.chain.node.pending().is_empty());
    story.kill(sent);
    assert_eq!(story.upstream.asked(), 2, "what was lost ran again");
    story.chain.node.set_automine(true);
    story.chain.node.mine(1);

    // While it is delivered.
    story.role.start_again();
    story.take_some();
    story.role.service.kill();
    story.role.start_again();
    for _ in 0..2 {
        insist(&story.role.priced_url(), &story.header, &story.body);
    }
    let paid = (story.chain.paid(), story.chain.sent());
    assert_eq!(paid, (u128::from(PRICE), 1), "paid once");
    assert_eq!(story.upstream.asked(), 2, "what was kept did not run again");
}

/// Memory of a gate, in KiB.
struct Used {
    idle: u64,
    settling: u64,
    peak: u64,
}

/// Where a gate holds answers that settle.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Held {
    /// As it is by default.
    InParts,
    InMemory,
}

/// Has `count` of the largest answers settle at once.
fn measured(count: usize, held: Held) -> Used {
    /// Less than the gate waits for a settlement.
    const LONGEST: Duration = Duration::from_secs(8);
    let chain = DevChain::start();
    let facilitator = roles::facilitator_at(chain.rpc(), &Extra::default());
    let body = bytes(LARGEST);
    let (last_byte, settle) = (Arc::new(Barrier::default()), Arc::new(Barrier::default()));
    let wire = ScriptedServer::start({
        let (settle, url) = (Arc::clone(&settle), facilitator.url.clone());
        move |asked| {
            if asked.target == "/settle" {
                settle.wait(LONGEST);
            }
            Reaction::Pass(url.clone())
        }
    });
    let upstream = ScriptedServer::start({
        let (body, last_byte) = (Arc::clone(&body), Arc::clone(&last_byte));
        move |_| {
            let last_byte = Arc::clone(&last_byte);
            let wait = Arc::new(move || last_byte.wait(PATIENCE));
            Reaction::Held(Arc::clone(&body), LARGEST - 1, wait)
        }
    });
    let gate = gate_for(&upstream, &wire, held);
    let idle = gate.service.resident_kib();
    let url = gate.priced_url();
    let settling = std::thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| insist(&url, &Draft::new().header(), &body));
        }
        until("answers", || last_byte.waiting() >= count);
        let nearly_all = u64::try_from(count * (LARGEST - MIB)).unwrap();
        until("bytes at the gate", || nearly_all <= taken(&gate, held));
        last_byte.open();
        // Those that come too late to be held together are told, not waited for.
        until("settlements", || settle.waiting() > 0);
        let begun = Instant::now();
        until("settlements", || settle.waiting() >= count || begun.elapsed() > LONGEST / 2);
        let settling = gate.service.resident_kib();
        println!("{} of {count} settle at once", settle.waiting());
        settle.open();
        settling
    });
    assert_eq!(chain.paid(), u128::from(PRICE) * u128::try_from(count).unwrap());
    Used { idle, settling, peak: gate.service.peak_resident_kib() }
}

fn gate_for(upstream: &ScriptedServer, wire: &ScriptedServer, held: Held) -> Role {
    let gate = match held {
        Held::InParts => String::new(),
        Held::InMemory => format!("max_answer_in_memory_bytes = {LARGEST}"),
    };
    let extra = Extra {
        gate,
        route: "upstream_timeout_ms = 200000".to_owned(),
        // As it is by default: that of the other stories is renewed too often for so many.
        sections: "[lease]\nttl_ms = 5000\n".to_owned(),
        ..Extra::default()
    };
    roles::gate_at(&upstream.url, &wire.url, &extra)
}

/// What it holds of its answers, in bytes.
fn taken(gate: &Role, held: Held) -> u64 {
    match held {
        Held::InParts => gate.ledger_bytes(),
        Held::InMemory => gate.service.resident_kib() * 1024,
    }
}

#[test]
fn many_large_answers_at_once_do_not_fill_the_memory() {
    // Fewer in memory, out of regard for the machine.
    for (held, count) in [(Held::InMemory, AT_ONCE / 8), (Held::InParts, AT_ONCE)] {
        let used = measured(count, held);
        let all = u64::try_from(count * LARGEST / 1024).unwrap();
        println!(
            "{count} answers of {} MiB, {held:?}: {} MiB idle, {} MiB while they settle, {} MiB at most",
            LARGEST / MIB,
            used.idle / 1024,
            used.settling / 1024,
            used.peak / 1024,
        );
        let grown = used.peak.saturating_sub(used.idle);
        assert!(held == Held::InMemory || grown < all / 2, "{grown} KiB more");
    }
}
