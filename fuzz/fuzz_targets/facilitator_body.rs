//! The body of `/verify` and `/settle`. A payment that is read, in whichever version, is read
//! again from its version 2 form, with the same key.
#![no_main]

use faregate_facilitator::message::{self, Message};
use faregate_facilitator::version::Version;
use faregate_protocol::PaymentKey;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(Message::Payment { request, .. }) = message::read(data) else { return };
    let written = serde_json::to_vec(&request).expect("what was JSON is JSON");
    let Ok(Message::Payment { version, request: again }) = message::read(&written) else {
        panic!("written, not read")
    };
    assert_eq!(version, Version::V2);
    let key = |request: &faregate_protocol::PaymentRequest| {
        PaymentKey::of(&request.payment_payload, &request.payment_requirements).map(|(key, _)| key)
    };
    assert_eq!(key(&request), key(&again));
});
