//! *Inspect*: would this payment settle now?
//!
//! ```text
//!  claim.rs    everything without the chain; a refusal here costs no call
//!     |
//!     v
//!  a key vouches for the signature ----> others are being asked for: together with whoever else
//!     |                                  comes meanwhile (together.rs), in one call for all
//!     |                                     | nobody is, or no answer, or no explanation
//!     |                                     v
//!     |                                  one trip: head, payer's code, use, simulation (v, r, s)
//!     | no, or the payer has code             | code
//!     v                                       v
//!  one trip: head, payer's code, ERC-1271, use, simulation (bytes)
//!     |
//!     v
//!  a failed simulation is explained by one more question (diagnosis.rs)
//! ```
//!
//! The signature is always judged here, and whether the authorization was used is always asked: a
//! token that returns quietly proves nothing.

mod diagnosis;
mod together;

use alloy_primitives::{Address, Bytes};
use alloy_sol_types::SolCall;
use faregate_chain::{ChainError, Inspection};
use faregate_protocol::{PaymentRequest, Reason};

use crate::adapter::EvmChain;
use crate::assets::Standing;
use crate::claim::Claim;
use crate::contracts::{ContractWallet, ERC1271_MAGIC, Token, flag};
use crate::gathering::{Turn, UnderWay};
use crate::limits::{MAX_WALLET_RETURN, TOKEN_CALL_GAS, WALLET_CALL_GAS};
use crate::mechanisms::eip3009::{self, Overload};
use crate::rpc::{Answer, Block, Call, Revert, call, decode};

pub(crate) use self::together::SharedReads;

/// What a verdict may rest on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Also on refusals that are remembered.
    Remembered,
    /// On the chain.
    ChainOnly,
}

/// Judges a payment. `now_unix` in seconds.
pub(crate) async fn inspect(
    chain: &EvmChain,
    request: &PaymentRequest,
    now_unix: u64,
    trust: Trust,
) -> Result<Inspection, ChainError> {
    let claim = match Claim::read(chain, request) {
        Ok(claim) => claim,
        Err(refusal) => return Ok(invalid(refusal.reason, refusal.payer)),
    };
    let outcome = match claim.refusal(now_unix, &chain.signer_addresses()) {
        Some(reason) => Err(reason),
        None => ask(chain, &claim, trust).await?,
    };
    let payer = claim.payment.authorization.from;
    Ok(match outcome {
        Ok(head) => Inspection::Valid { payer: payer.to_checksum(None), head },
        Err(reason) => invalid(reason, Some(payer)),
    })
}

fn invalid(reason: Reason, payer: Option<Address>) -> Inspection {
    Inspection::Invalid { reason, payer: payer.map(|payer| payer.to_checksum(None)) }
}

/// The head at which the payment would settle, or why it would not.
type Verdict = Result<u64, Reason>;

async fn ask(chain: &EvmChain, claim: &Claim<'_>, trust: Trust) -> Result<Verdict, ChainError> {
    match chain.assets.standing_now(&chain.rpc, claim.asset).await? {
        Standing::Ready => {}
        Standing::NoCode if claim.signed_by_key() => return Ok(Err(Reason::EvmAssetNotDeployed)),
        Standing::NoCode => return Ok(Err(claim.signature_fault())),
        standing => return Err(claim.asset.error(&standing)),
    }
    chain.check_signers_once().await?;
    if !claim.signed_by_key() {
        return ask_contract(chain, claim).await;
    }
    let Some(refusals) = &chain.refusals else { return ask_by_key(chain, claim).await };
    if trust == Trust::Remembered && refusals.knows(claim) {
        return Ok(Err(Reason::EvmNonceAlreadyUsed));
    }
    let verdict = ask_by_key(chain, claim).await?;
    if verdict == Err(Reason::EvmNonceAlreadyUsed) {
        let token = claim.asset.profile.address;
        let at = Block::Finalized;
        let question = Call::eth_call(None, token, &use_question(claim), TOKEN_CALL_GAS, at);
        refusals.consider(&chain.rpc, claim, question);
    }
    Ok(verdict)
}

