//! Every decoder against every small change of good messages: no panic, nothing larger than what
//! came in, and whatever is read is written as something that is read as the same.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

#[path = "mutation/mutants.rs"]
mod mutants;

use std::path::Path;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use faregate_protocol::eip3009::Eip3009Payload;
use faregate_protocol::json::MAX_DEPTH;
use faregate_protocol::price::Price;
use faregate_protocol::v1::{self, PaymentPayloadV1, PaymentRequiredV1, PaymentRequirementsV1};
use faregate_protocol::{
    Amount, Network, PaymentKey, PaymentPayload, PaymentRequest, PaymentRequired, SettleResponse,
    SupportedResponse, VerifyResponse, address, header, json,
};
use mutants::{Random, corpus, each_mutant, splices, without_panic};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Splices for each corpus.
const SPLICES: usize = 1_000;
/// Largest growth from reading to writing: a number such as `1e20` is written with its digits.
const MAX_GROWTH: usize = 8;
/// Members that are written though they need not be there.
const MAX_ADDED_BYTES: usize = 256;

/// What was read, as a value and as it is written.
struct Read {
    value: Value,
    written: Vec<u8>,
}

/// Reads, and writes what was read.
type Decoder = fn(&[u8]) -> Option<Read>;

/// By the name of its corpus.
const DECODERS: &[(&str, Decoder)] = &[
    ("challenge", message::<PaymentRequired>),
    ("challenge-v1", message::<PaymentRequiredV1>),
    ("payment", message::<PaymentPayload>),
    ("payment-v1", message::<PaymentPayloadV1>),
    ("receipt", message::<SettleResponse>),
    ("verdict", message::<VerifyResponse>),
    ("supported", message::<SupportedResponse>),
    ("request", request),
    ("request-v1", request_v1),
    ("eip3009", eip3009),
    ("price", price),
    ("amount", text::<Amount>),
    ("address", address),
    ("network", text::<Network>),
    ("payment-key", text::<PaymentKey>),
];

/// Those that travel in headers.
const HEADERS: &[(&str, Decoder)] = &[
    ("challenge", in_header::<PaymentRequired>),
    ("payment", in_header::<PaymentPayload>),
    ("payment-v1", in_header::<PaymentPayloadV1>),
    ("receipt", in_header::<SettleResponse>),
];

impl Read {
    fn message<T: Serialize>(message: &T) -> Option<Self> {
        let value = serde_json::to_value(message).unwrap();
        Some(Self { value, written: serde_json::to_vec(message).unwrap() })
    }

    fn text(text: String) -> Option<Self> {
        Some(Self { value: Value::String(text.clone()), written: text.into_bytes() })
    }
}

fn message<T: Serialize + DeserializeOwned>(text: &[u8]) -> Option<Read> {
    let value = json::parse(text).ok()?;
    assert!(depth(&value) <= MAX_DEPTH);
    Read::message::<T>(&serde_json::from_value(value).ok()?)
}

fn depth(value: &Value) -> usize {
    let deepest = match value {
        Value::Array(items) => items.iter().map(depth).max(),
        Value::Object(members) => members.values().map(depth).max(),
        _ => return 0,
    };
    1 + deepest.unwrap_or(0)
}

fn request(text: &[u8]) -> Option<Read> {
    let read = message::<PaymentRequest>(text)?;
    let request: PaymentRequest = serde_json::from_value(read.value.clone()).unwrap();
    if let Ok((key, signed)) =
        PaymentKey::of(&request.payment_payload, &request.payment_requirements)
    {
        assert_eq!(key.to_string().parse(), Ok(key));
        assert!(signed.signature.len() <= text.len());
    }
    Some(read)
}

fn request_v1(text: &[u8]) -> Option<Read> {
    let value = json::parse(text).ok()?;
    let part = |name: &str| value.get(name).cloned();
    let payload: PaymentPayloadV1 = serde_json::from_value(part("paymentPayload")?).ok()?;
    let requirements: PaymentRequirementsV1 =
        serde_json::from_value(part("paymentRequirements")?).ok()?;
    let written = serde_json::json!({
        "paymentPayload": payload, "paymentRequirements": requirements,
    });
    if let Ok(translated) = v1::request_to_v2(payload, &requirements) {
        let translated = Read::message(&translated).unwrap();
        let again = message::<PaymentRequest>(&translated.written).unwrap();
        assert_eq!(again.value, translated.value);
    }
    Read::message(&written)
}

