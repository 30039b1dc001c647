//! What one endpoint says about one payment, in as few requests as the question allows.

use alloy_primitives::B256;
use alloy_sol_types::{SolCall, SolEvent};
use faregate_chain::ChainError;
use serde_json::{Value, json};

use super::Subject;
use super::receipt::{self, FoundLog, Receipt};
use crate::contracts::{Token, flag};
use crate::limits::{LOG_PAGE_BLOCKS, MAX_AUTHORIZATION_LOGS, MAX_LOG_PAGES, TOKEN_CALL_GAS};
use crate::mechanisms::eip3009::evidence;
use crate::rpc::{Answer, Block, Call, Rpc, call, decode};

/// What is needed of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) number: u64,
    pub(super) hash: B256,
    pub(super) timestamp: u64,
}

/// One round trip's worth of knowledge.
pub(super) struct View {
    pub(super) head: Header,
    pub(super) finalized: Option<Header>,
    /// Another block of which the header is known.
    pub(super) also: Option<Header>,
    /// The authorization is used or cancelled in the newest state.
    pub(super) used: bool,
    /// Of own transactions, newest first.
    pub(super) receipts: Vec<Receipt>,
    /// Own transactions that wait.
    pub(super) in_pool: Vec<B256>,
}

impl View {
    /// Head, final block, authorization, receipts and pool, in one request.
    pub(super) async fn read(rpc: &Rpc, subject: &Subject) -> Result<Self, ChainError> {
        let mut calls = vec![
            Call::block(Block::Latest),
            Call::block(Block::Finalized),
            state_call(subject, Block::Latest),
        ];
        for hash in &subject.transactions {
            calls.extend([Call::receipt(*hash), Call::transaction(*hash)]);
        }
        let mut answers = rpc.batch(&calls).await?.into_iter();
        let mut next = || answers.next().ok_or_else(|| rpc.nonsense("batch"));
        let head = header(&rpc.value(next()?, call::GET_BLOCK)?);
        let head = head.ok_or_else(|| rpc.nonsense(call::GET_BLOCK))?;
        let finalized = final_header(rpc, next()?)?;
        if finalized.is_some_and(|block| block.number > head.number) {
            return Err(rpc.nonsense(call::GET_BLOCK));
        }
        let used = state(rpc, next()?)?;
        let (mut receipts, mut in_pool) = (Vec::new(), Vec::new());
        for hash in &subject.transactions {
            let (receipt, transaction) = (next()?, next()?);
            match receipt_or_none(rpc, receipt, *hash)? {
                Some(receipt) => receipts.push(receipt),
                None if is_waiting(rpc, transaction, *hash)? => in_pool.push(*hash),
                None => {}
            }
        }
        Ok(Self { head, finalized, also: None, used, receipts, in_pool })
    }

    /// Whether the block with this number has this hash now.
    pub(super) async fn is_canonical(
        &self,
        rpc: &Rpc,
        number: u64,
        hash: B256,
    ) -> Result<bool, ChainError> {
        let known = [Some(self.head), self.finalized, self.also];
        if let Some(block) = known.into_iter().flatten().find(|block| block.number == number) {
            return Ok(block.hash == hash);
        }
        let [answer] = rpc.batch_of([Call::block(Block::Number(number))]).await?;
        let value = rpc.value(answer, call::GET_BLOCK)?;
        if value.is_null() {
            return Ok(false);
        }
        let block = header(&value).filter(|block| block.number == number);
        Ok(block.ok_or_else(|| rpc.nonsense(call::GET_BLOCK))?.hash == hash)
    }
}

/// Whether the authorization is used in the state of a block.
pub(super) async fn authorization_state(
    rpc: &Rpc,
    subject: &Subject,
    block: u64,
) -> Result<bool, ChainError> {
    let [answer] = rpc.batch_of([state_call(subject, Block::Number(block))]).await?;
    state(rpc, answer)
}

/// The receipt of a transaction, if it is mined.
pub(super) async fn receipt_of(rpc: &Rpc, hash: B256) -> Result<Option<Receipt>, ChainError> {
    let [answer] = rpc.batch_of([Call::receipt(hash)]).await?;
    receipt_or_none(rpc, answer, hash)
}

/// The logs of the asset that use up or cancel the authorization, after the claim up to `head`.
pub(super) async fn authorization_logs(
    rpc: &Rpc,
    subject: &Subject,
    head: u64,
) -> Result<Vec<FoundLog>, ChainError> {
    let mut answers = Vec::new();
    for page_blocks in LOG_PAGE_BLOCKS {
        let calls = log_pages(subject, head, page_blocks);
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        answers = rpc.batch(&calls).await?;
        if answers.iter().all(Result::is_ok) {
            break;
        }
    }
    let mut found = Vec::new();
    for answer in answers {
        let logs = rpc.value(answer, call::GET_LOGS)?;
        for value in logs.as_array().ok_or_else(|| rpc.nonsense(call::GET_LOGS))? {
            let log = receipt::read_log(value).filter(|log| is_asked_for(log, subject));
            found.push(log.ok_or_else(|| rpc.nonsense(call::GET_LOGS))?);
        }
    }
    if found.len() > MAX_AUTHORIZATION_LOGS {
        return Err(rpc.nonsense(call::GET_LOGS));
    }
    Ok(found)
}

