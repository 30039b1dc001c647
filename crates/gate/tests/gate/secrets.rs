//! A payment is a bearer instrument until it is final: nothing of it is seen in an answer or a log,
//! at any level, whatever happens to it.

use std::io::Write;
use std::sync::{Arc, Mutex};

use faregate_protocol::{FacilitatorError, Reason};
use tracing_subscriber::fmt::MakeWriter;

use crate::faulty_ledger::{FaultyLedger, When};
use crate::payment::{SIGNATURE_CANARY, encoded, fresh};
use crate::scripted_facilitator::{Outcome, Verdict};
use crate::world::{SECRET, World, answering, config, memory, priced_route, request};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn nothing_of_a_payment_is_seen() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .finish();
    let _here = tracing::subscriber::set_default(subscriber);
    let mut shown = String::new();
    for round in 0..12 {
        let store = match round {
            0..8 => memory(),
            _ => Arc::new(FaultyLedger::new(memory(), When::After, round - 8, 1)),
        };
        let world = World::with(store, config(vec![priced_route()]), answering(SECRET));
        match round {
            1 => world.facilitator.will_say(Verdict::Invalid(Reason::EvmSignature.code().into())),
            2 => world.facilitator.will_say(Verdict::Fail(FacilitatorError::Nonsense("x"))),
            3 => world.facilitator.will_settle(Outcome::Fail(FacilitatorError::TimedOut)),
            4 => world.facilitator.will_settle(Outcome::Refused("x".into())),
            _ => {}
        }
        let payment = fresh();
        let header = encoded(&payment);
        for uri in ["/weather", "/weather", "/weather?other", "/Weather"] {
            let seen = world.send(request("GET", uri, Some(&payment))).await;
            shown.push_str(&format!("{:?} {:?}", seen.headers, seen.body));
            let decoded = seen.receipt().map(|receipt| format!("{receipt:?}"));
            shown.push_str(&decoded.unwrap_or_default());
        }
        let mut broken = request("GET", "/weather", None);
        let half = header[..header.len() / 2].to_owned();
        broken.headers_mut().insert("x-payment", half.parse().unwrap());
        shown.push_str(&format!("{:?}", Box::pin(world.send(broken)).await));
        assert!(!shown.contains(&header[100..140]), "a piece of the header is shown");
    }
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("bought nothing"), "the log was captured: {logged}");
    for text in [&shown, &logged] {
        assert!(!text.contains(SIGNATURE_CANARY));
        assert!(!text.contains("canary-endpoint-words"));
        // base64 of `"signature"` in its three alignments.
        for piece in ["InNpZ25hdHVyZS", "JzaWduYXR1cmUi", "ic2lnbmF0dXJlI"] {
            assert!(!text.contains(piece), "{piece}");
        }
    }
}
