//! The first protocol version, translated at the door. Nothing behind this file knows that it
//! exists: a v1 payment becomes a v2 payment, and only names and header change on the way out.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use crate::{
    Amount, Network, PaymentPayload, PaymentRequest, PaymentRequirements, Reason, ResourceInfo,
    SettleResponse, VerifyResponse,
};

/// Number of the version.
pub const X402_VERSION: u32 = 1;
/// What a v1 seller says to a request without payment.
pub const HEADER_MISSING: &str = "X-PAYMENT header is required";
/// What a v1 seller says to a payment that matches none of its options.
pub const NO_MATCH: &str = "Unable to find matching payment requirements";

/// Network names of v1 and the EVM chain ids they mean, from the official packages.
pub const NETWORK_NAMES: &[(&str, u64)] = &[
    ("ethereum", 1),
    ("sepolia", 11_155_111),
    ("abstract", 2741),
    ("abstract-testnet", 11124),
    ("iotex", 4689),
    ("educhain", 41923),
    ("base", 8453),
    ("base-sepolia", 84532),
    ("avalanche", 43114),
    ("avalanche-fuji", 43113),
    ("peaq", 3338),
    ("skale-base-sepolia", 324_705_682),
    ("sei", 1329),
    ("sei-testnet", 1328),
    ("polygon", 137),
    ("polygon-amoy", 80002),
    ("story", 1514),
    ("megaeth", 4326),
    ("monad", 143),
    ("stable", 988),
    ("stable-testnet", 2201),
    ("celo", 42220),
    ("flare", 14),
];

/// The network that a v1 name means.
#[must_use]
pub fn network(name: &str) -> Option<Network> {
    NETWORK_NAMES.iter().find(|(known, _)| *known == name).map(|(_, id)| Network::eip155(*id))
}

/// The v1 name of a network, if it has one.
#[must_use]
pub fn network_name(network: &Network) -> Option<&'static str> {
    let chain_id = network.evm_chain_id()?;
    NETWORK_NAMES.iter().find(|(_, id)| *id == chain_id).map(|(name, _)| *name)
}

/// The body of a v1 402.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequiredV1 {
    /// Always 1.
    pub x402_version: u32,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The ways to pay.
    pub accepts: Vec<PaymentRequirementsV1>,
}

/// One way to pay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequirementsV1 {
    /// `exact`.
    pub scheme: String,
    /// A name such as `base-sepolia`.
    pub network: String,
    /// Price in atomic units.
    pub max_amount_required: Amount,
    /// URL of the resource.
    #[serde(default)]
    pub resource: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// Media type of the answer.
    #[serde(default)]
    pub mime_type: String,
    /// Description of input and output, scheme free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Value>,
    /// Who is paid.
    pub pay_to: String,
    /// How long an authorization may live, in seconds.
    pub max_timeout_seconds: Number,
    /// Token contract.
    pub asset: String,
    /// The token's EIP-712 name and version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Map<String, Value>>,
}

/// A v1 payment. A bearer instrument, so `Debug` shows no content.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentPayloadV1 {
    /// Always 1.
    pub x402_version: u32,
    /// `exact`.
    pub scheme: String,
    /// A name such as `base-sepolia`.
    pub network: String,
    /// What was signed.
    pub payload: Map<String, Value>,
}

impl std::fmt::Debug for PaymentPayloadV1 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PaymentPayloadV1")
            .field("scheme", &self.scheme)
            .field("network", &self.network)
            .finish_non_exhaustive()
    }
}

impl PaymentRequirementsV1 {
    /// The v1 form of an option, if its network has a v1 name.
    #[must_use]
    pub fn of(option: &PaymentRequirements, resource: &ResourceInfo) -> Option<Self> {
        Some(Self {
            scheme: option.scheme.clone(),
            network: network_name(&option.network)?.to_owned(),
            max_amount_required: option.amount,
            resource: resource.url.clone(),
            description: resource.description.clone(),
            mime_type: resource.mime_type.clone(),
            output_schema: None,
            pay_to: option.pay_to.clone(),
            max_timeout_seconds: option.max_timeout_seconds.clone(),
            asset: option.asset.clone(),
            extra: option.extra.clone(),
        })
    }

