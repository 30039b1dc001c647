//! Many payments, one `eth_call`: the state that their verdicts need.
//!
//! The call goes from the sender to the sender, whose account has the code of
//! `contracts/src/Simulations.sol` for that one call (a state override). So a token is called by
//! the account that would call it in the transaction, the simulations are rolled back one by one,
//! and no limit on the size of new code applies, as it would to a call that creates a contract.
//!
//! Asked together are payments that a key vouches for. A payer with code gets a question of its
//! own, and so does a failure that the facts do not explain: nobody is refused because of whom he
//! was asked with.

use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Instant;

use alloy_primitives::{Address, Bytes, hex};
use alloy_sol_types::SolCall;
use faregate_chain::ChainError;
use faregate_protocol::Reason;
use faregate_protocol::eip3009::Authorization;
use serde_json::Value;

use super::{Verdict, diagnosis};
use crate::assets::Asset;
use crate::claim::Claim;
use crate::contracts::Simulations;
use crate::gathering::Reader;
use crate::limits::{
    SHARED_CALL_GAS, SHARED_MEMBER_GAS, SHARING_PAUSED_FOR, TOKEN_CALL_GAS, TRANSACTION_GAS,
};
use crate::mechanisms::eip3009::{self, Overload};
use crate::rpc::{Call, Rpc, call, decode};
use crate::signature::Parts;

const ARTIFACT: &str = include_str!("../../../../contracts/artifacts/Simulations.json");

/// Runtime code of the contract. Empty code answers nothing, so a bad artifact refuses nobody.
static CODE: LazyLock<Bytes> = LazyLock::new(|| {
    let artifact: Value = serde_json::from_str(ARTIFACT).unwrap_or_default();
    let code = artifact.get("runtimeBytecode").and_then(Value::as_str).unwrap_or_default();
    hex::decode(code).unwrap_or_default().into()
});

/// A payment that is simulated with others.
#[derive(Clone, PartialEq)]
pub(crate) struct Question {
    token: Address,
    /// For the transfer, without what a transaction costs before its first step.
    gas: u64,
    signed: Authorization,
    parts: Parts,
}

impl Question {
    /// The question of a payment that a key vouches for.
    pub(super) fn of(claim: &Claim<'_>) -> Option<Self> {
        let Some(Overload::Parts(parts)) = claim.overload(false) else { return None };
        let signed = claim.payment.authorization.clone();
        let data = eip3009::calldata(&signed, &Overload::Parts(parts));
        Some(Self {
            token: claim.asset.profile.address,
            gas: claim.asset.profile.gas_limit.saturating_sub(intrinsic_gas(&data)),
            signed,
            parts,
        })
    }

    fn encode(&self) -> Simulations::Payment {
        let (signed, parts) = (&self.signed, &self.parts);
        Simulations::Payment {
            token: self.token,
            gas: alloy_primitives::U256::from(self.gas),
            from: signed.from,
            to: signed.to,
            value: signed.value.0,
            validAfter: signed.valid_after,
            validBefore: signed.valid_before,
            nonce: signed.nonce,
            v: parts.v,
            r: parts.r,
            s: parts.s,
        }
    }
}

/// What a transaction with this data costs before its first step (EIP-2028).
fn intrinsic_gas(data: &[u8]) -> u64 {
    const ZERO_BYTE: u64 = 4;
    const OTHER_BYTE: u64 = 16;
    data.iter().map(|byte| if *byte == 0 { ZERO_BYTE } else { OTHER_BYTE }).sum::<u64>()
        + TRANSACTION_GAS
}

/// What the call says about one payment, bit by bit as in the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    head: u64,
    bits: u8,
}

impl Facts {
    const EXAMINED: u8 = 1;
    const PAYER_HAS_CODE: u8 = 2;
    const TOKEN_HAS_CODE: u8 = 4;
    const MOVES: u8 = 8;
    const UNUSED: u8 = 16;
    const USED: u8 = 32;
    const SHORT: u8 = 64;

    fn has(self, bit: u8) -> bool {
        self.bits & bit != 0
    }

    pub(super) fn payer_has_code(self) -> bool {
        self.has(Self::PAYER_HAS_CODE)
    }

