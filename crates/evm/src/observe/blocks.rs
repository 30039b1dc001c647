//! The newest blocks, and what one of them proves of many payments at once.
//!
//! The same rules hold as for one payment: a proof is the pair of logs in a receipt with status 1,
//! in a block that the same endpoint calls canonical. What a block does not prove here is left to
//! be observed alone.

use std::collections::{HashMap, HashSet};

use alloy_primitives::B256;
use faregate_chain::{
    BlockSeen, ChainError, Heights, InBlock, Observation, Outcome, Standing, Watch,
};
use serde_json::Value;

use super::chain_view::{self, View};
use super::receipt::{self, Receipt};
use super::{Subject, paid};
use crate::adapter::EvmChain;
use crate::limits::{BLOCK_RECEIPTS_FROM, MAX_BLOCKS_AT_ONCE};
use crate::rpc::{Block, Call, Rpc, call, decode};

/// The newest blocks after `after`; without a number the newest one.
pub(crate) async fn after(rpc: &Rpc, after: Option<u64>) -> Result<Vec<BlockSeen>, ChainError> {
    let [head] = rpc.batch_of([Call::block_number()]).await?;
    let head = decode::u64(&rpc.value(head, call::BLOCK_NUMBER)?);
    let head = head.ok_or_else(|| rpc.nonsense(call::BLOCK_NUMBER))?;
    let lowest = head.saturating_sub(MAX_BLOCKS_AT_ONCE.saturating_sub(1));
    let from = after.map_or(head, |after| after.saturating_add(1)).max(lowest);
    let calls: Vec<Call> = (from..=head).map(|number| Call::block(Block::Number(number))).collect();
    if calls.is_empty() {
        return Ok(Vec::new());
    }
    let mut blocks = Vec::with_capacity(calls.len());
    for (number, answer) in (from..=head).zip(rpc.batch(&calls).await?) {
        let value = rpc.value(answer, call::GET_BLOCK)?;
        // Another endpoint may have said how high the chain is.
        if value.is_null() {
            break;
        }
        let block = read(&value).filter(|block| block.number == number);
        blocks.push(block.ok_or_else(|| rpc.nonsense(call::GET_BLOCK))?);
    }
    Ok(blocks)
}

/// What stands at these heights beside head and final block, by one endpoint in one request.
pub(crate) async fn heights(rpc: &Rpc, numbers: &[u64]) -> Result<Heights, ChainError> {
    let by_number = numbers.iter().map(|number| Block::Number(*number));
    let asked = [Block::Latest, Block::Finalized].into_iter().chain(by_number);
    let calls: Vec<Call> = asked.map(Call::block).collect();
    let mut answers = rpc.batch(&calls).await?.into_iter();
    let mut next = || answers.next().ok_or_else(|| rpc.nonsense("batch"));
    let head = chain_view::header(&rpc.value(next()?, call::GET_BLOCK)?);
    let head = head.ok_or_else(|| rpc.nonsense(call::GET_BLOCK))?.number;
    let finalized = chain_view::final_header(rpc, next()?)?.map_or(0, |block| block.number);
    if finalized > head {
        return Err(rpc.nonsense(call::GET_BLOCK));
    }
    let mut blocks = Vec::with_capacity(numbers.len());
    for number in numbers {
        // Some endpoints answer an unknown height with an error, others with nothing.
        let value = match next()? {
            Ok(value) if !value.is_null() => value,
            Ok(_) | Err(_) => {
                blocks.push(None);
                continue;
            }
        };
        let block = chain_view::header(&value).filter(|block| block.number == *number);
        let block = block.ok_or_else(|| rpc.nonsense(call::GET_BLOCK))?;
        let size = value.get("transactions").and_then(Value::as_array).map(Vec::len);
        blocks.push(Some(Standing { hash: block.hash.to_string(), size }));
    }
    Ok(Heights { head, finalized, blocks })
}

fn read(value: &Value) -> Option<BlockSeen> {
    let hash = |value: &Value| decode::hash(value).map(|hash| hash.to_string());
    let transactions = value.get("transactions")?.as_array()?.iter().map(hash);
    Some(BlockSeen {
        number: decode::u64(value.get("number")?)?,
        hash: hash(value.get("hash")?)?,
        parent: hash(value.get("parentHash")?)?,
        transactions: transactions.collect::<Option<_>>()?,
    })
}

