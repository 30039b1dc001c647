//! What a transaction offers for gas, never above the configured ceiling: twice the next base fee
//! plus a tip from the last blocks, or on a chain without base fees the node's price and a quarter.

pub mod quiet;

use std::time::Instant;

use faregate_chain::{ChainError, Fees};
use faregate_protocol::Network;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::config::TransactionType;
use crate::limits::{FEE_CACHED_FOR, FEE_HISTORY_BLOCKS, FEE_HISTORY_PERCENTILE};
use crate::rpc::{Call, Rpc, call, decode};

/// What the chain said.
#[derive(Clone, Debug)]
struct Asked {
    /// What is to be offered, before it is held against the ceiling.
    offer: Fees,
    /// Of the last blocks and of the next one; none on a chain without.
    base_fees_wei: Vec<u128>,
}

/// The fee of one chain, asked at most once a second.
#[derive(Debug)]
pub(crate) struct FeeSource {
    network: Network,
    ceiling_wei: u128,
    min_tip_wei: u128,
    transaction_type: TransactionType,
    cached: Mutex<Option<(Instant, Result<Asked, ChainError>)>>,
}

impl FeeSource {
    /// Nothing asked yet.
    pub(crate) fn new(
        network: Network,
        ceiling_wei: u128,
        min_tip_wei: u128,
        transaction_type: TransactionType,
    ) -> Self {
        Self { network, ceiling_wei, min_tip_wei, transaction_type, cached: Mutex::new(None) }
    }

    /// The fee to offer now.
    ///
    /// # Errors
    /// [`ChainError::FeeCeiling`] above the ceiling; another [`ChainError`] without an answer.
    pub(crate) async fn now(&self, rpc: &Rpc) -> Result<Fees, ChainError> {
        self.below_ceiling(self.asked(rpc).await?.offer)
    }

    /// Base fees of the last blocks and of the next one, in wei; none on a chain without, or
    /// without an answer.
    pub(crate) async fn base_fees_wei(&self, rpc: &Rpc) -> Vec<u128> {
        self.asked(rpc).await.map(|asked| asked.base_fees_wei).unwrap_or_default()
    }

    async fn asked(&self, rpc: &Rpc) -> Result<Asked, ChainError> {
        // Held over the question, so that many waiters ask once and fail together.
        let mut cached = self.cached.lock().await;
        if let Some((_, asked)) = cached.as_ref().filter(|(at, _)| at.elapsed() < FEE_CACHED_FOR) {
            return asked.clone();
        }
        let asked = self.ask(rpc).await;
        *cached = Some((Instant::now(), asked.clone()));
        asked
    }

    async fn ask(&self, rpc: &Rpc) -> Result<Asked, ChainError> {
        if self.transaction_type == TransactionType::Legacy {
            let [price] = rpc.batch_of([Call::gas_price()]).await?;
            let price = decode::u128(&rpc.value(price, call::GAS_PRICE)?);
            let price = price.ok_or_else(|| rpc.nonsense(call::GAS_PRICE))?;
            let offer = one_price(price, self.min_tip_wei);
            return Ok(Asked { offer, base_fees_wei: Vec::new() });
        }
        let [history] =
            rpc.batch_of([Call::fee_history(FEE_HISTORY_BLOCKS, FEE_HISTORY_PERCENTILE)]).await?;
        let history = rpc.value(history, call::FEE_HISTORY)?;
        let (base_fees_wei, tip) = read(&history).ok_or_else(|| rpc.nonsense(call::FEE_HISTORY))?;
        let next = base_fees_wei.last().copied().unwrap_or_default();
        Ok(Asked { offer: offer(next, tip.max(self.min_tip_wei)), base_fees_wei })
    }

    /// At least `fee`, and enough above `replaced` that a pool takes it in its place.
    ///
    /// # Errors
    /// [`ChainError::FeeCeiling`].
    pub(crate) fn above(&self, fee: Fees, replaced: Fees) -> Result<Fees, ChainError> {
        self.below_ceiling(Fees {
            max_fee_wei: fee.max_fee_wei.max(raised(replaced.max_fee_wei)),
            tip_wei: fee.tip_wei.max(raised(replaced.tip_wei)),
        })
    }

    fn below_ceiling(&self, fee: Fees) -> Result<Fees, ChainError> {
        if fee.max_fee_wei > self.ceiling_wei || fee.tip_wei > fee.max_fee_wei {
            return Err(ChainError::FeeCeiling { network: self.network.to_string() });
        }
        Ok(fee)
    }
}