/// The searches from the claim to `head`.
fn log_pages(subject: &Subject, head: u64, page_blocks: u64) -> Vec<Call> {
    let page = |number: u64| {
        let skipped = number.checked_mul(page_blocks)?;
        let from = subject.head_at_claim.checked_add(1)?.checked_add(skipped)?;
        let to = from.saturating_add(page_blocks.saturating_sub(1)).min(head);
        (from <= head).then(|| logs_call(subject, from, to))
    };
    (0..MAX_LOG_PAGES).map_while(page).collect()
}

fn is_asked_for(found: &FoundLog, subject: &Subject) -> bool {
    let named = evidence::is_use(&found.log, &subject.movement)
        || evidence::is_cancellation(&found.log, &subject.movement);
    named && found.block_number > subject.head_at_claim
}

fn logs_call(subject: &Subject, from: u64, to: u64) -> Call {
    let movement = &subject.movement;
    let events =
        [Token::AuthorizationUsed::SIGNATURE_HASH, Token::AuthorizationCanceled::SIGNATURE_HASH];
    Call::new(
        call::GET_LOGS,
        &json!([{
            "address": movement.asset,
            "topics": [events, movement.from.into_word(), movement.nonce],
            "fromBlock": call::quantity(from),
            "toBlock": call::quantity(to),
        }]),
    )
}

fn state_call(subject: &Subject, block: Block) -> Call {
    let movement = &subject.movement;
    let question =
        Token::authorizationStateCall { authorizer: movement.from, nonce: movement.nonce };
    let data = question.abi_encode();
    Call::eth_call(None, movement.asset, &data, TOKEN_CALL_GAS, block)
}

fn state(rpc: &Rpc, answer: Answer) -> Result<bool, ChainError> {
    let returned = rpc.returned(answer)?.map_err(|_| rpc.nonsense(call::ETH_CALL))?;
    flag(&returned).ok_or_else(|| rpc.nonsense(call::ETH_CALL))
}

/// The header of a block.
pub(super) fn header(value: &Value) -> Option<Header> {
    Some(Header {
        number: decode::u64(value.get("number")?)?,
        hash: decode::hash(value.get("hash")?)?,
        timestamp: decode::u64(value.get("timestamp")?)?,
    })
}

/// Young chains and some endpoints have no final block: then nothing is final.
pub(super) fn final_header(rpc: &Rpc, answer: Answer) -> Result<Option<Header>, ChainError> {
    match answer {
        Ok(Value::Null) | Err(crate::rpc::Fault::Failed { .. }) => Ok(None),
        answer => {
            let value = rpc.value(answer, call::GET_BLOCK)?;
            header(&value).map(Some).ok_or_else(|| rpc.nonsense(call::GET_BLOCK))
        }
    }
}

/// A receipt; `None` for a transaction that is not mined.
pub(super) fn receipt_or_none(
    rpc: &Rpc,
    answer: Answer,
    hash: B256,
) -> Result<Option<Receipt>, ChainError> {
    match rpc.value(answer, call::GET_RECEIPT)? {
        Value::Null => Ok(None),
        value => {
            let read = receipt::read(&value, hash);
            read.map(Some).ok_or_else(|| rpc.nonsense(call::GET_RECEIPT))
        }
    }
}

fn is_waiting(rpc: &Rpc, answer: Answer, hash: B256) -> Result<bool, ChainError> {
    match rpc.value(answer, call::GET_TRANSACTION)? {
        Value::Null => Ok(false),
        value if value.get("hash").and_then(decode::hash) == Some(hash) => {
            Ok(value.get("blockNumber").is_none_or(Value::is_null))
        }
        _ => Err(rpc.nonsense(call::GET_TRANSACTION)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{Address, U256};
    use evidence::Movement;

    fn pages(head_at_claim: u64, head: u64, page_blocks: u64) -> Vec<(u64, u64)> {
        let movement = Movement {
            asset: Address::ZERO,
            from: Address::ZERO,
            to: Address::ZERO,
            value: U256::ZERO,
            nonce: B256::ZERO,
        };
        let subject =
            Subject { movement, valid_before: 0, head_at_claim, transactions: Vec::new() };
        let bound = |call: &Call, key: &str| {
            let params: Value = serde_json::from_str(&call.params).unwrap();
            decode::u64(&params[0][key]).unwrap()
        };
        log_pages(&subject, head, page_blocks)
            .iter()
            .map(|call| (bound(call, "fromBlock"), bound(call, "toBlock")))
            .collect()
    }

    #[test]
    fn pages_cover_every_block_after_the_claim_once() {
        assert_eq!(pages(5, 5, 10), []);
        assert_eq!(pages(9, 5, 10), []);
        assert_eq!(pages(u64::MAX, u64::MAX, 10), []);
        assert_eq!(pages(5, 6, 10), [(6, 6)]);
        assert_eq!(pages(0, 25, 10), [(1, 10), (11, 20), (21, 25)]);
        assert_eq!(pages(u64::MAX - 1, u64::MAX, 10), [(u64::MAX, u64::MAX)]);
        assert_eq!(pages(0, u64::MAX, 10).len() as u64, MAX_LOG_PAGES);
    }
}
