//! A payload is a bearer instrument: nothing of it is logged, at any level.
//! A process of its own: what other tests log, or do not, decides what tracing remembers of each
//! place that logs.

#![allow(clippy::unwrap_used, dead_code)] // a panic is how a test fails; the harness is shared

#[path = "it/description.rs"]
mod description;
#[path = "it/harness.rs"]
mod harness;
#[path = "it/schema.rs"]
mod schema;

use std::io::Write;
use std::sync::{Arc, Mutex};

use faregate_protocol::{FacilitatorError, Reason};

use crate::harness::{Act, CANARY, door, good};

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn nothing_of_a_payload_is_logged_even_at_trace() {
    let captured = Captured::default();
    let writer = captured.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    for act in [
        Act::Accept,
        Act::Refuse(Reason::EvmSignature),
        Act::Fail(FacilitatorError::TimedOut),
        Act::Panic,
    ] {
        let door = self::door(act).await;
        for path in ["/verify", "/settle"] {
            door.post(path, good().to_string()).await;
            door.post(path, good().to_string().replace("\"10000\"", "10000")).await;
            door.post(path, format!("{{\"{CANARY}\"")).await;
        }
    }
    let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("a settlement panicked") && text.contains("request_id"), "{text}");
    assert!(!text.contains(CANARY));
}
