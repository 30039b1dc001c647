//! A payment is a bearer instrument until it is final: nothing of it is seen in an answer or a log,
//! at any level, whatever happens to it.

use std::sync::Arc;

use faregate_protocol::{FacilitatorError, Reason};

use crate::captured_log::Log;
use crate::faulty_ledger::{FaultyLedger, When};
use crate::payment::{SIGNATURE_CANARY, encoded, fresh};
use crate::scripted_facilitator::{Outcome, Verdict};
use crate::world::{SECRET, World, answering, config, memory, priced_route, request};

#[tokio::test]
async fn nothing_of_a_payment_is_seen() {
    let (log, _here) = Log::capture();
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
    let logged = log.text();
    assert!(logged.contains("status=\"refused\""), "the log was captured: {logged}");
    for text in [&shown, &logged] {
        assert!(!text.contains(SIGNATURE_CANARY));
        assert!(!text.contains("canary-endpoint-words"));
        // base64 of `"signature"` in its three alignments.
        for piece in ["InNpZ25hdHVyZS", "JzaWduYXR1cmUi", "ic2lnbmF0dXJlI"] {
            assert!(!text.contains(piece), "{piece}");
        }
    }
}