/// As [`ask`] for a payment that a key vouches for.
async fn ask_by_key(chain: &EvmChain, claim: &Claim<'_>) -> Result<Verdict, ChainError> {
    let _under_way = match ask_together(chain, claim).await? {
        Told::Verdict(verdict) => return Ok(verdict),
        Told::PayerHasCode => return ask_contract(chain, claim).await,
        Told::Nothing(under_way) => under_way,
    };
    let state = read_state(chain, claim, Question::Key).await?;
    if state.payer_has_code {
        return ask_contract(chain, claim).await;
    }
    judge(chain, claim, state).await
}

/// What a payment learned with others.
enum Told {
    Verdict(Verdict),
    PayerHasCode,
    /// It asks alone; others that come meanwhile wait for each other.
    Nothing(Option<UnderWay<SharedReads>>),
}

async fn ask_together(chain: &EvmChain, claim: &Claim<'_>) -> Result<Told, ChainError> {
    let Some(gathering) = &chain.gathering else { return Ok(Told::Nothing(None)) };
    if let Some(under_way) = gathering.alone() {
        return Ok(Told::Nothing(Some(under_way)));
    }
    let Some(question) = together::Question::of(claim) else { return Ok(Told::Nothing(None)) };
    let facts = match gathering.ask(question).await {
        Turn::Told(facts) => facts?,
        Turn::Alone(under_way) => return Ok(Told::Nothing(Some(under_way))),
    };
    let (payer, token) = (claim.payment.authorization.from, claim.asset.profile.address);
    chain.contract_payers.note(payer, facts.payer_has_code());
    chain.assets.code.note(token, facts.token_has_code());
    if facts.payer_has_code() {
        return Ok(Told::PayerHasCode);
    }
    if !facts.token_has_code() {
        claim.asset.stand(Standing::NoCode);
    }
    Ok(facts.verdict(claim.asset).map_or(Told::Nothing(None), Told::Verdict))
}

/// As [`ask`] for a payer that has, or may have, code: only its contract can vouch for it.
async fn ask_contract(chain: &EvmChain, claim: &Claim<'_>) -> Result<Verdict, ChainError> {
    let state = read_state(chain, claim, Question::Contract).await?;
    // Code can vanish between two trips (EIP-7702); then the key is the payer again.
    let vouched = match state.payer_has_code {
        true => state.wallet_agrees,
        false => claim.signed_by_key(),
    };
    if !vouched {
        let has_code = state.payer_has_code;
        return Ok(Err(if has_code { Reason::EvmSignature } else { claim.signature_fault() }));
    }
    judge(chain, claim, state).await
}

async fn judge(chain: &EvmChain, claim: &Claim<'_>, state: State) -> Result<Verdict, ChainError> {
    if !state.asset_has_code {
        claim.asset.stand(Standing::NoCode);
        return Ok(Err(Reason::EvmAssetNotDeployed));
    }
    match state.simulation {
        Ok(_) => Ok(verdict_on_success(state.head, state.used)),
        Err(_) => Ok(Err(diagnosis::explain(&chain.rpc, claim).await?)),
    }
}

