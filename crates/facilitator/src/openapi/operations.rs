//! The paths, and for each the statuses it can answer with.

use serde_json::{Map, Value, json};

use super::schemas::of;
use crate::limits::{Limits, RETRY_AFTER_SECS};
use crate::terms::{DEADLINE, DEPLOYMENT, IDEMPOTENCY_KEY, PATIENT};

/// Every path.
pub(super) fn paths() -> Value {
    json!({
        "/verify": {
            "get": usage("usageOfVerify"),
            "post": post(
                "verify",
                "Would this payment settle now? Moves nothing.",
                &["RequestId"],
                answers("VerifyResponse", &["400", "401", "408", "413", "431", "500", "502", "503"]),
            ),
        },
        "/settle": {
            "get": usage("usageOfSettle"),
            "post": post(
                "settle",
                "Moves the money, once, however often it is asked. Runs to its end even when the \
                 caller goes away.",
                &["RequestId", "IdempotencyKey", "Deadline", "Deployment", "Patient"],
                answers("SettleResponse", &["400", "401", "408", "413", "431", "500", "503"]),
            ),
        },
        "/settlements/{payment_key}": {
            "get": settlement(),
        },
        "/supported": {
            "get": get(
                "supported",
                "Version, scheme and network of everything that can be verified and settled.",
                answers("SupportedResponse", &["431", "500", "503"]),
            ),
        },
        "/health": {
            "get": get(
                "health",
                "Whether work can be taken up, in a word.",
                with_503(answers("Health", &["431", "500"]), "Health"),
            ),
        },
        "/healthz": {
            "get": get("alive", "The process runs.", answers("Alive", &["431", "500"])),
        },
        "/readyz": {
            "get": get(
                "ready",
                "Whether work can be taken up, and what is in the way.",
                with_503(answers("Readiness", &["431", "500"]), "Readiness"),
            ),
        },
        "/openapi.json": {
            "get": get(
                "description",
                "This document.",
                answers("Description", &["431", "500"]),
            ),
        },
    })
}

/// Headers of requests.
pub(super) fn parameters() -> Value {
    let header = |name: &str, description: &str, schema: Value| json!({"name": name, "in": "header", "required": false, "description": description, "schema": schema});
    let text = json!({"type": "string"});
    json!({
        "RequestId": header(
            "x-request-id",
            "1 to 64 of [A-Za-z0-9_-]; it is in every log line of the request. Made if absent.",
            text.clone(),
        ),
        "IdempotencyKey": header(
            IDEMPOTENCY_KEY,
            "Settle id, a UUID: answers for one id never change once the outcome is known. \
             Without it, one success is reported for a payment, and later callers are told \
             duplicate_settlement.",
            text.clone(),
        ),
        "Deadline": header(
            DEADLINE,
            "When the caller stops waiting, in unix milliseconds.",
            json!({"type": "string"}),
        ),
        "Deployment": header(DEPLOYMENT, "Identity of the caller's ledger, a UUID.", text),
        "Patient": header(
            PATIENT,
            "true: nobody waits for the money, it may be moved when gas is cheap.",
            json!({"type": "string", "enum": ["true", "false"]}),
        ),
    })
}

/// Headers of answers.
pub(super) fn headers() -> Value {
    json!({
        "RequestId": {"description": "Id of the request.", "schema": {"type": "string"}},
        "RetryAfter": {
            "description": format!("Seconds to wait; {RETRY_AFTER_SECS}."),
            "schema": {"type": "string"},
        },
    })
}

/// Answers that are the same everywhere, by name.
pub(super) fn responses() -> Value {
    let limit = Limits::default().max_body_bytes;
    let refused = |description: &str| answer(description, "Error");
    let mut unavailable = answer(
        "Nothing was begun; come again. The code says why: queue_full, chain_unavailable, \
         ledger_unavailable, facilitator_unavailable, or quiet_hours for a payment that nobody waits \
         for.",
        "CodedError",
    );
    unavailable["headers"]["retry-after"] = json!({"$ref": "#/components/headers/RetryAfter"});
    let mut unauthorized = refused("Callers have tokens here, and this is nobody's.");
    unauthorized["headers"]["www-authenticate"] =
        json!({"description": "Bearer.", "schema": {"type": "string"}});
    json!({
        "400": refused("Not JSON, a key twice, a member missing or malformed, versions mixed."),
        "401": unauthorized,
        "404": refused("There is nothing here."),
        "405": refused("This path does not answer that method; Allow lists those it does."),
        "408": refused("The body did not arrive in time."),
        "413": refused(&format!("The body is larger than the limit, by default {limit} bytes.")),
        "431": {"description": "The head of the request is too large. Without a body."},
        "500": refused("internal_error. What failed is in the log."),
        "502": answer("What verifies behind this door could not be reached.", "CodedError"),
        "503": unavailable,
    })
}

fn post(id: &str, summary: &str, parameters: &[&str], responses: Value) -> Value {
    let parameters: Vec<_> = parameters
        .iter()
        .map(|name| json!({"$ref": format!("#/components/parameters/{name}")}))
        .collect();
    json!({
        "operationId": id,
        "summary": summary,
        "parameters": parameters,
        "requestBody": {"required": true, "content": json_of(of("PaymentRequest"))},
        "responses": responses,
    })
}

fn get(id: &str, summary: &str, responses: Value) -> Value {
    json!({
        "operationId": id,
        "summary": summary,
        "parameters": [{"$ref": "#/components/parameters/RequestId"}],
        "responses": responses,
    })
}

fn settlement() -> Value {
    let mut operation = get(
        "settlement",
        "What became of a settlement, for those who lost the answer of /settle. No grant: ask \
         /settle again for that.",
        answers("SettlementStatus", &["400", "401", "431", "500", "503"]),
    );
    operation["responses"]["404"] =
        answer("Nobody asked here to settle a payment with this key.", "Error");
    if let Some(parameters) = operation["parameters"].as_array_mut() {
        parameters.push(json!({
            "name": "payment_key", "in": "path", "required": true,
            "description": "64 hex digits.", "schema": {"type": "string"},
        }));
    }
    operation
}

fn usage(id: &str) -> Value {
    get(id, "How to use this path.", answers("Usage", &["431", "500"]))
}

/// 200 with `schema`, and the shared answers of these statuses.
fn answers(schema: &str, statuses: &[&str]) -> Value {
    let mut answers = Map::new();
    answers.insert("200".to_owned(), answer("The answer.", schema));
    for status in statuses {
        let shared = json!({"$ref": format!("#/components/responses/{status}")});
        answers.insert((*status).to_owned(), shared);
    }
    Value::Object(answers)
}

fn with_503(mut answers: Value, schema: &str) -> Value {
    answers["503"] = answer("Not ready.", schema);
    answers
}

fn answer(description: &str, schema: &str) -> Value {
    json!({
        "description": description,
        "headers": {"x-request-id": {"$ref": "#/components/headers/RequestId"}},
        "content": json_of(of(schema)),
    })
}

#[allow(clippy::needless_pass_by_value)] // what json! makes is moved in
fn json_of(schema: Value) -> Value {
    json!({"application/json": {"schema": schema}})
}