/// What `block` proves of these payments.
pub(crate) async fn observe_in(
    chain: &EvmChain,
    block: InBlock<'_>,
    watches: &[Watch<'_>],
) -> Result<Vec<Option<Observation>>, ChainError> {
    let subjects: Vec<Option<Subject>> =
        watches.iter().map(|watch| Subject::read(chain, watch).ok()).collect();
    let own: HashSet<B256> =
        subjects.iter().flatten().flat_map(|subject| &subject.transactions).copied().collect();
    let hashes = block.transactions.iter().filter_map(|text| text.parse::<B256>().ok());
    let wanted: Vec<B256> = hashes.filter(|hash| own.contains(hash)).collect();
    let mut outcome = Err(ChainError::Unreachable { network: chain.network.to_string() });
    for rpc in chain.rpc.each_by_health() {
        match observe_at(chain, &rpc, block, &subjects, &wanted).await {
            Ok(seen) => return Ok(seen),
            Err(error) if outcome.is_err() => outcome = Err(error),
            Err(_) => {}
        }
    }
    outcome
}

async fn observe_at(
    chain: &EvmChain,
    rpc: &Rpc,
    block: InBlock<'_>,
    subjects: &[Option<Subject>],
    wanted: &[B256],
) -> Result<Vec<Option<Observation>>, ChainError> {
    // The headers after the receipts: a block that was replaced meanwhile proves nothing.
    let receipts = receipts_of(chain, rpc, block, wanted).await?;
    let view = headers(rpc, block).await?;
    let mut seen = Vec::with_capacity(subjects.len());
    for subject in subjects {
        seen.push(match subject {
            Some(subject) => proven(rpc, subject, &view, &receipts).await?,
            None => None,
        });
    }
    Ok(seen)
}

async fn proven(
    rpc: &Rpc,
    subject: &Subject,
    view: &View,
    receipts: &HashMap<B256, Receipt>,
) -> Result<Option<Observation>, ChainError> {
    for receipt in subject.transactions.iter().filter_map(|hash| receipts.get(hash)) {
        if let Some(evidence) = paid(rpc, subject, view, receipt).await? {
            return Ok(Some(Observation {
                head: view.head.number.max(evidence.block_number),
                finalized: view.finalized.map_or(0, |block| block.number),
                outcome: Outcome::Paid(evidence),
            }));
        }
    }
    Ok(None)
}

/// The receipts of the wanted transactions, as far as they are mined.
async fn receipts_of(
    chain: &EvmChain,
    rpc: &Rpc,
    block: InBlock<'_>,
    wanted: &[B256],
) -> Result<HashMap<B256, Receipt>, ChainError> {
    if worth_all_receipts(wanted.len(), block.size)
        && let Some(found) = receipts_of_all(chain, rpc, block, wanted).await?
    {
        return Ok(found);
    }
    let mut found = HashMap::with_capacity(wanted.len());
    let calls: Vec<Call> = wanted.iter().map(|hash| Call::receipt(*hash)).collect();
    for (hash, answer) in wanted.iter().zip(rpc.batch(&calls).await?) {
        if let Some(receipt) = chain_view::receipt_or_none(rpc, answer, *hash)? {
            found.insert(*hash, receipt);
        }
    }
    Ok(found)
}

/// By all receipts of the block. `None`: the endpoint has no such call, or the block is more than an
/// answer may be; neither is asked again for a while.
async fn receipts_of_all(
    chain: &EvmChain,
    rpc: &Rpc,
    block: InBlock<'_>,
    wanted: &[B256],
) -> Result<Option<HashMap<B256, Receipt>>, ChainError> {
    if !chain.whole_blocks.is_open() {
        return Ok(None);
    }
    let answers = match rpc.batch(&[Call::block_receipts(block.number)]).await {
        Err(error) if error.is_silence() => return Err(error),
        answers => answers.unwrap_or_default(),
    };
    let all = match &*answers {
        [Ok(Value::Array(all))] => all,
        // It has not come so far.
        [Ok(Value::Null)] => return Ok(None),
        _ => {
            chain.whole_blocks.pause();
            return Ok(None);
        }
    };
    let mut found = HashMap::with_capacity(wanted.len());
    let wanted: HashSet<&B256> = wanted.iter().collect();
    for value in all {
        let hash = value.get("transactionHash").and_then(decode::hash);
        let Some(hash) = hash.filter(|hash| wanted.contains(hash)) else { continue };
        let read = receipt::read(value, hash).ok_or_else(|| rpc.nonsense(call::GET_RECEIPT))?;
        found.insert(hash, read);
    }
    Ok(Some(found))
}

/// All receipts of a block in one call, when few of them would be for nothing.
fn worth_all_receipts(wanted: usize, in_block: Option<usize>) -> bool {
    const FOREIGN_FOR_EACH: usize = 20;
    let few_others = in_block.is_some_and(|all| all <= wanted.saturating_mul(FOREIGN_FOR_EACH));
    wanted >= BLOCK_RECEIPTS_FROM && few_others
}

/// Head, final block and the block as they are now.
async fn headers(rpc: &Rpc, block: InBlock<'_>) -> Result<View, ChainError> {
    let calls = [Block::Latest, Block::Finalized, Block::Number(block.number)].map(Call::block);
    let [head, finalized, now] = rpc.batch_of(calls).await?;
    let head = chain_view::header(&rpc.value(head, call::GET_BLOCK)?);
    let head = head.ok_or_else(|| rpc.nonsense(call::GET_BLOCK))?;
    let finalized = chain_view::final_header(rpc, finalized)?;
    let also = chain_view::header(&rpc.value(now, call::GET_BLOCK)?);
    Ok(View { head, finalized, also, used: true, receipts: Vec::new(), in_pool: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_receipts_are_asked_for_when_most_are_wanted() {
        for (wanted, in_block, worth) in [
            (0, 0, false),
            (1, 1, false),
            (8, 8, true),
            (8, 160, true),
            (8, 161, false),
            (256, 400, true),
        ] {
            assert_eq!(worth_all_receipts(wanted, Some(in_block)), worth, "{wanted} of {in_block}");
        }
        assert!(!worth_all_receipts(8, None));
    }
}
