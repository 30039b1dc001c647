//! The `exact` EVM payload by EIP-3009: shapes and widths, before anything is believed.

use alloy_primitives::{Address, B256, U256};
use serde_json::{Map, Value};

use crate::{Amount, Reason, address, amount};

/// Longest signature that is read, in bytes: an ERC-6492 wrapper with a generous inner signature.
pub const MAX_SIGNATURE_BYTES: usize = 8 * 1024;

/// `TransferWithAuthorization`, as signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// Who pays.
    pub from: Address,
    /// Who is paid.
    pub to: Address,
    /// How much, in atomic units.
    pub value: Amount,
    /// Valid strictly after this unix second.
    pub valid_after: U256,
    /// Valid strictly before this unix second.
    pub valid_before: U256,
    /// The single-use token.
    pub nonce: B256,
}

/// An authorization with its signature. `Debug` leaves the signature out.
#[derive(Clone, PartialEq, Eq)]
pub struct Eip3009Payload {
    /// What was signed.
    pub authorization: Authorization,
    /// 65 bytes r, s, v for a key; anything for a contract.
    pub signature: Vec<u8>,
}

impl std::fmt::Debug for Eip3009Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Eip3009Payload")
            .field("authorization", &self.authorization)
            .finish_non_exhaustive()
    }
}

impl Eip3009Payload {
    /// Reads the scheme's part of a payment.
    ///
    /// # Errors
    /// [`Reason::UnsupportedPayloadType`] for another kind of payload, [`Reason::InvalidPayload`]
    /// for a member that is missing or malformed, [`Reason::EvmParseSignature`] for a signature
    /// that is not hex.
    pub fn read(payload: &Map<String, Value>) -> Result<Self, Reason> {
        if payload.contains_key("permit2Authorization") {
            return Err(Reason::UnsupportedPayloadType);
        }
        let Some(Value::Object(members)) = payload.get("authorization") else {
            return Err(Reason::InvalidPayload);
        };
        let text = |key: &str| members.get(key).and_then(Value::as_str);
        let number = |key: &str| text(key).and_then(|t| amount::parse_uint256(t).ok());
        let account = |key: &str| text(key).and_then(|t| address::parse_address(t).ok());
        let authorization = Authorization {
            from: account("from").ok_or(Reason::InvalidPayload)?,
            to: account("to").ok_or(Reason::InvalidPayload)?,
            value: Amount(number("value").ok_or(Reason::InvalidPayload)?),
            valid_after: number("validAfter").ok_or(Reason::InvalidPayload)?,
            valid_before: number("validBefore").ok_or(Reason::InvalidPayload)?,
            nonce: text("nonce").and_then(parse_nonce).ok_or(Reason::InvalidPayload)?,
        };
        let signature =
            payload.get("signature").and_then(Value::as_str).ok_or(Reason::InvalidPayload)?;
        Ok(Self { authorization, signature: parse_signature(signature)? })
    }

    /// The wire form, in the member order of the official client.
    #[must_use]
    pub fn to_members(&self) -> Map<String, Value> {
        let a = &self.authorization;
        let authorization: Map<String, Value> = [
            ("from", a.from.to_checksum(None)),
            ("to", a.to.to_checksum(None)),
            ("value", a.value.to_string()),
            ("validAfter", a.valid_after.to_string()),
            ("validBefore", a.valid_before.to_string()),
            ("nonce", a.nonce.to_string()),
        ]
        .into_iter()
        .map(|(key, text)| (key.to_owned(), Value::String(text)))
        .collect();
        let signature = alloy_primitives::hex::encode_prefixed(&self.signature);
        [
            ("authorization".to_owned(), Value::Object(authorization)),
            ("signature".to_owned(), Value::String(signature)),
        ]
        .into_iter()
        .collect()
    }

    /// Seconds between `now_unix` and the end of validity; 0 when it has ended.
    #[must_use]
    pub fn seconds_left(&self, now_unix: u64) -> u64 {
        let left = self.authorization.valid_before.saturating_sub(U256::from(now_unix));
        left.try_into().unwrap_or(u64::MAX)
    }
}

fn parse_nonce(text: &str) -> Option<B256> {
    const NONCE_TEXT: usize = 66;
    (text.len() == NONCE_TEXT && text.starts_with("0x")).then(|| text.parse().ok()).flatten()
}

fn parse_signature(text: &str) -> Result<Vec<u8>, Reason> {
    let digits = text.strip_prefix("0x").ok_or(Reason::EvmParseSignature)?;
    if digits.len() > MAX_SIGNATURE_BYTES.saturating_mul(2) {
        return Err(Reason::EvmParseSignature);
    }
    // The decoder would take a second 0x.
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Reason::EvmParseSignature);
    }
    alloy_primitives::hex::decode(digits).map_err(|_| Reason::EvmParseSignature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sample() -> Map<String, Value> {
        let value = json!({
            "authorization": {
                "from": "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
                "to": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
                "value": "10000", "validAfter": "0", "validBefore": "1770000060",
                "nonce": format!("0x{}", "11".repeat(32)),
            },
            "signature": format!("0x{}", "ab".repeat(65)),
        });
        value.as_object().unwrap().clone()
    }

    #[test]
    fn the_wire_form_round_trips() {
        let read = Eip3009Payload::read(&sample()).unwrap();
        assert_eq!(read.to_members(), sample());
        assert_eq!(read.seconds_left(1_770_000_000), 60);
        assert_eq!(read.seconds_left(1_770_000_061), 0);
    }

    #[test]
    fn each_member_is_held_to_its_grammar() {
        for (member, bad) in [
            ("from", json!("0x742d35Cc6634C0532925a3b844Bc9e7595f0bEb")),
            ("from", json!(null)),
            ("to", json!("209693Bc6afc0C5328bA36FaF03C514EF312287C")),
            ("value", json!("1e4")),
            ("value", json!(10000)),
            ("value", json!("-1")),
            ("value", json!("010000")),
            ("validAfter", json!("")),
            ("validBefore", json!("9".repeat(79))),
            ("nonce", json!("0x11")),
            ("nonce", json!("11".repeat(33))),
        ] {
            let mut members = sample();
            members["authorization"][member] = bad.clone();
            assert_eq!(
                Eip3009Payload::read(&members),
                Err(Reason::InvalidPayload),
                "{member} {bad}"
            );
        }
        for bad in [json!("ab"), json!("0xabc"), json!("0x0xab"), json!("0xzz")] {
            let mut members = sample();
            members["signature"] = bad.clone();
            assert_eq!(Eip3009Payload::read(&members), Err(Reason::EvmParseSignature), "{bad}");
        }
        assert_eq!(Eip3009Payload::read(&Map::new()), Err(Reason::InvalidPayload));
        let permit2 = json!({"permit2Authorization": {}, "signature": "0x"});
        assert_eq!(
            Eip3009Payload::read(permit2.as_object().unwrap()),
            Err(Reason::UnsupportedPayloadType)
        );
    }
}