    pub(super) fn token_has_code(self) -> bool {
        self.has(Self::TOKEN_HAS_CODE)
    }

    /// The verdict on a payer without code; `None` when the facts do not explain a failure.
    pub(super) fn verdict(self, asset: &Asset) -> Option<Verdict> {
        let used = match (self.has(Self::UNUSED), self.has(Self::USED)) {
            (true, false) => Some(false),
            (false, true) => Some(true),
            _ => None,
        };
        if !self.token_has_code() {
            return Some(Err(Reason::EvmAssetNotDeployed));
        }
        if self.has(Self::MOVES) {
            return Some(super::verdict_on_success(self.head, used));
        }
        diagnosis::blame_facts(used, asset.misnamed(), self.has(Self::SHORT)).map(Err)
    }
}

/// Reads facts from a chain's endpoints.
pub(crate) struct SharedReads {
    rpc: Rpc,
    sender: Address,
    /// Since when asking together is no use.
    refused: Mutex<Option<Instant>>,
}

impl SharedReads {
    /// Simulations are made from `sender`.
    pub(crate) fn new(rpc: Rpc, sender: Address) -> Self {
        Self { rpc, sender, refused: Mutex::new(None) }
    }

    fn call(&self, questions: &[Question]) -> Call {
        let payments = questions.iter().map(Question::encode).collect();
        // A question costs no more than a transaction that asks it.
        let view_gas = alloy_primitives::U256::from(TOKEN_CALL_GAS - TRANSACTION_GAS);
        let data = Simulations::simulateCall { viewGas: view_gas, payments }.abi_encode();
        let each = |question: &Question| question.gas.saturating_add(SHARED_MEMBER_GAS);
        let gas = questions.iter().map(each).sum::<u64>().saturating_add(intrinsic_gas(&data));
        Call::eth_call_as(self.sender, &CODE, &data, gas.min(SHARED_CALL_GAS))
    }

    /// The facts of each question; `None` when the endpoint does not do this.
    async fn facts(&self, questions: &[Question]) -> Result<Option<Vec<Facts>>, ChainError> {
        let calls = [Call::block_number(), self.call(questions)];
        let [head, facts] = self.rpc.batch_of(calls).await?;
        let head = decode::u64(&self.rpc.value(head, call::BLOCK_NUMBER)?);
        let head = head.ok_or_else(|| self.rpc.nonsense(call::BLOCK_NUMBER))?;
        let Ok(returned) = self.rpc.returned(facts)? else { return Ok(None) };
        let Ok(bits) = Simulations::simulateCall::abi_decode_returns(&returned) else {
            return Ok(None);
        };
        let facts = bits.iter().map(|bits| Facts { head, bits: *bits }).collect::<Vec<_>>();
        Ok((facts.len() == questions.len()).then_some(facts))
    }

    fn refused(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader for SharedReads {
    type Question = Question;
    type Answer = Result<Facts, ChainError>;

    fn is_open(&self) -> bool {
        self.refused().is_none_or(|since| since.elapsed() >= SHARING_PAUSED_FOR)
    }

    async fn read(&self, questions: &[Question]) -> Vec<Option<Self::Answer>> {
        match self.facts(questions).await {
            Ok(Some(facts)) => {
                let known = |facts: Facts| facts.has(Facts::EXAMINED).then_some(Ok(facts));
                facts.into_iter().map(known).collect()
            }
            // Asked one by one these would only fail again, and make it worse.
            Err(error @ (ChainError::Unreachable { .. } | ChainError::WrongChain { .. })) => {
                vec![Some(Err(error)); questions.len()]
            }
            Err(error @ ChainError::Refused { status: 429, .. }) => {
                vec![Some(Err(error)); questions.len()]
            }
            refused => {
                let seconds = SHARING_PAUSED_FOR.as_secs();
                tracing::warn!(
                    payments = questions.len(), error = ?refused.err(), seconds,
                    "payments are verified one by one: they could not be asked for together",
                );
                *self.refused() = Some(Instant::now());
                vec![None; questions.len()]
            }
        }
    }
}

#[cfg(test)]
mod tests;
