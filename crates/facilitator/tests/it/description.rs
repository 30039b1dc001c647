//! The description of the API: as it is kept, complete, and true of every answer.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use faregate_facilitator::openapi;
use faregate_protocol::{
    Network, Reason, SettleResponse, SupportedKind, SupportedResponse, VerifyResponse,
};
use reqwest::header::HeaderMap;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::harness::{Act, PAID, door, good, good_v1, paid_status};
use crate::schema::{self, Unlisted};

static DOCUMENT: LazyLock<Value> = LazyLock::new(openapi::document);

/// Holds an answer against the description.
pub(crate) fn assert_described(
    method: &str,
    path: &str,
    status: u16,
    headers: &HeaderMap,
    body: &str,
) {
    let answer = described(method, path, status)
        .unwrap_or_else(|| panic!("{method} {path} {status} is not described"));
    for name in answer["headers"].as_object().into_iter().flatten().map(|(name, _)| name) {
        assert!(headers.contains_key(name), "{method} {path} {status} has no {name}");
    }
    let Some(schema) = answer.pointer("/content/application~1json/schema") else {
        assert!(body.is_empty(), "{method} {path} {status} has a body that is not described");
        return;
    };
    if method == "HEAD" {
        return;
    }
    assert_eq!(headers["content-type"], "application/json", "{method} {path} {status}");
    let body: Value = body.parse().unwrap();
    if let Err(what) = schema::check(&DOCUMENT, schema, &body, Unlisted::Refused) {
        panic!("{method} {path} {status}: {what}\n{body}");
    }
}

/// Holds a status alone against the description, where a test reads no more of an answer.
pub(crate) fn assert_status_described(method: &str, path: &str, status: u16) {
    assert!(described(method, path, status).is_some(), "{method} {path} {status}");
}

/// The described answer, with references followed.
fn described(method: &str, path: &str, status: u16) -> Option<&'static Value> {
    let path = match path.strip_prefix("/settlements/") {
        Some(key) if !key.contains('/') => "/settlements/{payment_key}",
        _ => path,
    };
    let operations = DOCUMENT["paths"].get(path);
    let shared = |status: u16| DOCUMENT["components"]["responses"].get(status.to_string());
    let Some(operations) = operations else { return shared(404).filter(|_| status == 404) };
    let method = if method == "HEAD" { "get".to_owned() } else { method.to_lowercase() };
    let Some(operation) = operations.get(&method) else {
        return shared(405).filter(|_| status == 405);
    };
    let answer = operation["responses"].get(status.to_string())?;
    match answer.get("$ref") {
        Some(name) => DOCUMENT.pointer(name.as_str().unwrap().trim_start_matches('#')),
        None => Some(answer),
    }
}

#[test]
fn the_kept_description_is_that_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi-facilitator.json");
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        kept == openapi::text(),
        "docs/openapi-facilitator.json is not what the code says; make it anew with\n  cargo run \
         -p faregate-facilitator --example openapi > docs/openapi-facilitator.json"
    );
}

#[test]
fn every_reason_code_is_listed_once() {
    let listed = DOCUMENT["components"]["schemas"]["ReasonCode"]["enum"].as_array().unwrap();
    let listed: Vec<_> = listed.iter().map(|code| code.as_str().unwrap()).collect();
    let codes: Vec<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
    assert_eq!(listed, codes);
}

#[test]
fn every_reference_leads_somewhere_and_every_name_is_used() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").map(|name| name.as_str().unwrap().to_owned()));
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    references(&DOCUMENT, &mut found);
    for name in &found {
        assert!(DOCUMENT.pointer(name.trim_start_matches('#')).is_some(), "{name}");
    }
    for (kind, names) in DOCUMENT["components"].as_object().unwrap() {
        for name in names.as_object().unwrap().keys() {
            let used = found.contains(&format!("#/components/{kind}/{name}"));
            // Those two belong to no operation.
            assert!(used || ["404", "405"].contains(&name.as_str()), "{kind} {name} is not used");
        }
    }
}

#[tokio::test]
async fn every_described_path_answers_and_the_description_is_served() {
    let door = door(Act::Accept).await;
    let mut ids = BTreeSet::new();
    for (path, operations) in DOCUMENT["paths"].as_object().unwrap() {
        let path = &path.replace("{payment_key}", &PAID.to_string());
        for (method, operation) in operations.as_object().unwrap() {
            ids.insert(operation["operationId"].as_str().unwrap());
            let answer = match method.as_str() {
                "post" => door.post(path, good().to_string()).await,
                _ => door.send(&method.to_uppercase(), path).await,
            };
            assert_eq!(answer.status, 200, "{method} {path}");
            if method == "get" {
                assert_eq!(door.send("HEAD", path).await.status, 200, "HEAD {path}");
            }
        }
    }
    assert_eq!(ids.len(), 10, "one id an operation");
    assert_eq!(door.send("GET", "/openapi.json").await.body, *DOCUMENT);
}

#[test]
fn good_requests_are_described_and_bad_ones_are_not() {
    let schema = json!({"$ref": "#/components/schemas/PaymentRequest"});
    let check = |body: &Value| schema::check(&DOCUMENT, &schema, body, Unlisted::Allowed);
    for body in [good(), good_v1()] {
        assert_eq!(check(&body), Ok(()));
        for part in ["paymentPayload", "paymentRequirements"] {
            for member in body[part].as_object().unwrap().keys() {
                let mut bad = body.clone();
                bad[part][member] = json!(-1);
                let free = ["resource", "outputSchema"].contains(&member.as_str());
                assert!(check(&bad).is_err() || free, "{part}.{member}");
            }
        }
    }
    let mixed = json!({
        "paymentPayload": good_v1()["paymentPayload"],
        "paymentRequirements": good()["paymentRequirements"],
    });
    assert!(check(&mixed).is_err());
}

/// Every member of `value` is described, and every described member is one of `value`.
fn assert_same_members<T: Serialize>(name: &str, value: &T) {
    let value = serde_json::to_value(value).unwrap();
    let schema = &DOCUMENT["components"]["schemas"][name];
    schema::check(&DOCUMENT, schema, &value, Unlisted::Refused).unwrap();
    let keys = |value: &Value| -> BTreeSet<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(keys(&schema["properties"]), keys(&value), "{name}");
}

#[test]
fn the_schemas_have_the_members_of_the_types() {
    let object = || Some(Map::new());
    assert_same_members(
        "VerifyResponse",
        &VerifyResponse {
            extensions: object(),
            extra: object(),
            ..VerifyResponse::invalid(Reason::EvmSignature, Some("0x1".to_owned()))
        },
    );
    let network = Network::eip155(84532);
    assert_same_members(
        "SettleResponse",
        &SettleResponse {
            amount: Some(1.into()),
            extensions: object(),
            extra: object(),
            ..SettleResponse::failed(Reason::EvmSignature, &network, None, Some("0x1".to_owned()))
        },
    );
    let status = paid_status();
    assert_same_members("SettlementStatus", &status);
    assert_same_members("SettlementProof", &status.proof);
    assert_same_members("SettledPayment", &status.payment);
    let kind = SupportedKind {
        x402_version: 2,
        scheme: "exact".to_owned(),
        network: network.to_string(),
        extra: object(),
    };
    assert_same_members("SupportedKind", &kind);
    let signers = [("eip155:*".to_owned(), vec!["0x1".to_owned()])].into();
    let supported =
        SupportedResponse { kinds: vec![kind], extensions: vec!["x".to_owned()], signers };
    assert_same_members("SupportedResponse", &supported);
}