/// A token may return quietly for a used authorization; its own record decides.
fn verdict_on_success(head: u64, used: Option<bool>) -> Verdict {
    match used {
        Some(false) => Ok(head),
        Some(true) => Err(Reason::EvmNonceAlreadyUsed),
        None => Err(Reason::EvmEip3009NotSupported),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Question {
    Key,
    Contract,
}

struct State {
    head: u64,
    payer_has_code: bool,
    asset_has_code: bool,
    wallet_agrees: bool,
    /// The token's record of the authorization; none if it keeps no such record.
    used: Option<bool>,
    simulation: Result<Bytes, Revert>,
}

/// One HTTP request. The head comes first, so the simulation is of that block or a later one.
async fn read_state(
    chain: &EvmChain,
    claim: &Claim<'_>,
    question: Question,
) -> Result<State, ChainError> {
    let (rpc, token) = (&chain.rpc, claim.asset.profile.address);
    let payer = claim.payment.authorization.from;
    let asset_seen = chain.assets.code.contains(token);
    let overload = claim.overload(question == Question::Contract);
    let overload =
        overload.ok_or(ChainError::Unsupported { detail: "a payment without a signature" })?;

    let mut calls = vec![Call::block_number(), Call::code(payer)];
    if !asset_seen {
        calls.push(Call::code(token));
    }
    if let (Question::Contract, Overload::Bytes(signature)) = (question, &overload) {
        calls.push(wallet_call(chain, claim, signature));
    }
    calls.push(Call::eth_call(None, token, &use_question(claim), TOKEN_CALL_GAS, Block::Latest));
    let data = eip3009::calldata(&claim.payment.authorization, &overload);
    let gas = claim.asset.profile.gas_limit;
    calls.push(Call::eth_call(chain.sender(), token, &data, gas, Block::Latest));

    let mut answers = rpc.batch(&calls).await?.into_iter();
    let mut next = || answers.next().ok_or_else(|| rpc.nonsense("batch"));
    let head = decode::u64(&rpc.value(next()?, call::BLOCK_NUMBER)?);
    let head = head.ok_or_else(|| rpc.nonsense(call::BLOCK_NUMBER))?;
    let payer_has_code = has_code(chain, next()?)?;
    chain.contract_payers.note(payer, payer_has_code);
    let asset_has_code = if asset_seen { true } else { has_code(chain, next()?)? };
    chain.assets.code.note(token, asset_has_code);
    let wallet_agrees = match question {
        Question::Key => false,
        Question::Contract => agrees(&rpc.returned(next()?)?),
    };
    let used = rpc.returned(next()?)?.ok().as_ref().and_then(|returned| flag(returned));
    let simulation = rpc.returned(next()?)?;
    Ok(State { head, payer_has_code, asset_has_code, wallet_agrees, used, simulation })
}

fn use_question(claim: &Claim<'_>) -> Vec<u8> {
    let signed = &claim.payment.authorization;
    let question = Token::authorizationStateCall { authorizer: signed.from, nonce: signed.nonce };
    question.abi_encode()
}

fn wallet_call(chain: &EvmChain, claim: &Claim<'_>, signature: &[u8]) -> Call {
    let question = ContractWallet::isValidSignatureCall {
        digest: claim.digest,
        signature: Bytes::copy_from_slice(signature),
    };
    let payer = claim.payment.authorization.from;
    let data = question.abi_encode();
    Call::eth_call(chain.sender(), payer, &data, WALLET_CALL_GAS, Block::Latest)
}

/// ERC-1271: the first word is the magic value, followed by zeros.
fn agrees(returned: &Result<Bytes, Revert>) -> bool {
    let Ok(data) = returned else { return false };
    let Some((word, _)) = data.split_first_chunk::<32>() else { return false };
    let (magic, rest) = word.split_at(ERC1271_MAGIC.len());
    data.len() <= MAX_WALLET_RETURN && magic == ERC1271_MAGIC && rest.iter().all(|b| *b == 0)
}

fn has_code(chain: &EvmChain, answer: Answer) -> Result<bool, ChainError> {
    let code = decode::bytes(&chain.rpc.value(answer, call::GET_CODE)?);
    Ok(!code.ok_or_else(|| chain.rpc.nonsense(call::GET_CODE))?.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_magic_word_is_a_yes() {
        let word = |bytes: &[u8]| {
            let mut word = bytes.to_vec();
            word.resize(32, 0);
            Ok(Bytes::from(word))
        };
        assert!(agrees(&word(&ERC1271_MAGIC)));
        let mut longer = word(&ERC1271_MAGIC).unwrap().to_vec();
        longer.resize(64, 9);
        assert!(agrees(&Ok(longer.clone().into())));
        longer.resize(MAX_WALLET_RETURN + 1, 0);
        for no in [
            Ok(longer.into()),
            Ok(Bytes::new()),
            Ok(Bytes::copy_from_slice(&ERC1271_MAGIC)),
            word(&[0xff, 0xff, 0xff, 0xff]),
            word(&[1]),
            word(&[0x16, 0x26, 0xba, 0x7e, 1]),
            Err(Revert { data: word(&ERC1271_MAGIC).unwrap(), message: String::new() }),
        ] {
            assert!(!agrees(&no));
        }
    }
}
