//! A chain, an endpoint before it, an adapter, and payments to order.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use alloy_primitives::{Address, B256, U256, address};
use faregate_chain::{Broadcast, Chain, Inspection, Intent, Observation, Prepared, Slot, Watch};
use faregate_devnet::accounts::{self, DevAccount};
use faregate_devnet::{Devnet, DevnetConfig, DevnetHandle};
use faregate_evm::mechanisms::eip3009;
use faregate_evm::{AssetProfile, EvmChain, EvmConfig, Wallet, random_nonce};
use faregate_protocol::eip3009::{Authorization, Eip3009Payload};
use faregate_protocol::{
    Amount, Network, PaymentPayload, PaymentRequest, PaymentRequirements, Reason,
};
use serde_json::json;

use crate::endpoint::Endpoint;

pub(crate) const PRICE: u64 = 10_000;
/// A listed asset at whose address nothing stands.
pub(crate) const GHOST: Address = address!("0x0000000000000000000000000000000000060605");

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub(crate) fn wallet(account: DevAccount) -> Wallet {
    Wallet::from_hex(&account.private_key.to_string()).unwrap()
}

pub(crate) fn profile(address: Address) -> AssetProfile {
    AssetProfile {
        address,
        name: "USDC".into(),
        version: "2".into(),
        decimals: 6,
        gas_limit: 150_000,
    }
}

pub(crate) struct World {
    pub(crate) devnet: DevnetHandle,
    pub(crate) endpoint: Endpoint,
    pub(crate) chain: EvmChain,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(DevnetConfig::default(), vec![profile(accounts::TOKEN)]).await
    }

    pub(crate) async fn with(config: DevnetConfig, assets: Vec<AssetProfile>) -> Self {
        let devnet = Devnet::start(config).await.unwrap();
        let endpoint = Endpoint::start(Some(devnet.url())).await;
        let mut config = config_for(vec![endpoint.url.clone()]);
        config.assets = assets;
        let chain = EvmChain::connect(config).await.unwrap();
        endpoint.take_requests();
        Self { devnet, endpoint, chain }
    }

    pub(crate) fn slot(&self) -> Slot {
        let signer = accounts::FACILITATOR.address;
        Slot { signer: signer.to_checksum(None), nonce: self.devnet.nonce(signer) }
    }

    pub(crate) async fn reason(&self, request: &PaymentRequest) -> Option<Reason> {
        match self.chain.inspect(request, now()).await.unwrap() {
            Inspection::Valid { .. } => None,
            Inspection::Invalid { reason, .. } => Some(reason),
        }
    }

    pub(crate) async fn prepare(&self, request: &PaymentRequest) -> Prepared {
        self.chain.prepare(Intent::Transfer(request), &self.slot(), None).await.unwrap()
    }

    /// Settles with an own transaction and gives its hash.
    pub(crate) async fn settle(&self, request: &PaymentRequest) -> String {
        let prepared = self.prepare(request).await;
        assert_eq!(self.chain.broadcast(&prepared.raw).await, Broadcast::Accepted);
        prepared.transaction
    }

    pub(crate) async fn observe(
        &self,
        request: &PaymentRequest,
        transactions: &[String],
        head_at_claim: u64,
    ) -> Observation {
        self.chain.observe(Watch { request, transactions, head_at_claim }).await.unwrap()
    }
}

pub(crate) fn config_for(urls: Vec<String>) -> EvmConfig {
    let signer = Arc::new(wallet(accounts::FACILITATOR));
    EvmConfig::new(Network::eip155(84_532), urls, vec![signer])
}

/// A payment in the making: what is signed, what is required, and what the buyer says of it.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) required: PaymentRequirements,
    pub(crate) accepted: PaymentRequirements,
    pub(crate) signed: Authorization,
    pub(crate) signer: B256,
    /// Replaces the signature at the end.
    pub(crate) signature: Option<Vec<u8>>,
}

impl Draft {
    pub(crate) fn new() -> Self {
        let required = PaymentRequirements {
            scheme: "exact".into(),
            network: Network::eip155(84_532),
            amount: Amount::from(PRICE),
            asset: accounts::TOKEN.to_checksum(None),
            pay_to: accounts::PAYEE.address.to_checksum(None),
            max_timeout_seconds: 60.into(),
            extra: json!({"name": "USDC", "version": "2"}).as_object().cloned(),
        };
        let signed = Authorization {
            from: accounts::BUYER.address,
            to: accounts::PAYEE.address,
            value: Amount::from(PRICE),
            valid_after: U256::ZERO,
            valid_before: U256::from(now() + 60),
            nonce: random_nonce().unwrap(),
        };
        let signer = accounts::BUYER.private_key;
        Self { accepted: required.clone(), required, signed, signer, signature: None }
    }

    /// The digest under the domain that the requirements name.
    pub(crate) fn digest(&self) -> B256 {
        let text = |key, default| self.required.extra_text(key).unwrap_or(default).to_owned();
        let token = self.required.asset.parse().unwrap();
        let domain = eip3009::domain(&text("name", "USDC"), &text("version", "2"), 84_532, token);
        eip3009::digest(&self.signed, &domain)
    }

    pub(crate) fn request(&self) -> PaymentRequest {
        let key = Wallet::from_hex(&self.signer.to_string()).unwrap();
        let signature =
            self.signature.clone().unwrap_or_else(|| key.sign_digest(self.digest()).to_vec());
        let signed = Eip3009Payload { authorization: self.signed.clone(), signature };
        let payload = PaymentPayload {
            x402_version: 2,
            payload: signed.to_members(),
            extensions: None,
            resource: None,
            accepted: serde_json::to_value(&self.accepted).unwrap().as_object().cloned().unwrap(),
        };
        PaymentRequest::new(payload, self.required.clone())
    }
}

pub(crate) fn payment() -> PaymentRequest {
    Draft::new().request()
}
