//! Which of the seller's options is paid: the first that can be paid and may be.
//!
//! Everything that will be signed is checked here against what *we* know: network, token, its
//! signing domain and its decimals. A seller supplies an amount and a payee, nothing else.

use alloy_primitives::Address;
use faregate_protocol::assets::{self, TEST_CHAIN_IDS, TransferMethod};
use faregate_protocol::{Amount, Network, PaymentRequirements, address};
use serde_json::{Map, Value};

use crate::config::{AllowedAsset, BuyerConfig};

/// An option that can be paid and may be.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// As the seller wrote it, to be sent back.
    pub accepted: Map<String, Value>,
    /// What will be signed, from checked values.
    pub requirements: PaymentRequirements,
    /// The asset, as we know it.
    pub asset: AllowedAsset,
    /// Who is paid.
    pub pay_to: Address,
}

impl Choice {
    /// The price for people, such as `0.01 USDC`.
    #[must_use]
    pub fn price(&self) -> String {
        human(self.requirements.amount, &self.asset)
    }
}

/// Why no option is paid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChooseError {
    /// It could be paid, but costs more than allowed.
    #[error("the price is {price} on {network}, the limit is {limit}")]
    AboveLimit {
        /// The lowest price asked, such as `0.50 USDC`.
        price: String,
        /// Where.
        network: String,
        /// The limit as it was set.
        limit: String,
    },
    /// No option can be paid; why, one reason an option.
    #[error("no option of the seller can be paid: {}", list(.0))]
    NoneUsable(Vec<Unusable>),
}

fn list(reasons: &[Unusable]) -> String {
    let texts: Vec<_> = reasons.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

/// Why an option is not paid. Repeats nothing of the seller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// Not `exact`.
    #[error("its scheme is not exact")]
    Scheme,
    /// Not an EVM chain.
    #[error("its network is not an EVM chain")]
    Network,
    /// A main network that was not named.
    #[error("its network is not a test network and was not allowed by name")]
    NetworkNotAllowed,
    /// Not a known token.
    #[error("its asset is not a known token of the network and was not allowed by name")]
    Asset,
    /// The token, or the seller, wants another method than EIP-3009.
    #[error("it is not paid by EIP-3009")]
    Method,
    /// `extra.name` or `extra.version` is not the token's.
    #[error("it names another signing domain than the token's")]
    Domain,
    /// An unknown `extra.paymentFlow`.
    #[error("its payment flow is unknown")]
    Flow,
    /// `payTo` is malformed, zero, the token itself, or the payer.
    #[error("its payee is not an account that can be paid")]
    PayTo,
    /// Not a positive whole number of atomic units.
    #[error("its amount is not a positive number of atomic units")]
    Amount,
    /// `maxTimeoutSeconds` is not a positive number.
    #[error("its timeout is not a positive number of seconds")]
    Timeout,
    /// The limit was set for another asset.
    #[error("the limit does not cover its asset")]
    LimitOfAnotherAsset,
    /// It costs more than allowed.
    #[error("its price is above the limit")]
    AboveLimit,
}

const FLOW_DEFAULT: &str = "authorization";
const FLOW_UPFRONT: &str = "upfront";
const METHOD_EIP3009: &str = "eip3009";

/// Chooses the first payable option, one of the default flow before others.
///
/// # Errors
/// [`ChooseError`].
pub fn choose(options: &[Map<String, Value>], config: &BuyerConfig) -> Result<Choice, ChooseError> {
    let mut usable = Vec::new();
    let mut unusable = Vec::new();
    for option in options {
        match check(option, config) {
            Ok(choice) => usable.push(choice),
            Err(reason) => unusable.push(reason),
        }
    }
    let (affordable, dear): (Vec<_>, Vec<_>) =
        usable.into_iter().partition(|choice| within(choice, config) == Ok(()));
    let preferred = affordable.iter().position(|choice| flow(&choice.accepted) == FLOW_DEFAULT);
    if let Some(choice) = affordable.into_iter().nth(preferred.unwrap_or(0)) {
        return Ok(choice);
    }
    unusable.extend(dear.iter().filter_map(|choice| within(choice, config).err()));
    // Amounts of different assets cannot be compared; the first is as good as any.
    match dear.iter().find(|choice| within(choice, config) == Err(Unusable::AboveLimit)) {
        Some(choice) => Err(ChooseError::AboveLimit {
            price: choice.price(),
            network: choice.requirements.network.to_string(),
            limit: config.max_price.to_string(),
        }),
        None => Err(ChooseError::NoneUsable(unusable)),
    }
}

