//! The shapes of bodies. Members that are not listed are tolerated in requests, and null stands
//! for an absent member there.

use faregate_protocol::{Reason, X402_VERSION, v1};
use serde_json::{Map, Value, json};

/// A reference to the schema `name`.
pub(super) fn of(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// Every schema by name.
pub(super) fn all() -> Value {
    let mut all = Map::new();
    for group in [requests(), requests_v1(), answers(), settlements(), states()] {
        if let Value::Object(schemas) = group {
            all.extend(schemas);
        }
    }
    Value::Object(all)
}

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn filled(description: &str) -> Value {
    json!({"type": "string", "minLength": 1, "description": description})
}

fn object(description: &str) -> Value {
    json!({"type": "object", "description": description})
}

fn object_or_null(description: &str) -> Value {
    json!({"type": ["object", "null"], "description": description})
}

fn text_or_null(description: &str) -> Value {
    json!({"type": ["string", "null"], "description": description})
}

fn seconds() -> Value {
    json!({
        "type": "number", "exclusiveMinimum": 0,
        "description": "How long an authorization may live, in seconds.",
    })
}

fn amount(description: &str) -> Value {
    let grammar = "Decimal digits without leading zero, at most 2^256 - 1.";
    filled(&format!("{description} {grammar}"))
}

fn requests() -> Value {
    json!({
        "PaymentRequest": {
            "description": "The body of /verify and /settle. Payment and requirements are of one \
                            version.",
            "anyOf": [of("PaymentRequestV2"), of("PaymentRequestV1")],
        },
        "PaymentRequestV2": {
            "type": "object",
            "required": ["paymentPayload", "paymentRequirements"],
            "properties": {
                "x402Version": {"description": "Not looked at; that of the payment counts."},
                "paymentPayload": of("PaymentPayload"),
                "paymentRequirements": of("PaymentRequirements"),
            },
        },
        "PaymentPayload": {
            "type": "object",
            "required": ["x402Version", "payload", "accepted"],
            "properties": {
                "x402Version": {"const": X402_VERSION},
                "payload": object("What was signed; for exact on EVM an EIP-3009 authorization \
                                   with its signature."),
                "accepted": object("The option that the buyer accepted, as the seller wrote it."),
                "extensions": object_or_null("Extensions by key."),
                "resource": {"description": "What the money buys."},
            },
        },
        "PaymentRequirements": {
            "type": "object",
            "description": "What the seller asks for; never the buyer's copy.",
            "required": ["scheme", "network", "amount", "asset", "payTo", "maxTimeoutSeconds"],
            "properties": {
                "scheme": filled("exact, for one."),
                "network": filled("CAIP-2 id, such as eip155:84532."),
                "amount": amount("The price in atomic units."),
                "asset": filled("Token contract."),
                "payTo": filled("Who is paid."),
                "maxTimeoutSeconds": seconds(),
                "extra": object_or_null("The token's EIP-712 name and version, for one."),
            },
        },
    })
}

fn requests_v1() -> Value {
    let names: Vec<_> = v1::NETWORK_NAMES.iter().map(|(name, _)| *name).collect();
    let network = filled(&format!("One of {}; any other is a mismatch.", names.join(", ")));
    json!({
        "PaymentRequestV1": {
            "type": "object",
            "required": ["paymentPayload", "paymentRequirements"],
            "properties": {
                "x402Version": {"description": "Not looked at; that of the payment counts."},
                "paymentPayload": of("PaymentPayloadV1"),
                "paymentRequirements": of("PaymentRequirementsV1"),
            },
        },
        "PaymentPayloadV1": {
            "type": "object",
            "required": ["scheme", "network", "payload"],
            "properties": {
                "x402Version": {"enum": [v1::X402_VERSION, null]},
                "scheme": filled("exact, for one."),
                "network": network,
                "payload": object("What was signed."),
            },
        },
        "PaymentRequirementsV1": {
            "type": "object",
            "required": [
                "scheme", "network", "maxAmountRequired", "asset", "payTo", "maxTimeoutSeconds",
            ],
            "properties": {
                "scheme": filled("exact, for one."),
                "network": network,
                "maxAmountRequired": amount("The price in atomic units."),
                "resource": text_or_null("URL of what the money buys."),
                "description": text_or_null("For people."),
                "mimeType": text_or_null("Media type of what the money buys."),
                "outputSchema": {"description": "Input and output of the resource."},
                "payTo": filled("Who is paid."),
                "maxTimeoutSeconds": seconds(),
                "asset": filled("Token contract."),
                "extra": object_or_null("The token's EIP-712 name and version, for one."),
            },
        },
    })
}

fn answers() -> Value {
    let codes: Vec<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
    json!({
        "ReasonCode": {
            "type": "string",
            "description": "Why, for programs.",
            "enum": codes,
        },
        "VerifyResponse": {
            "type": "object",
            "required": ["isValid"],
            "properties": {
                "isValid": {"type": "boolean", "description": "The payment would settle now."},
                "invalidReason": of("ReasonCode"),
                "invalidMessage": text("Why, for people."),
                "payer": text("Who pays, when it could be read."),
                "extensions": object("Extensions by key."),
                "extra": object("Scheme specific."),
            },
        },
        "SettleResponse": {
            "type": "object",
            "required": ["success", "transaction", "network"],
            "properties": {
                "success": {"type": "boolean", "description": "The money moved, with evidence."},
                "errorReason": of("ReasonCode"),
                "errorMessage": text("Why, for people."),
                "payer": text("Who paid."),
                "transaction": text("The transaction; empty when there is none."),
                "network": text("CAIP-2 id; for a caller of version 1 the name."),
                "amount": amount("What was settled, where it may differ from the price."),
                "extensions": object("Extensions by key."),
                "extra": object("Scheme specific."),
            },
        },
        "SupportedResponse": {
            "type": "object",
            "required": ["kinds", "extensions", "signers"],
            "properties": {
                "kinds": {"type": "array", "items": of("SupportedKind")},
                "extensions": {"type": "array", "items": text("Key of an extension.")},
                "signers": {
                    "type": "object",
                    "description": "Addresses by CAIP family, such as eip155:*.",
                    "additionalProperties": {"type": "array", "items": text("An address.")},
                },
            },
        },
        "SupportedKind": {
            "type": "object",
            "required": ["x402Version", "scheme", "network"],
            "properties": {
                "x402Version": {"enum": [v1::X402_VERSION, X402_VERSION]},
                "scheme": text("exact, for one."),
                "network": text("CAIP-2 id in version 2, a name in version 1."),
                "extra": object("What a seller copies into its requirements."),
            },
        },
    })
}

fn settlements() -> Value {
    json!({
        "SettlementStatus": {
            "type": "object",
            "required": ["paymentKey", "outcome", "final", "state", "network", "transactions"],
            "properties": {
                "paymentKey": text("64 hex digits."),
                "outcome": {
                    "enum": ["pending", "paid", "not_charged"],
                    "description": "What is proven. pending is never a failure.",
                },
                "final": {"type": "boolean", "description": "Nothing can change it any more."},
                "state": text("The facilitator's own word, for people."),
                "network": text("CAIP-2 id."),
                "transactions": {"type": "array", "items": text("Sent for it, oldest first.")},
                "proof": of("SettlementProof"),
                "payment": of("SettledPayment"),
            },
        },
        "SettlementProof": {
            "type": "object",
            "description": "The log that proves a paid settlement.",
            "required": ["transaction", "blockNumber", "blockHash", "logIndex"],
            "properties": {
                "transaction": text("Not necessarily one that this facilitator sent."),
                "blockNumber": {"type": "number"},
                "blockHash": text("Hex."),
                "logIndex": {"type": "number", "description": "In the block."},
            },
        },
        "SettledPayment": {
            "type": "object",
            "description": "Told to callers with a token only.",
            "required": ["payer", "payTo", "asset", "amount"],
            "properties": {
                "payer": text("Who pays."),
                "payTo": text("Who is paid."),
                "asset": text("Token contract."),
                "amount": amount("How much."),
            },
        },
    })
}

fn states() -> Value {
    json!({
        "Error": {
            "type": "object",
            "required": ["error"],
            "properties": {"error": text("What is wrong. Repeats nothing that was sent.")},
        },
        "CodedError": {
            "type": "object",
            "required": ["error", "code"],
            "properties": {"error": text("What is wrong."), "code": of("ReasonCode")},
        },
        "Usage": {
            "type": "object",
            "required": ["endpoint", "method", "body"],
            "properties": {
                "endpoint": text("The path."),
                "method": {"const": "POST"},
                "body": {"type": "array", "items": text("A member of the body.")},
            },
        },
        "Description": {
            "type": "object",
            "description": "OpenAPI 3.1.",
            "additionalProperties": true,
        },
        "Health": {
            "type": "object",
            "required": ["status"],
            "properties": {"status": {"enum": ["ok", "unavailable"]}},
        },
        "Alive": {
            "type": "object",
            "required": ["status"],
            "properties": {"status": {"const": "alive"}},
        },
        "Readiness": {
            "type": "object",
            "required": ["status"],
            "properties": {
                "status": {"enum": ["ready", "not_ready"]},
                "not_ready": {"type": "array", "items": text("What is not ready.")},
            },
        },
    })
}
