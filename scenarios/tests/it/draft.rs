//! A payment in the making: what is required, what the buyer says it accepted, what it signs, and
//! whose signature that is. Each can be made wrong before it goes out.

use std::time::{SystemTime, UNIX_EPOCH};

use alloy_primitives::{Address, B256, U256};
use faregate_devnet::accounts;
use faregate_evm::mechanisms::eip3009;
use faregate_evm::{Wallet, random_nonce};
use faregate_protocol::eip3009::{Authorization, Eip3009Payload};
use faregate_protocol::header;
use faregate_protocol::{Amount, Network, PaymentRequirements};
use serde_json::{Value, json};

/// $0.01 in atomic units of the dev token.
pub(crate) const PRICE: u64 = 10_000;
/// How long a payment lives, in seconds.
const LIFE_SECS: u64 = 300;

#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) required: PaymentRequirements,
    pub(crate) accepted: PaymentRequirements,
    pub(crate) signed: Authorization,
    /// The key that signs.
    pub(crate) signer: B256,
    /// Chain id of the domain that is signed for.
    pub(crate) chain_id: u64,
    /// Replaces the signature.
    pub(crate) signature: Option<Vec<u8>>,
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

impl Draft {
    /// A payment of the dev buyer to the dev seller that is right in everything.
    pub(crate) fn new() -> Self {
        Self::in_token(accounts::TOKEN)
    }

    /// The same in another token, which says the same of itself as the dev token.
    pub(crate) fn in_token(token: Address) -> Self {
        let required = PaymentRequirements {
            scheme: "exact".into(),
            network: Network::eip155(accounts::CHAIN_ID),
            amount: Amount::from(PRICE),
            asset: token.to_checksum(None),
            pay_to: accounts::PAYEE.address.to_checksum(None),
            max_timeout_seconds: LIFE_SECS.into(),
            extra: json!({"name": "USDC", "version": "2"}).as_object().cloned(),
        };
        let signed = Authorization {
            from: accounts::BUYER.address,
            to: accounts::PAYEE.address,
            value: Amount::from(PRICE),
            valid_after: U256::ZERO,
            valid_before: U256::from(now() + LIFE_SECS),
            nonce: random_nonce().unwrap(),
        };
        Self {
            accepted: required.clone(),
            required,
            signed,
            signer: accounts::BUYER.private_key,
            chain_id: accounts::CHAIN_ID,
            signature: None,
        }
    }

    pub(crate) fn digest(&self) -> B256 {
        let token = self.required.asset.parse().unwrap();
        let domain = eip3009::domain("USDC", "2", self.chain_id, token);
        eip3009::digest(&self.signed, &domain)
    }

    /// What the key signs.
    pub(crate) fn own_signature(&self) -> Vec<u8> {
        let wallet = Wallet::from_hex(&self.signer.to_string()).unwrap();
        wallet.sign_digest(self.digest()).to_vec()
    }

    /// The payment, as JSON.
    pub(crate) fn payment(&self) -> Value {
        let signature = self.signature.clone().unwrap_or_else(|| self.own_signature());
        let payload = Eip3009Payload { authorization: self.signed.clone(), signature };
        json!({"x402Version": 2, "payload": payload.to_members(), "accepted": self.accepted})
    }

    /// The value of `PAYMENT-SIGNATURE`.
    pub(crate) fn header(&self) -> String {
        header::encode(&self.payment()).unwrap()
    }

    /// The body of `POST /verify` and `/settle`.
    pub(crate) fn body(&self) -> Value {
        json!({
            "x402Version": 2,
            "paymentPayload": self.payment(),
            "paymentRequirements": self.required,
        })
    }
}