/// An amount for people.
pub(crate) fn human(amount: Amount, asset: &AllowedAsset) -> String {
    format!("{} {}", amount.in_tokens(asset.decimals), asset.symbol)
}

fn within(choice: &Choice, config: &BuyerConfig) -> Result<(), Unusable> {
    let limit = config.max_price.in_units(&choice.asset.symbol, choice.asset.decimals);
    match limit {
        None => Err(Unusable::LimitOfAnotherAsset),
        Some(limit) if choice.requirements.amount > limit => Err(Unusable::AboveLimit),
        Some(_) => Ok(()),
    }
}

fn check(option: &Map<String, Value>, config: &BuyerConfig) -> Result<Choice, Unusable> {
    let text = |key: &str| option.get(key).and_then(Value::as_str);
    if text("scheme") != Some("exact") {
        return Err(Unusable::Scheme);
    }
    if ![FLOW_DEFAULT, FLOW_UPFRONT].contains(&flow(option)) {
        return Err(Unusable::Flow);
    }
    let network: Network =
        text("network").and_then(|text| text.parse().ok()).ok_or(Unusable::Network)?;
    let asset = asset(&network, text("asset").unwrap_or_default(), config)?;
    let extra = |key: &str| option.get("extra").and_then(|extra| extra.get(key));
    if extra("assetTransferMethod").is_some_and(|method| method != METHOD_EIP3009) {
        return Err(Unusable::Method);
    }
    let same = |key: &str, known: &str| extra(key).and_then(Value::as_str) == Some(known);
    if !same("name", &asset.eip712_name) || !same("version", &asset.eip712_version) {
        return Err(Unusable::Domain);
    }
    let pay_to = text("payTo").and_then(|text| address::parse_checked_address(text).ok());
    let payable =
        |to: &Address| !to.is_zero() && *to != asset.address && *to != config.wallet.address();
    let pay_to = pay_to.filter(payable).ok_or(Unusable::PayTo)?;
    let amount: Amount =
        text("amount").and_then(|text| text.parse().ok()).ok_or(Unusable::Amount)?;
    if amount == Amount::ZERO {
        return Err(Unusable::Amount);
    }
    let requirements = PaymentRequirements {
        scheme: "exact".to_owned(),
        network,
        amount,
        asset: asset.address.to_checksum(None),
        pay_to: pay_to.to_checksum(None),
        max_timeout_seconds: timeout(option)?,
        extra: Some(domain(&asset)),
    };
    if requirements.timeout_secs() == 0 {
        return Err(Unusable::Timeout);
    }
    Ok(Choice { accepted: option.clone(), requirements, asset, pay_to })
}

fn flow(option: &Map<String, Value>) -> &str {
    match option.get("extra").and_then(|extra| extra.get("paymentFlow")) {
        None | Some(Value::Null) => FLOW_DEFAULT,
        Some(flow) => flow.as_str().unwrap_or_default(),
    }
}

fn timeout(option: &Map<String, Value>) -> Result<serde_json::Number, Unusable> {
    match option.get("maxTimeoutSeconds") {
        Some(Value::Number(seconds)) => Ok(seconds.clone()),
        _ => Err(Unusable::Timeout),
    }
}

fn domain(asset: &AllowedAsset) -> Map<String, Value> {
    [("name", &asset.eip712_name), ("version", &asset.eip712_version)]
        .into_iter()
        .map(|(key, text)| (key.to_owned(), Value::String(text.clone())))
        .collect()
}

/// The asset as we know it, if it may be paid with.
fn asset(network: &Network, text: &str, config: &BuyerConfig) -> Result<AllowedAsset, Unusable> {
    let chain_id = network.evm_chain_id().ok_or(Unusable::Network)?;
    let address = address::parse_address(text).map_err(|_| Unusable::Asset)?;
    let own = config.assets.iter().find(|own| own.network == *network && own.address == address);
    if let Some(own) = own {
        return Ok(own.clone());
    }
    if !TEST_CHAIN_IDS.contains(&chain_id) && !config.networks.contains(network) {
        return Err(Unusable::NetworkNotAllowed);
    }
    let known = assets::by_address(network, text).ok_or(Unusable::Asset)?;
    if known.method != TransferMethod::Eip3009 {
        return Err(Unusable::Method);
    }
    Ok(AllowedAsset {
        network: network.clone(),
        address,
        symbol: known.symbol.to_owned(),
        eip712_name: known.eip712_name.to_owned(),
        eip712_version: known.eip712_version.to_owned(),
        decimals: known.decimals,
    })
}

#[cfg(test)]
mod tests;
