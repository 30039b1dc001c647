//! What an EVM chain is configured with.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use faregate_chain::{ChainError, SecondLayer};
use faregate_protocol::{Network, assets};
use faregate_telemetry::Metrics;
use url::Url;

use crate::assets::AssetProfile;
use crate::batch::BatchMode;
use crate::fees::quiet::QuietPolicy;
use crate::limits::{
    DEFAULT_CALL_TIMEOUT, DEFAULT_HEDGE_AFTER, DEFAULT_MAX_FEE_PER_GAS_WEI, DEFAULT_MAX_LAG_BLOCKS,
    DEFAULT_MIN_TIP_WEI, MAX_ENDPOINTS, MAX_TRANSFER_GAS, NO_OP_GAS, SURVEY_EVERY,
};
use crate::signer::TransactionSigner;

/// One EVM chain. `Debug` leaves the URLs out: they may hold keys.
#[derive(Clone)]
pub struct EvmConfig {
    /// `eip155:<chain id>`.
    pub network: Network,
    /// JSON-RPC endpoints (http or https), the preferred one first.
    pub rpc_urls: Vec<String>,
    /// Accounts that send transactions, one lane each. None: a chain to look at only.
    pub signers: Vec<Arc<dyn TransactionSigner>>,
    /// Tokens that may be settled; empty means the network's default asset.
    pub assets: Vec<AssetProfile>,
    /// How the endpoints are asked.
    pub endpoints: EndpointPolicy,
    /// Where the endpoints' health is shown. Default: a registry that nobody reads.
    pub metrics: Metrics,
    /// Most that one unit of gas may cost, in wei. Default 200 gwei.
    pub max_fee_per_gas_wei: u128,
    /// Least tip for one unit of gas, in wei. Default 0.001 gwei.
    pub min_tip_wei: u128,
    /// When payments that nobody waits for are sent. Default: at once.
    pub quiet: QuietPolicy,
    /// How gas is offered. Default EIP-1559.
    pub transaction_type: TransactionType,
    /// Whether payments share transactions. Default [`BatchMode::Auto`].
    pub batch: BatchMode,
    /// Whether payments that are verified at the same time share a call. Default yes.
    pub shared_reads: bool,
    /// What this process and others tell each other of the chain. Default nothing.
    pub second_layer: Option<Arc<dyn SecondLayer>>,
}

/// How the endpoints of a chain are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointPolicy {
    /// Time for one request to one endpoint. Default 5 s.
    pub call_timeout: Duration,
    /// A second endpoint is asked the same when the first has not answered for this long, and for
    /// longer than 95 of 100 of its last answers took. `None`: never. Default 500 ms.
    pub hedge_after: Option<Duration>,
    /// Most JSON-RPC calls to each endpoint in a second, reads and sends; `None`: no limit.
    pub calls_per_second: Option<u32>,
    /// An endpoint further behind the others is not asked for state. Default 4 blocks.
    pub max_lag_blocks: u64,
    /// How often all endpoints are asked for their newest block; a chain with one endpoint never
    /// is. Default 10 s.
    pub survey_every: Duration,
}

impl Default for EndpointPolicy {
    fn default() -> Self {
        Self {
            call_timeout: DEFAULT_CALL_TIMEOUT,
            hedge_after: Some(DEFAULT_HEDGE_AFTER),
            calls_per_second: None,
            max_lag_blocks: DEFAULT_MAX_LAG_BLOCKS,
            survey_every: SURVEY_EVERY,
        }
    }
}

/// How a transaction says what it pays for gas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransactionType {
    /// Type 2: a most and a tip, after the base fees of the last blocks.
    #[default]
    Eip1559,
    /// Type 0, replay-protected by EIP-155: one price, after the node's. For chains without base
    /// fees.
    Legacy,
}

impl EvmConfig {
    /// A chain with the defaults of everything else.
    #[must_use]
    pub fn new(
        network: Network,
        rpc_urls: Vec<String>,
        signers: Vec<Arc<dyn TransactionSigner>>,
    ) -> Self {
        Self {
            network,
            rpc_urls,
            signers,
            assets: Vec::new(),
            endpoints: EndpointPolicy::default(),
            metrics: Metrics::new([]),
            max_fee_per_gas_wei: DEFAULT_MAX_FEE_PER_GAS_WEI,
            min_tip_wei: DEFAULT_MIN_TIP_WEI,
            quiet: QuietPolicy::default(),
            transaction_type: TransactionType::default(),
            batch: BatchMode::default(),
            shared_reads: true,
            second_layer: None,
        }
    }

    /// The chain id.
    pub(crate) fn chain_id(&self) -> Result<u64, ChainError> {
        self.network.evm_chain_id().ok_or(refused("the network is not eip155:<chain id>"))
    }

