//! What a claim says of a payment before the chain is asked. The order of faults is tested with
//! the chain in `tests/it/precedence.rs`.

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::config::EvmConfig;
use crate::wallet::Wallet;
use faregate_protocol::Network;

const NOW: u64 = 1_770_000_000;

/// A chain nobody answers for.
async fn chain() -> EvmChain {
    let signer = Arc::new(Wallet::from_hex(&"11".repeat(32)).unwrap());
    let urls = vec!["http://127.0.0.1:1".to_owned()];
    EvmChain::connect(EvmConfig::new(Network::eip155(84_532), urls, vec![signer])).await.unwrap()
}

fn buyer() -> Wallet {
    Wallet::from_hex(&"22".repeat(32)).unwrap()
}

fn request() -> PaymentRequest {
    let required: PaymentRequirements = serde_json::from_value(json!({
        "scheme": "exact",
        "network": "eip155:84532",
        "amount": "10000",
        "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
        "payTo": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
        "maxTimeoutSeconds": 60,
        "extra": {"name": "USDC", "version": "2"},
    }))
    .unwrap();
    let signed =
        eip3009::sign_authorization(&buyer(), &required, 0, NOW + 60, B256::repeat_byte(1))
            .unwrap();
    let payload = PaymentPayload {
        x402_version: 2,
        payload: signed.to_members(),
        extensions: None,
        resource: None,
        accepted: serde_json::to_value(&required).unwrap().as_object().cloned().unwrap(),
    };
    PaymentRequest::new(payload, required)
}

#[tokio::test]
async fn a_good_payment_has_no_fault_and_its_facts_are_spelled_out() {
    let (chain, request) = (chain().await, request());
    let claim = Claim::read(&chain, &request).ok().unwrap();
    assert_eq!(claim.refusal(NOW, &chain.signer_addresses()), None);
    assert!(claim.signed_by_key() && claim.pays_as_required());
    let facts = claim.authorization();
    assert_eq!(facts.payer, buyer().address().to_checksum(None));
    assert_eq!(facts.amount, Amount::from(10_000));
    assert_eq!((facts.valid_after, facts.valid_before), (0, NOW + 60));
    assert!(matches!(claim.overload(false), Some(Overload::Parts(_))));
    assert!(matches!(claim.overload(true), Some(Overload::Bytes(_))));
}

#[tokio::test]
async fn a_faults_payer_is_named_once_it_can_be_read() {
    let chain = chain().await;
    let mut malformed = request();
    malformed.payment_payload.payload["authorization"]["value"] = "1e4".into();
    let refusal = Claim::read(&chain, &malformed).err().unwrap();
    assert_eq!(refusal, Refusal { reason: Reason::InvalidPayload, payer: None });
    let mut malformed = request();
    malformed.payment_payload.payload["signature"] = "0xabc".into();
    assert_eq!(Claim::read(&chain, &malformed).err().unwrap().reason, Reason::EvmParseSignature);
    let mut payee = request();
    payee.payment_requirements.pay_to = "0x742d35Cc6634C0532925a3b844Bc9e7595f0bEb".into();
    let refusal = Claim::read(&chain, &payee).err().unwrap();
    let payer = Some(buyer().address());
    assert_eq!(refusal, Refusal { reason: Reason::EvmRecipientMismatch, payer });
    let mut permit2 = request();
    permit2.payment_payload.payload.insert("permit2Authorization".into(), json!({}));
    assert_eq!(Claim::read(&chain, &permit2).err().unwrap().reason, Reason::UnsupportedPayloadType);
}

#[tokio::test]
async fn members_that_the_buyers_copy_lacks_are_not_held_against_him() {
    let (chain, mut request) = (chain().await, request());
    for member in ["payTo", "asset", "amount", "extra"] {
        request.payment_payload.accepted.remove(member);
    }
    let claim = Claim::read(&chain, &request).ok().unwrap();
    assert_eq!(claim.refusal(NOW, &[]), None);
}

#[tokio::test]
async fn i6_a_buyers_copy_that_differs_is_refused() {
    let chain = chain().await;
    for (member, value, want) in [
        ("payTo", "0x0000000000000000000000000000000000000001", Reason::EvmRecipientMismatch),
        ("payTo", "nobody", Reason::EvmRecipientMismatch),
        ("amount", "1", Reason::EvmValueMismatch),
        ("amount", "010000", Reason::EvmValueMismatch),
        ("asset", "0x0000000000000000000000000000000000000001", Reason::NoMatchingRequirements),
    ] {
        let mut request = request();
        request.payment_payload.accepted.insert(member.into(), value.into());
        let claim = Claim::read(&chain, &request).ok().unwrap();
        assert_eq!(claim.refusal(NOW, &[]), Some(want), "{member} {value}");
    }
}

#[tokio::test]
async fn an_unproven_signature_is_blamed_before_a_later_fault() {
    let chain = chain().await;
    let mut stolen = request();
    stolen.payment_payload.payload["signature"] = format!("0x{}", "01".repeat(65)).into();
    let claim = Claim::read(&chain, &stolen).ok().unwrap();
    assert_eq!(claim.refusal(NOW, &[]), None, "it may be a contract wallet's");
    assert_eq!(claim.refusal(NOW + 60, &[]), Some(Reason::EvmSignature));
    let claim_of_good = request();
    let claim = Claim::read(&chain, &claim_of_good).ok().unwrap();
    assert_eq!(claim.refusal(NOW + 60, &[]), Some(Reason::EvmValidBefore));
}
