//! Ports that nobody listens on, a few in a row.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the range from which the system takes ports for clients, so that no connection takes a
/// port between this look and the service's start.
const FIRST: u32 = 18_000;
const LAST: u32 = 31_000;
/// Processes begin their search apart from each other.
const STRIDE: u32 = 64;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// The first of `count` free ports in a row.
pub(crate) fn row(count: u16) -> u16 {
    let count = u32::from(count);
    let span = LAST - FIRST - count;
    let own = std::process::id() * STRIDE;
    for _ in 0..span {
        let base = FIRST + (own + NEXT.fetch_add(count, Ordering::Relaxed)) % span;
        let free = |port: u32| {
            TcpListener::bind((Ipv4Addr::LOCALHOST, u16::try_from(port).unwrap())).is_ok()
        };
        if (base..base + count).all(free) {
            return u16::try_from(base).unwrap();
        }
    }
    panic!("no {count} free ports in a row");
}

/// One free port.
pub(crate) fn one() -> u16 {
    row(1)
}
