//! What a payment needs besides what is measured: a chain of our own with rich buyers, the proxy
//! before it, and an application for gates.

use std::net::SocketAddr;
use std::sync::Arc;

use alloy_primitives::{Address, U256, address, keccak256};
use faregate_devnet::accounts::{self, ACCOUNTS, DevAccount};
use faregate_devnet::{Devnet, DevnetConfig, DevnetHandle, Predeploy, TokenConfig};
use faregate_evm::Wallet;
use faregate_protocol::{Amount, Network, PaymentRequirements};
use serde::Serialize;
use serde_json::json;

use crate::arguments::RunArgs;
use crate::error::BenchError;
use crate::limits::PAYMENT_LIFE_SECS;
use crate::proxy::Proxy;
use crate::upstream;

/// A cent, in atomic units: what every payment is worth.
const PRICE: u64 = 10_000;
/// What each payer has, in atomic units: enough for every payment there can be.
const FORTUNE: u64 = 1_000_000_000_000;
/// Contracts that payments by EIP-3009 do not use, and without which some facilitators do not
/// start: a validator of ERC-6492 signatures, Permit2, and the proxy for payments by it.
const LOOKED_FOR: [Address; 3] = [
    address!("0xdAcD51A54883eb67D95FAEb2BBfdC4a9a6BD2a3B"),
    address!("0x000000000022D473030F116dDEE9F6B43aC78BA3"),
    address!("0x402085c248EeA27D92E8b30b2C58ed07f9E20001"),
];
/// What stands there: it ends at once.
const STOP: &[u8] = &[0];
/// Low, as on the chains that payments are made on; full blocks raise it.
const BASE_FEE_WEI: u64 = 1_000_000;

/// Everything around what is measured.
pub(crate) struct World {
    pub(crate) chain: DevnetHandle,
    pub(crate) proxy: Proxy,
    pub(crate) payers: Arc<[Wallet]>,
    pub(crate) facts: Facts,
}

/// What something that is measured has to know.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Facts {
    /// The chain's JSON-RPC, through the proxy.
    pub(crate) rpc: String,
    pub(crate) chain_id: u64,
    /// CAIP-2 id.
    pub(crate) network: String,
    pub(crate) token: String,
    pub(crate) pay_to: String,
    /// Atomic units of one payment.
    pub(crate) amount: String,
    /// Private keys with gas money. They are published all over the world.
    pub(crate) signer_keys: Vec<String>,
    /// An application that a gate may stand before.
    pub(crate) upstream: String,
}

impl World {
    pub(crate) async fn start(run: &RunArgs) -> Result<Self, BenchError> {
        let payers = (0..run.payers).map(payer).collect::<Result<Arc<[_]>, _>>()?;
        let mut token = TokenConfig::default();
        token.balances.extend(payers.iter().map(|p| (p.address(), U256::from(FORTUNE))));
        let chain = Devnet::start(DevnetConfig {
            block_time: Some(run.block_time),
            block_gas_limit: run.block_gas_limit,
            base_fee: BASE_FEE_WEI,
            token: Some(token),
            predeploys: LOOKED_FOR.into_iter().map(stand_in).collect(),
            ..DevnetConfig::default()
        });
        let chain = chain.await?;
        let port = run.rpc_port.unwrap_or_default();
        let proxy = Proxy::start(chain.url(), run.rpc_latency, port).await?;
        let upstream = upstream::start().await?;
        let facts = Facts::of(&proxy, upstream, run.signers);
        Ok(Self { chain, proxy, payers, facts })
    }

    /// What a facilitator is told to verify and to settle.
    pub(crate) fn requirements(&self) -> Result<PaymentRequirements, BenchError> {
        let network: Network =
            self.facts.network.parse().map_err(|_| {
                BenchError::Unexpected(format!("{} is no network", self.facts.network))
            })?;
        let extra = json!({ "name": "USDC", "version": "2" });
        Ok(PaymentRequirements {
            scheme: "exact".to_owned(),
            network,
            amount: Amount(U256::from(PRICE)),
            asset: self.facts.token.clone(),
            pay_to: self.facts.pay_to.clone(),
            max_timeout_seconds: PAYMENT_LIFE_SECS.into(),
            extra: extra.as_object().cloned(),
        })
    }
}

impl Facts {
    fn of(proxy: &Proxy, upstream: SocketAddr, signers: u16) -> Self {
        let roles = [accounts::BUYER, accounts::PAYEE, accounts::TOKEN_OWNER];
        let free = |account: &&DevAccount| !roles.contains(account);
        let signers = ACCOUNTS.iter().filter(free).take(usize::from(signers));
        Self {
            rpc: format!("http://{}", proxy.address),
            chain_id: accounts::CHAIN_ID,
            network: format!("eip155:{}", accounts::CHAIN_ID),
            token: accounts::TOKEN.to_checksum(None),
            pay_to: accounts::PAYEE.address.to_checksum(None),
            amount: PRICE.to_string(),
            signer_keys: signers.map(|account| account.private_key.to_string()).collect(),
            upstream: format!("http://{upstream}"),
        }
    }

    /// The same as variables for a command.
    pub(crate) fn variables(&self) -> [(&'static str, String); 8] {
        [
            ("BENCH_RPC_URL", self.rpc.clone()),
            ("BENCH_CHAIN_ID", self.chain_id.to_string()),
            ("BENCH_NETWORK", self.network.clone()),
            ("BENCH_TOKEN", self.token.clone()),
            ("BENCH_PAY_TO", self.pay_to.clone()),
            ("BENCH_SIGNER_KEY", self.signer_keys.first().cloned().unwrap_or_default()),
            ("BENCH_SIGNER_KEYS", self.signer_keys.join(" ")),
            ("BENCH_UPSTREAM", self.upstream.clone()),
        ]
    }
}

fn stand_in(address: Address) -> Predeploy {
    Predeploy { address, code: STOP.into(), storage: Vec::new() }
}

/// The key of a payer is a hash that everybody can compute.
fn payer(index: u16) -> Result<Wallet, BenchError> {
    let key = keccak256(format!("faregate bench payer {index}"));
    Wallet::from_hex(&key.to_string()).map_err(|error| BenchError::Sign(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_signers_as_can_be_asked_for() {
        let payers: Vec<_> = (0..3).map(|index| payer(index).unwrap().address()).collect();
        assert!(payers[0] != payers[1] && payers[1] != payers[2]);
        let roles = [accounts::BUYER, accounts::PAYEE, accounts::TOKEN_OWNER];
        let free = ACCOUNTS.iter().filter(|account| !roles.contains(account)).count();
        assert_eq!(free, usize::from(crate::arguments::MAX_SIGNERS));
    }
}
