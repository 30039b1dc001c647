//! What the chain knows of a signer: its nonces and its money for gas.

use alloy_primitives::Address;
use faregate_chain::{ChainError, LaneState};

use crate::rpc::{Block, Call, Rpc, call, decode};

/// Reads nonces and balance in one round trip.
pub(crate) async fn state(rpc: &Rpc, signer: Address) -> Result<LaneState, ChainError> {
    let [mined, pending, balance] = rpc
        .batch_of([
            Call::nonce(signer, Block::Latest),
            Call::nonce(signer, Block::Pending),
            Call::balance(signer),
        ])
        .await?;
    let nonce = |answer| {
        let value = rpc.value(answer, call::GET_NONCE)?;
        decode::u64(&value).ok_or_else(|| rpc.nonsense(call::GET_NONCE))
    };
    let balance = decode::u256(&rpc.value(balance, call::GET_BALANCE)?);
    let balance = balance.ok_or_else(|| rpc.nonsense(call::GET_BALANCE))?;
    Ok(LaneState {
        mined_nonce: nonce(mined)?,
        pending_nonce: nonce(pending)?,
        // Dev chains hand out more than 2^128 wei.
        balance_wei: balance.try_into().unwrap_or(u128::MAX),
    })
}