    /// The endpoints.
    pub(crate) fn urls(&self) -> Result<Vec<Url>, ChainError> {
        if self.rpc_urls.is_empty() || self.rpc_urls.len() > MAX_ENDPOINTS {
            return Err(refused("a chain has 1 to 16 endpoints"));
        }
        let read = |text: &String| {
            Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))
        };
        let urls: Option<Vec<Url>> = self.rpc_urls.iter().map(read).collect();
        urls.ok_or(refused("an endpoint is an http or https URL"))
    }

    /// The tokens, at least one.
    pub(crate) fn profiles(&self) -> Result<Vec<AssetProfile>, ChainError> {
        if self.assets.is_empty() {
            let default = assets::default_asset(&self.network)
                .and_then(AssetProfile::of_known)
                .ok_or(refused("the network has no default asset with EIP-3009; name one"))?;
            return Ok(vec![default]);
        }
        let distinct: HashSet<_> = self.assets.iter().map(|asset| asset.address).collect();
        if distinct.len() != self.assets.len() {
            return Err(refused("an asset is listed twice"));
        }
        if self.assets.iter().any(|asset| asset.name.is_empty() || asset.version.is_empty()) {
            return Err(refused("an asset has an EIP-712 name and version"));
        }
        let gas = NO_OP_GAS..=MAX_TRANSFER_GAS;
        if self.assets.iter().any(|asset| !gas.contains(&asset.gas_limit)) {
            return Err(refused("the gas limit of an asset is 21000 to 2000000"));
        }
        Ok(self.assets.clone())
    }

    /// What cannot be right in the rest.
    pub(crate) fn check(&self) -> Result<(), ChainError> {
        let signers: HashSet<_> = self.signers.iter().map(|signer| signer.address()).collect();
        if signers.len() != self.signers.len() {
            return Err(refused("a signer is listed twice"));
        }
        if self.endpoints.call_timeout.is_zero() || self.endpoints.survey_every.is_zero() {
            return Err(refused("the call timeout or the time between surveys is zero"));
        }
        if self.endpoints.calls_per_second == Some(0) {
            return Err(refused("an endpoint may be asked nothing"));
        }
        if self.min_tip_wei > self.max_fee_per_gas_wei {
            return Err(refused("the least tip is above the fee ceiling"));
        }
        Ok(())
    }
}

fn refused(detail: &'static str) -> ChainError {
    ChainError::Unsupported { detail }
}

impl fmt::Debug for EvmConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EvmConfig")
            .field("network", &self.network)
            .field("endpoints", &self.rpc_urls.len())
            .field("assets", &self.assets)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wallet::Wallet;

    fn config() -> EvmConfig {
        let wallet = Arc::new(Wallet::from_hex(&"11".repeat(32)).unwrap());
        EvmConfig::new(
            Network::eip155(84532),
            vec!["http://user:secret@127.0.0.1:1/key".into()],
            vec![wallet],
        )
    }

    #[test]
    fn the_defaults_are_complete() {
        let config = config();
        assert_eq!(config.check(), Ok(()));
        assert_eq!(config.chain_id(), Ok(84532));
        assert_eq!(config.profiles().unwrap()[0].name, "USDC");
    }

    type Break = fn(&mut EvmConfig);

    #[test]
    fn what_cannot_be_right_is_refused() {
        let breaks: [(&str, Break); 10] = [
            ("no endpoint", |c| c.rpc_urls.clear()),
            ("no URL", |c| c.rpc_urls = vec!["127.0.0.1:8545".into()]),
            ("no http", |c| c.rpc_urls = vec!["ws://127.0.0.1:8545".into()]),
            ("signer twice", |c| c.signers.push(Arc::clone(&c.signers[0]))),
            ("no EVM chain", |c| c.network = "solana:abc".parse().unwrap()),
            ("no default asset", |c| c.network = Network::eip155(31337)),
            ("asset twice", |c| c.assets = [c.profiles().unwrap(), c.profiles().unwrap()].concat()),
            ("timeout", |c| c.endpoints.call_timeout = Duration::ZERO),
            ("rate", |c| c.endpoints.calls_per_second = Some(0)),
            ("tip", |c| c.max_fee_per_gas_wei = c.min_tip_wei - 1),
        ];
        for (name, break_it) in breaks {
            let mut bad = config();
            break_it(&mut bad);
            let outcome = bad
                .check()
                .and_then(|()| bad.chain_id())
                .and_then(|_| bad.urls())
                .and_then(|_| bad.profiles());
            assert!(outcome.is_err(), "{name}");
        }
    }

    #[test]
    fn debug_hides_the_urls() {
        let shown = format!("{:?}", config());
        assert!(!shown.contains("secret") && !shown.contains("127.0.0.1"), "{shown}");
    }
}
