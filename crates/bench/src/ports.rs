//! A port for a process that is told where to listen.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use crate::error::BenchError;

/// Below the ports that the system gives to clients, so that none of them takes it meanwhile.
const FIRST: u16 = 14_000;
const COUNT: u16 = 4_000;
/// Processes begin their search apart from each other.
const STRIDE: u32 = 16;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port of loopback that nobody listens on.
pub(crate) fn free() -> Result<SocketAddr, BenchError> {
    let own = std::process::id().wrapping_mul(STRIDE) % u32::from(COUNT);
    for _ in 0..COUNT {
        let step = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let offset = u16::try_from((own + step) % u32::from(COUNT)).unwrap_or_default();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST + offset));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    Err(BenchError::Unexpected(format!("no port from {FIRST} to {} is free", FIRST + COUNT - 1)))
}