/// Pools ask for 10 % more on both fees; 15 % leaves room for rounding.
fn raised(wei: u128) -> u128 {
    const PERCENT: u128 = 115;
    wei.saturating_mul(PERCENT).div_ceil(100).max(wei.saturating_add(1))
}

/// One price is both the most and what is paid. A quarter more than asked outlives a few blocks
/// that become dearer.
fn one_price(price_wei: u128, least_wei: u128) -> Fees {
    let offered = price_wei.saturating_add(price_wei.div_ceil(4)).max(least_wei);
    Fees { max_fee_wei: offered, tip_wei: offered }
}

fn offer(base_wei: u128, tip_wei: u128) -> Fees {
    Fees { max_fee_wei: base_wei.saturating_mul(2).saturating_add(tip_wei), tip_wei }
}

/// The base fees, that of the next block last, and the median of the tips, in wei.
fn read(history: &Value) -> Option<(Vec<u128>, u128)> {
    let base = history.get("baseFeePerGas")?.as_array()?.iter().map(decode::u128);
    let base: Vec<u128> = base.collect::<Option<_>>()?;
    if base.is_empty() {
        return None;
    }
    let mut tips = Vec::new();
    for block in history.get("reward").and_then(Value::as_array).into_iter().flatten() {
        tips.push(decode::u128(block.as_array()?.first()?)?);
    }
    // An empty block reports a tip of zero, which says nothing about the price.
    tips.retain(|tip| *tip > 0);
    tips.sort_unstable();
    let median = tips.get(tips.len() / 2).copied().unwrap_or_default();
    Some((base, median))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn the_next_base_fee_and_the_median_tip_are_read() {
        let history = json!({
            "oldestBlock": "0x1",
            "baseFeePerGas": ["0x1", "0x2", "0x64"],
            "gasUsedRatio": [0.1, 0.5],
            "reward": [["0x0"], ["0x9"], ["0x5"], ["0x7"]],
        });
        assert_eq!(read(&history), Some((vec![1, 2, 100], 7)));
        assert_eq!(offer(100, 7), Fees { max_fee_wei: 207, tip_wei: 7 });
        let quiet = json!({"baseFeePerGas": ["0x1", "0x64"], "reward": null});
        assert_eq!(read(&quiet), Some((vec![1, 100], 0)));
    }

    #[test]
    fn one_price_is_offered_as_most_and_as_tip() {
        let fees = |wei| Fees { max_fee_wei: wei, tip_wei: wei };
        assert_eq!(one_price(100, 1), fees(125));
        assert_eq!(one_price(1, 1), fees(2));
        assert_eq!(one_price(0, 7), fees(7));
        assert_eq!(one_price(u128::MAX, 1), fees(u128::MAX));
        let low = FeeSource::new(Network::eip155(1), 120, 1, TransactionType::Legacy);
        assert!(matches!(low.below_ceiling(one_price(100, 1)), Err(ChainError::FeeCeiling { .. })));
        let raised = low.above(fees(50), fees(50)).unwrap();
        assert_eq!(raised.max_fee_wei, raised.tip_wei, "a replacement has one price too");
    }

    #[test]
    fn odd_histories_are_no_answer() {
        for odd in [
            json!(null),
            json!({}),
            json!({"baseFeePerGas": []}),
            json!({"baseFeePerGas": [1]}),
            json!({"baseFeePerGas": ["0x1"], "reward": [[]]}),
            json!({"baseFeePerGas": ["0x1"], "reward": ["0x1"]}),
            json!({"baseFeePerGas": [format!("0x1{}", "0".repeat(32))]}),
        ] {
            assert_eq!(read(&odd), None, "{odd}");
        }
    }

    proptest! {
        #[test]
        fn a_replacement_is_ten_percent_above_on_both_fees(max: u64, tip: u64) {
            let (max, tip) = (u128::from(max).max(u128::from(tip)), u128::from(tip));
            let source = FeeSource::new(Network::eip155(1), u128::MAX, 0, TransactionType::Eip1559);
            let old = Fees { max_fee_wei: max, tip_wei: tip };
            let new = source.above(old, old).unwrap();
            prop_assert!(new.max_fee_wei * 100 >= max * 110 && new.tip_wei * 100 >= tip * 110);
            prop_assert!(new.max_fee_wei > max && new.tip_wei > tip);
            let low = FeeSource::new(Network::eip155(1), max, 0, TransactionType::Eip1559);
            prop_assert!(low.above(old, old).is_err());
        }

        #[test]
        fn an_offer_never_wraps(base: u128, tip: u128) {
            let fee = offer(base, tip);
            prop_assert!(fee.max_fee_wei >= fee.tip_wei && fee.max_fee_wei >= base);
        }
    }
}
