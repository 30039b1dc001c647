//! Payment headers of both versions, as base64 and as the JSON inside. What is read must be
//! written as something that is read.
#![no_main]

use faregate_protocol::eip3009::Eip3009Payload;
use faregate_protocol::v1::{PaymentPayloadV1, PaymentRequiredV1};
use faregate_protocol::{PaymentPayload, PaymentRequired, SettleResponse, header, json};
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn message<T: Serialize + DeserializeOwned>(data: &[u8]) -> Option<T> {
    let message: T = match header::decode(data) {
        Ok(message) => message,
        Err(_) => serde_json::from_value(json::parse(data).ok()?).ok()?,
    };
    let written = serde_json::to_vec(&message).expect("what was JSON is JSON");
    let again = json::parse(&written).map(serde_json::from_value::<T>);
    assert!(matches!(again, Ok(Ok(_))), "written, not read");
    Some(message)
}

fuzz_target!(|data: &[u8]| {
    message::<PaymentRequired>(data);
    message::<PaymentRequiredV1>(data);
    message::<PaymentPayloadV1>(data);
    message::<SettleResponse>(data);
    if let Some(payment) = message::<PaymentPayload>(data)
        && let Ok(read) = Eip3009Payload::read(&payment.payload)
    {
        assert_eq!(Eip3009Payload::read(&read.to_members()), Ok(read));
    }
});
