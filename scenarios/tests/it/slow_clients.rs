//! Clients that send a head or a body drop by drop: others are served meanwhile, and the slow ones
//! are shown the door. H23.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use faregate_protocol::header::PAYMENT_SIGNATURE;

use crate::application::Application;
use crate::dev_chain::DevChain;
use crate::draft::{Draft, PRICE};
use crate::http;
use crate::roles::{self, Extra, Role};

/// Slow connections to each door.
const COUNT: usize = 200;
/// Longest that a door waits for a head, or the facilitator for a body; and some more.
const SHOWN_THE_DOOR: Duration = Duration::from_secs(15);
/// Longest that the gate waits for the body of a paid request; and some more.
const GATE_BODY: Duration = Duration::from_secs(36);
const DROP: Duration = Duration::from_millis(500);
/// What the process may grow by, in KiB.
const GROWTH_KIB: u64 = 64 * 1024;

/// A client that sent `begin` and then a byte now and again; gives what it was answered.
fn dripping(url: &str, begin: &str, limit: Duration) -> Vec<u8> {
    let (authority, _) = http::split(url);
    let mut stream = TcpStream::connect(authority).unwrap();
    stream.set_read_timeout(Some(DROP)).unwrap();
    stream.write_all(begin.as_bytes()).unwrap();
    let (started, mut answer, mut chunk) = (Instant::now(), Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return answer,
            Ok(size) => answer.extend_from_slice(&chunk[..size]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                assert!(started.elapsed() < limit, "{url}: still open after {limit:?}");
                // Refused when the other side has closed; the next read tells.
                let _ = stream.write_all(b"x");
            }
            Err(_) => return answer,
        }
    }
}

fn open_heads(url: &str) -> Vec<TcpStream> {
    let (authority, path) = http::split(url);
    let half = format!("GET {path} HTTP/1.1\r\nhost: {authority}\r\nx-slow: ");
    (0..COUNT)
        .map(|_| {
            let mut stream = TcpStream::connect(authority).unwrap();
            stream.write_all(half.as_bytes()).unwrap();
            stream
        })
        .collect()
}

fn closed(stream: &mut TcpStream, limit: Duration) -> bool {
    stream.set_read_timeout(Some(limit)).unwrap();
    let mut chunk = [0; 4096];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => {
                return !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            }
        }
    }
}

fn world() -> (DevChain, Application, Role) {
    let chain = DevChain::start();
    let application = Application::start();
    let route = "[[gate.route]]\nname = \"post\"\nmatch = \"POST /post\"\nprice = \"$0.01\"\n\
                 network = \"eip155:84532\"\n\
                 pay_to = \"0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC\"\n";
    let extra = Extra { sections: route.to_owned(), ..Extra::default() };
    let role = roles::serve_at(chain.rpc(), &application.url, &extra);
    (chain, application, role)
}

#[test]
fn slow_heads_keep_nobody_out_and_are_closed() {
    let (chain, application, role) = world();
    let before = role.service.resident_kib();
    let doors = [role.priced_url(), format!("{}/verify", role.facilitator)];
    let started = Instant::now();
    let mut slow: Vec<_> = doors.iter().flat_map(|url| open_heads(url)).collect();
    let header = Draft::new().header();
    let paid = http::get_with(&role.priced_url(), &[(PAYMENT_SIGNATURE, &header)]);
    assert_eq!(paid.status, 200, "{paid:?}");
    assert_eq!((chain.paid(), application.ran()), (u128::from(PRICE), 1));
    let now = role.service.resident_kib();
    println!("{} KiB more for {} slow connections", now.saturating_sub(before), slow.len());
    assert!(now.saturating_sub(before) < GROWTH_KIB);
    for stream in &mut slow {
        let left = SHOWN_THE_DOOR.saturating_sub(started.elapsed()).max(DROP);
        assert!(closed(stream, left), "a slow head is still open");
    }
    println!("all closed after {:?}", started.elapsed());
}

#[test]
fn slow_bodies_keep_nobody_out_and_are_closed() {
    let (chain, application, role) = world();
    let verify = format!("{}/verify", role.facilitator);
    let unpaid = format!("{}/post", role.url);
    std::thread::scope(|scope| {
        let body = "POST /verify HTTP/1.1\r\nhost: a\r\ncontent-length: 60000\r\n\r\n{";
        let at_facilitator = scope.spawn(|| dripping(&verify, body, SHOWN_THE_DOOR));
        let paid = format!(
            "POST /post HTTP/1.1\r\nhost: a\r\ncontent-length: 60000\r\npayment-signature: {}\r\n\r\n{{",
            Draft::new().header()
        );
        let at_gate = scope.spawn(move || dripping(&unpaid, &paid, GATE_BODY));
        let header = Draft::new().header();
        let answer = http::get_with(&role.priced_url(), &[(PAYMENT_SIGNATURE, &header)]);
        assert_eq!(answer.status, 200, "{answer:?}");
        for slow in [at_facilitator, at_gate] {
            let answer = String::from_utf8_lossy(&slow.join().unwrap()).into_owned();
            assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        }
    });
    let seen = (chain.paid(), application.ran());
    assert_eq!(seen, (u128::from(PRICE), 1), "the slow ones bought nothing");
}