fn eip3009(text: &[u8]) -> Option<Read> {
    let Value::Object(members) = json::parse(text).ok()? else { return None };
    Read::message(&Eip3009Payload::read(&members).ok()?.to_members())
}

/// A price is written as the amount it stands for, with its ticker.
fn price(text: &[u8]) -> Option<Read> {
    const DECIMALS: u8 = 18;
    let price: Price = std::str::from_utf8(text).ok()?.parse().ok()?;
    let tokens = price.in_units(DECIMALS).ok()?.in_tokens(DECIMALS);
    let ticker = price.ticker.map(|ticker| format!(" {ticker}")).unwrap_or_default();
    Read::text(format!("{tokens}{ticker}"))
}

fn text<T: FromStr + ToString>(text: &[u8]) -> Option<Read> {
    let value: T = std::str::from_utf8(text).ok()?.parse().ok()?;
    Read::text(value.to_string())
}

fn address(text: &[u8]) -> Option<Read> {
    let text = std::str::from_utf8(text).ok()?;
    let address = address::parse_address(text).ok()?;
    let written = address.to_checksum(None);
    if address::parse_checked_address(text).is_ok() {
        assert_eq!(address::parse_checked_address(&written), Ok(address));
    }
    Read::text(written)
}

fn in_header<T: Serialize + DeserializeOwned>(value: &[u8]) -> Option<Read> {
    let message: T = header::decode(value).ok()?;
    let written = header::encode(&message).unwrap().into_bytes();
    Some(Read { written, ..Read::message(&message)? })
}

/// Whether it is read at all; fails if it is not read as it is written.
fn hold(name: &str, decode: Decoder, input: &[u8]) -> bool {
    without_panic(name, input, |input| {
        let Some(read) = decode(input) else { return false };
        let written = read.written.escape_ascii();
        assert!(read.written.len() <= input.len() * MAX_GROWTH + MAX_ADDED_BYTES, "it grew");
        let again = decode(&read.written).unwrap_or_else(|| panic!("written, not read: {written}"));
        assert_eq!(read.value, again.value);
        true
    })
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mutation/corpus"))
}

#[test]
fn every_decoder_has_a_corpus_and_every_corpus_a_decoder() {
    let mut names: Vec<_> = std::fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let mut known: Vec<_> = DECODERS.iter().map(|(name, _)| (*name).to_owned()).collect();
    known.sort();
    assert_eq!(names, known);
}

#[test]
fn small_changes_are_read_as_they_are_written_or_not_at_all() {
    std::thread::scope(|scope| {
        for (name, decode) in DECODERS {
            scope.spawn(move || small_changes_of(name, *decode));
        }
    });
}

fn small_changes_of(name: &str, decode: Decoder) {
    let (mut read, mut seen) = (0_u32, 0_u32);
    for seed in corpus(root(), name) {
        assert!(hold(&seed.name, decode, &seed.text), "{} is not read", seed.name);
        each_mutant(&seed.text, |mutant| {
            seen += 1;
            read += u32::from(hold(&seed.name, decode, mutant));
        });
    }
    println!("{name}: {read} of {seen} were read");
    assert!(read > 0 && read < seen, "{name}: nothing or everything is read");
}

#[test]
fn small_changes_of_headers_are_read_as_they_are_written_or_not_at_all() {
    for (name, decode) in HEADERS {
        for seed in corpus(root(), name) {
            let value = STANDARD.encode(&seed.text);
            assert!(hold(&seed.name, *decode, value.as_bytes()), "{} is not read", seed.name);
            each_mutant(value.as_bytes(), |mutant| {
                hold(&seed.name, *decode, mutant);
            });
        }
    }
}

#[test]
fn splices_are_read_as_they_are_written_or_not_at_all() {
    let mut random = Random::new();
    for (name, decode) in DECODERS {
        let seeds = corpus(root(), name);
        splices(&seeds, SPLICES, &mut random, |text| {
            hold(name, *decode, text);
        });
    }
    // What is meant for one decoder reaches another.
    let all: Vec<_> = DECODERS.iter().flat_map(|(name, _)| corpus(root(), name)).collect();
    for (name, decode) in DECODERS {
        all.iter().for_each(|seed| {
            hold(name, *decode, &seed.text);
        });
        splices(&all, SPLICES, &mut random, |text| {
            hold(name, *decode, text);
        });
    }
}
