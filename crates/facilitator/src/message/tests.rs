//! Bad bodies, member by member.

use super::*;
use serde_json::json;

fn good() -> Value {
    json!({
        "x402Version": 2,
        "paymentPayload": {
            "x402Version": 2,
            "payload": {"signature": "0xcanary", "authorization": {}},
            "accepted": {"scheme": "exact"},
        },
        "paymentRequirements": {
            "scheme": "exact", "network": "eip155:84532", "amount": "10000",
            "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
            "payTo": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
            "maxTimeoutSeconds": 60, "extra": {"name": "USDC", "version": "2"},
        },
    })
}

fn read_value(value: &Value) -> Result<Message, Refusal> {
    read(value.to_string().as_bytes())
}

fn error_of(value: &Value) -> String {
    match read_value(value) {
        Err(Refusal::Malformed(error)) => error,
        other => panic!("{other:?} for {value}"),
    }
}

#[test]
fn a_good_body_is_read_and_unknown_members_and_nulls_are_tolerated() {
    let mut value = good();
    value["more"] = json!([1]);
    value["x402Version"] = json!("not looked at");
    value["paymentPayload"]["resource"] = json!(null);
    value["paymentPayload"]["extensions"] = json!(null);
    value["paymentRequirements"]["extra"] = json!(null);
    value["paymentRequirements"]["maxTimeoutSeconds"] = json!(0.5);
    let Message::Payment { version, request } = read_value(&value).unwrap() else {
        panic!("other version")
    };
    assert_eq!(version, Version::V2);
    assert_eq!(request.payment_requirements.amount, 10_000.into());
    assert_eq!(request.x402_version, 2);
}

#[test]
fn each_member_of_a_wrong_type_is_named() {
    let kinds = [json!(null), json!(1), json!(-1), json!(true), json!(""), json!([]), json!({})];
    for (part, member, allowed) in [
        ("paymentPayload", "x402Version", "whole number"),
        ("paymentPayload", "payload", "object"),
        ("paymentPayload", "accepted", "object"),
        ("paymentPayload", "extensions", "object or null"),
        ("paymentRequirements", "scheme", "text"),
        ("paymentRequirements", "network", "text"),
        ("paymentRequirements", "amount", "text"),
        ("paymentRequirements", "asset", "text"),
        ("paymentRequirements", "payTo", "text"),
        ("paymentRequirements", "maxTimeoutSeconds", "positive number"),
        ("paymentRequirements", "extra", "object or null"),
    ] {
        for kind in &kinds {
            let fits = match allowed {
                "object" => kind.is_object(),
                "object or null" => kind.is_object() || kind.is_null(),
                "whole number" => kind.is_u64(),
                "positive number" => kind.as_f64().is_some_and(|n| n > 0.0),
                _ => false,
            };
            if fits {
                continue;
            }
            let mut value = good();
            value[part][member] = kind.clone();
            let error = error_of(&value);
            assert!(error.starts_with(&format!("{part}.{member} must ")), "{kind}: {error}");
        }
        if !allowed.ends_with("null") {
            let mut value = good();
            value[part].as_object_mut().unwrap().remove(member);
            assert!(error_of(&value).starts_with(&format!("{part}.{member} must ")), "{member}");
        }
    }
}

#[test]
fn amounts_and_networks_are_held_to_their_grammar() {
    for amount in ["1e6", "1.0", "-1", "+1", "01", " 1", "0x10", &"9".repeat(79)] {
        let mut value = good();
        value["paymentRequirements"]["amount"] = json!(amount);
        assert!(error_of(&value).contains(".amount must"), "{amount}");
    }
    for network in ["base", "eip155:", "eip155:1:2", "еip155:1"] {
        let mut value = good();
        value["paymentRequirements"]["network"] = json!(network);
        assert!(error_of(&value).contains(".network must"), "{network}");
    }
}

#[test]
fn what_is_absent_is_named() {
    for part in ["paymentPayload", "paymentRequirements"] {
        let mut value = good();
        value.as_object_mut().unwrap().remove(part);
        assert_eq!(error_of(&value), MISSING);
        value[part] = json!(null);
        assert_eq!(error_of(&value), MISSING);
        for kind in [json!(1), json!("canary"), json!([])] {
            value[part] = kind;
            assert!(error_of(&value).ends_with("must be JSON objects"));
        }
    }
    assert_eq!(error_of(&json!({})), MISSING);
}

#[test]
fn text_that_is_not_strict_json_is_refused_without_a_quote() {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let twice = r#"{"paymentPayload":{"canary":1,"canary":2}}"#;
    for body in
        ["", " ", "canary", "[]", "1", "null", "\"canary\"", "{}{}", "{\"canary\":", &deep, twice]
    {
        let error = read(body.as_bytes()).unwrap_err().to_string();
        assert!(!error.contains("canary"), "{error}");
    }
    assert_eq!(read(twice.as_bytes()).unwrap_err().to_string(), "JSON repeats an object key");
    assert!(read(&[0xff, 0xfe]).is_err());
}