    /// The v2 form.
    ///
    /// # Errors
    /// [`Reason::EvmNetworkMismatch`] for a network name that means nothing.
    pub fn to_v2(&self) -> Result<PaymentRequirements, Reason> {
        Ok(PaymentRequirements {
            scheme: self.scheme.clone(),
            network: network(&self.network).ok_or(Reason::EvmNetworkMismatch)?,
            amount: self.max_amount_required,
            asset: self.asset.clone(),
            pay_to: self.pay_to.clone(),
            max_timeout_seconds: self.max_timeout_seconds.clone(),
            extra: self.extra.clone(),
        })
    }
}

impl PaymentRequiredV1 {
    /// The first option of each scheme and network that has a v1 name; `None` if none has.
    #[must_use]
    pub fn of(
        error: &str,
        options: &[PaymentRequirements],
        resource: &ResourceInfo,
    ) -> Option<Self> {
        let mut accepts: Vec<PaymentRequirementsV1> = Vec::new();
        for option in options.iter().filter_map(|o| PaymentRequirementsV1::of(o, resource)) {
            let listed = |o: &PaymentRequirementsV1| {
                o.scheme == option.scheme && o.network == option.network
            };
            if !accepts.iter().any(listed) {
                accepts.push(option);
            }
        }
        (!accepts.is_empty()).then(|| Self {
            x402_version: X402_VERSION,
            error: Some(error.to_owned()),
            accepts,
        })
    }
}

impl PaymentPayloadV1 {
    /// The seller's option that this payment means: v1 matches scheme and network, and means the
    /// first such option, which is the one that its challenge lists.
    #[must_use]
    pub fn select<'a>(
        &self,
        options: &'a [PaymentRequirements],
    ) -> Option<&'a PaymentRequirements> {
        let wanted = network(&self.network)?;
        options.iter().find(|option| option.scheme == self.scheme && option.network == wanted)
    }

    /// The v2 form of a payment for this option.
    #[must_use]
    pub fn to_v2(self, option: &PaymentRequirements) -> PaymentPayload {
        let mut accepted = match serde_json::to_value(option) {
            Ok(Value::Object(members)) => members,
            _ => Map::new(),
        };
        // What the buyer said, so that a mismatch is still seen.
        accepted.insert("scheme".to_owned(), Value::String(self.scheme));
        let network = network(&self.network).map_or(self.network, |network| network.to_string());
        accepted.insert("network".to_owned(), Value::String(network));
        PaymentPayload {
            x402_version: crate::X402_VERSION,
            payload: self.payload,
            extensions: None,
            resource: None,
            accepted,
        }
    }
}

/// The v2 form of the body of a v1 `/verify` or `/settle`.
///
/// # Errors
/// [`Reason::EvmNetworkMismatch`] for a network name that means nothing.
pub fn request_to_v2(
    payload: PaymentPayloadV1,
    requirements: &PaymentRequirementsV1,
) -> Result<PaymentRequest, Reason> {
    let requirements = requirements.to_v2()?;
    Ok(PaymentRequest::new(payload.to_v2(&requirements), requirements))
}

/// Gives a verdict the names a v1 caller knows.
#[must_use]
pub fn verdict(mut verdict: VerifyResponse) -> VerifyResponse {
    verdict.invalid_reason = verdict.invalid_reason.map(reason);
    verdict
}

/// Gives an outcome the names a v1 caller knows.
#[must_use]
pub fn outcome(mut outcome: SettleResponse) -> SettleResponse {
    if let Some(name) = outcome.network.parse().ok().as_ref().and_then(network_name) {
        name.clone_into(&mut outcome.network);
    }
    outcome.error_reason = outcome.error_reason.map(reason);
    outcome
}

