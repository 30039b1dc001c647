//! A payload is a bearer instrument: nothing of it is logged, at any level.

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

// One thread, so that the subscriber of the thread sees the server's tasks too.
#[tokio::test(flavor = "current_thread")]
async fn nothing_of_a_payload_is_logged_even_at_trace() {
    let captured = Captured::default();
    let writer = captured.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
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