#[test]
fn another_version_is_well_formed() {
    let mut value = good();
    value["paymentPayload"] = json!({"x402Version": 3, "anything": {}});
    value["paymentRequirements"] = json!({"network": "base-sepolia"});
    let want = Message::OtherVersion { network: "base-sepolia".to_owned() };
    assert_eq!(read_value(&value), Ok(want));
    value["paymentRequirements"]["network"] = json!("<script>");
    assert_eq!(read_value(&value), Ok(Message::OtherVersion { network: String::new() }));
}

fn good_v1() -> Value {
    json!({
        "x402Version": 1,
        "paymentPayload": {
            "x402Version": 1, "scheme": "exact", "network": "base-sepolia",
            "payload": {"signature": "0xcanary", "authorization": {}},
        },
        "paymentRequirements": {
            "scheme": "exact", "network": "base-sepolia", "maxAmountRequired": "10000",
            "resource": "https://api.example.com/x", "description": "", "mimeType": "",
            "outputSchema": null, "payTo": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
            "maxTimeoutSeconds": 60, "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
            "extra": {"name": "USDC", "version": "2"},
        },
    })
}

#[test]
fn a_version_1_body_is_the_same_payment_in_version_2() {
    let mut without_version = good_v1();
    without_version.as_object_mut().unwrap().remove("x402Version");
    without_version["paymentPayload"].as_object_mut().unwrap().remove("x402Version");
    let mut nulls = good_v1();
    for member in ["resource", "description", "mimeType"] {
        nulls["paymentRequirements"][member] = json!(null);
    }
    nulls["paymentPayload"]["x402Version"] = json!(null);
    let want: PaymentRequirements =
        serde_json::from_value(good()["paymentRequirements"].clone()).unwrap();
    for body in [good_v1(), without_version, nulls] {
        let Ok(Message::Payment { version, request }) = read_value(&body) else { panic!("{body}") };
        assert_eq!((version, request.x402_version), (Version::V1, 2));
        assert_eq!(request.payment_requirements, want);
        assert_eq!(request.payment_payload.x402_version, 2);
        assert_eq!(request.payment_payload.accepted_text("network"), Some("eip155:84532"));
        assert_eq!(
            Value::Object(request.payment_payload.payload),
            body["paymentPayload"]["payload"]
        );
    }
}

#[test]
fn a_network_name_that_means_nothing_is_a_verdict() {
    for (part, name, told) in [
        ("paymentRequirements", "narnia", "narnia"),
        ("paymentRequirements", "eip155:84532", "eip155:84532"),
        ("paymentRequirements", "Base-Sepolia", "Base-Sepolia"),
        ("paymentRequirements", "solana", "solana"),
        ("paymentRequirements", "<b>", ""),
        ("paymentPayload", "narnia", "base-sepolia"),
        ("paymentPayload", "eip155:84532", "base-sepolia"),
    ] {
        let mut body = good_v1();
        body[part]["network"] = json!(name);
        let want = Message::UnknownNetwork { network: told.to_owned() };
        assert_eq!(read_value(&body), Ok(want), "{part} {name}");
    }
}

#[test]
fn versions_are_not_mixed() {
    let (one, two) = (good_v1(), good());
    for (payload, requirements, versions) in
        [(&one, &two, "version 1 and"), (&two, &one, "version 2 and")]
    {
        let body = json!({
            "paymentPayload": payload["paymentPayload"],
            "paymentRequirements": requirements["paymentRequirements"],
        });
        let error = error_of(&body);
        assert!(error.contains(versions) && error.ends_with("both must be of one version"));
    }
    // The number decides, not the shape.
    let mut mislabelled = good();
    mislabelled["paymentPayload"]["x402Version"] = json!(1);
    assert!(error_of(&mislabelled).contains("both must be of one version"));
    let mut mislabelled = good_v1();
    mislabelled["paymentPayload"]["x402Version"] = json!(2);
    assert!(error_of(&mislabelled).contains("both must be of one version"));
    // Without a number, only the shape of version 1 is one.
    let mut unlabelled = good();
    unlabelled["paymentPayload"].as_object_mut().unwrap().remove("x402Version");
    assert!(error_of(&unlabelled).starts_with("paymentPayload.x402Version must"));
}

#[test]
fn each_member_of_version_1_is_named() {
    let shape = good_v1();
    for (part, optional) in [
        ("paymentPayload", &[][..]),
        (
            "paymentRequirements",
            &["resource", "description", "mimeType", "outputSchema", "extra"][..],
        ),
    ] {
        for member in shape[part].as_object().unwrap().keys() {
            if ["x402Version", "outputSchema"].contains(&member.as_str()) {
                continue;
            }
            let mut body = good_v1();
            body[part][member] = json!(-1);
            assert!(error_of(&body).starts_with(&format!("{part}.{member} must ")), "{member}");
            body[part].as_object_mut().unwrap().remove(member);
            match optional.contains(&member.as_str()) {
                true => assert!(matches!(read_value(&body), Ok(Message::Payment { .. }))),
                false if ["scheme", "network"].contains(&member.as_str()) => {
                    assert!(matches!(read_value(&body), Err(Refusal::Malformed(_))));
                }
                false => assert!(
                    error_of(&body).contains(member) || error_of(&body).contains("version"),
                    "{member}"
                ),
            }
        }
    }
}