fn reason(code: String) -> String {
    if code == Reason::EvmValueMismatch.code() {
        Reason::EvmValueV1.code().to_owned()
    } else {
        code
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PaymentKey;
    use serde_json::json;

    fn option() -> PaymentRequirements {
        serde_json::from_value(json!({
            "scheme": "exact", "network": "eip155:84532", "amount": "10000",
            "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
            "payTo": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
            "maxTimeoutSeconds": 60, "extra": {"name": "USDC", "version": "2"},
        }))
        .unwrap()
    }

    fn payment() -> PaymentPayloadV1 {
        let file: Value =
            serde_json::from_str(include_str!("../tests/golden/evm-2.27.0.json")).unwrap();
        let vector = &file["vectors"]["v1_exact_eip3009"];
        let header = vector["xPaymentHeader"].as_str().unwrap();
        let payment: PaymentPayloadV1 = crate::header::decode(header.as_bytes()).unwrap();
        assert_eq!(crate::header::encode(&payment).unwrap(), header, "byte for byte");
        payment
    }

    #[test]
    fn names_mean_one_network_and_back() {
        for (name, chain_id) in NETWORK_NAMES {
            let network = network(name).unwrap();
            assert_eq!(network.evm_chain_id(), Some(*chain_id));
            assert_eq!(network_name(&network), Some(*name));
        }
        assert!(network("eip155:84532").is_none());
        assert!(network("Base").is_none());
    }

    #[test]
    fn a_v1_payment_has_the_key_of_the_same_v2_payment() {
        let mut v2 = payment().to_v2(&option());
        let (key, _) = PaymentKey::of(&v2, &option()).unwrap();
        v2.accepted = Map::new();
        assert_eq!(PaymentKey::of(&v2, &option()).unwrap().0, key);
        assert!(crate::matching::select(&payment().to_v2(&option()), &[option()]).is_some());
    }

    #[test]
    fn v1_matches_the_first_option_of_scheme_and_network() {
        let mut dear = option();
        dear.amount = 7.into();
        let mut elsewhere = option();
        elsewhere.network = Network::eip155(8453);
        let options = [elsewhere.clone(), option(), dear];
        assert_eq!(payment().select(&options), Some(&option()));
        assert_eq!(payment().select(&[elsewhere]), None);
        let info = ResourceInfo { url: "https://a.example/x".into(), ..ResourceInfo::default() };
        let listed = PaymentRequiredV1::of(HEADER_MISSING, &options, &info).unwrap().accepts;
        assert_eq!(listed.len(), 2, "one for each network");
        assert_eq!(listed[1].max_amount_required, 10_000.into());
    }

    #[test]
    fn a_network_without_a_name_is_not_offered() {
        let mut unnamed = option();
        unnamed.network = Network::eip155(31337);
        assert!(PaymentRequiredV1::of("x", &[unnamed], &ResourceInfo::default()).is_none());
    }

    #[test]
    fn requirements_round_trip() {
        let v1 = PaymentRequirementsV1::of(&option(), &ResourceInfo::default()).unwrap();
        assert_eq!(v1.network, "base-sepolia");
        assert_eq!(v1.to_v2(), Ok(option()));
        let mut nowhere = v1;
        nowhere.network = "narnia".into();
        assert_eq!(nowhere.to_v2(), Err(Reason::EvmNetworkMismatch));
    }

    #[test]
    fn answers_carry_v1_names() {
        let network = Network::eip155(84532);
        let receipt =
            outcome(SettleResponse::failed(Reason::EvmValueMismatch, &network, None, None));
        assert_eq!(receipt.network, "base-sepolia");
        assert_eq!(receipt.error_reason.as_deref(), Some("invalid_exact_evm_authorization_value"));
        let refused = verdict(VerifyResponse::invalid(Reason::EvmValueMismatch, None));
        assert_eq!(refused.invalid_reason, receipt.error_reason);
    }
}
