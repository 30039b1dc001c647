//! *Observe*: what became of the money, proven by logs in canonical blocks or by state in final
//! ones. Whatever an endpoint leaves out or says oddly is no proof.
//!
//! One endpoint answers one observation, so that its answers belong together. The proof that a
//! payment is dead must be repeated by every configured endpoint.

pub(crate) mod blocks;
mod chain_view;
mod receipt;
pub(crate) mod whole_blocks;

use alloy_primitives::B256;
use faregate_chain::observation::Reverted;
use faregate_chain::{ChainError, DeathCause, DeathProof, Evidence, Observation, Outcome, Watch};

use faregate_protocol::{PaymentKey, address};

use self::chain_view::{Header, View};
use self::receipt::Receipt;
use crate::adapter::EvmChain;
use crate::limits::MAX_WATCHED;
use crate::mechanisms::eip3009::evidence::{self, Movement};
use crate::rpc::Rpc;

/// Looks for proof.
pub(crate) async fn observe(
    chain: &EvmChain,
    watch: &Watch<'_>,
) -> Result<Observation, ChainError> {
    let subject = Subject::read(chain, watch)?;
    let mut outcome = Err(ChainError::Unreachable { network: chain.network.to_string() });
    for rpc in chain.rpc.each_by_health() {
        match observe_at(&rpc, &subject).await {
            Ok(observation) => {
                outcome = Ok(observation);
                break;
            }
            Err(error) if outcome.is_err() => outcome = Err(error),
            Err(_) => {}
        }
    }
    let observation = outcome?;
    match observation.outcome {
        Outcome::Dead(proof) => confirm_death(chain, &subject, observation, proof).await,
        _ => Ok(observation),
    }
}

/// One endpoint may lie or lag: all must agree before anybody hears "not charged".
async fn confirm_death(
    chain: &EvmChain,
    subject: &Subject,
    mut observation: Observation,
    mut proof: DeathProof,
) -> Result<Observation, ChainError> {
    if chain.rpc.each().count() == 1 {
        return Ok(observation);
    }
    for rpc in chain.rpc.each_by_health() {
        match observe_at(&rpc, subject).await?.outcome {
            Outcome::Dead(other) if other.cause == proof.cause => {
                proof.at_block = proof.at_block.min(other.at_block);
            }
            Outcome::Paid(evidence) => {
                observation.outcome = Outcome::Paid(evidence);
                return Ok(observation);
            }
            _ => {
                observation.outcome = nothing_proven();
                return Ok(observation);
            }
        }
    }
    observation.outcome = Outcome::Dead(proof);
    Ok(observation)
}

fn nothing_proven() -> Outcome {
    Outcome::Unknown { in_pool: Vec::new(), reverted: Vec::new() }
}

/// What is watched.
struct Subject {
    movement: Movement,
    valid_before: u64,
    head_at_claim: u64,
    /// Newest first.
    transactions: Vec<B256>,
}

impl Subject {
    fn read(chain: &EvmChain, watch: &Watch<'_>) -> Result<Self, ChainError> {
        let unsupported = |detail| ChainError::Unsupported { detail };
        let required = &watch.request.payment_requirements;
        if required.network != chain.network {
            return Err(unsupported("watching a payment of another chain"));
        }
        // Not held against the list: an asset may have left it since the payment was taken up.
        let asset = address::parse_address(&required.asset);
        let pay_to = address::parse_address(&required.pay_to);
        let payment = PaymentKey::of(&watch.request.payment_payload, required);
        let (Ok(asset), Ok(to), Ok((_, payment))) = (asset, pay_to, payment) else {
            return Err(unsupported("watching what is no payment"));
        };
        let signed = payment.authorization;
        let hash = |text: &String| {
            let hash = text.parse::<B256>();
            hash.map_err(|_| unsupported("watching what is no transaction hash"))
        };
        let newest = watch.transactions.iter().rev().take(MAX_WATCHED);
        Ok(Self {
            movement: Movement {
                asset,
                from: signed.from,
                // What the seller asked for, not what the buyer wrote.
                to,
                value: required.amount.0,
                nonce: signed.nonce,
            },
            valid_before: signed.valid_before.try_into().unwrap_or(u64::MAX),
            head_at_claim: watch.head_at_claim,
            transactions: newest.map(hash).collect::<Result<_, _>>()?,
        })
    }
}

async fn observe_at(rpc: &Rpc, subject: &Subject) -> Result<Observation, ChainError> {
    let mut view = View::read(rpc, subject).await?;
    let outcome = judge(rpc, subject, &mut view).await?;
    if let Outcome::Paid(evidence) = &outcome {
        // The head was read before the receipt was looked up.
        view.head.number = view.head.number.max(evidence.block_number);
    }
    Ok(Observation {
        head: view.head.number,
        finalized: view.finalized.map_or(0, |block| block.number),
        outcome,
    })
}

async fn judge(rpc: &Rpc, subject: &Subject, view: &mut View) -> Result<Outcome, ChainError> {
    let mut without_effect = Vec::new();
    for receipt in &view.receipts {
        if let Some(evidence) = paid(rpc, subject, view, receipt).await? {
            return Ok(Outcome::Paid(evidence));
        }
        if passed_over(rpc, subject, view, receipt).await? {
            without_effect.push(Reverted {
                transaction: receipt.transaction.to_string(),
                gas_used: receipt.gas_used,
            });
        }
    }
    if view.used {
        if let Some(outcome) = by_logs(rpc, subject, view).await? {
            return Ok(outcome);
        }
    } else if let Some(proof) = expired(rpc, subject, view).await? {
        return Ok(Outcome::Dead(proof));
    }
    Ok(Outcome::Unknown {
        reverted: without_effect,
        in_pool: view.in_pool.iter().map(ToString::to_string).collect(),
    })
}

/// Whether a transaction of ours was mined without touching this payment: it reverted, or it was a
/// batch in which this member failed.
async fn passed_over(
    rpc: &Rpc,
    subject: &Subject,
    view: &View,
    receipt: &Receipt,
) -> Result<bool, ChainError> {
    if !receipt.succeeded {
        return Ok(true);
    }
    let touched = receipt.logs.iter().any(|log| evidence::is_use(log, &subject.movement));
    Ok(!view.used
        && !touched
        && view.is_canonical(rpc, receipt.block_number, receipt.block_hash).await?)
}

/// The evidence in one receipt: status, place after the claim, the pair of logs, canonical block.
async fn paid(
    rpc: &Rpc,
    subject: &Subject,
    view: &View,
    receipt: &Receipt,
) -> Result<Option<Evidence>, ChainError> {
    // Our own transactions were signed after the claim, whatever number their block has: a
    // reorganisation may put one into a block with the number of the claim's head.
    let ours = subject.transactions.contains(&receipt.transaction);
    if !receipt.succeeded || (!ours && receipt.block_number <= subject.head_at_claim) {
        return Ok(None);
    }
    let Some(log_index) = evidence::paying_log(&receipt.logs, &subject.movement) else {
        return Ok(None);
    };
    if !view.is_canonical(rpc, receipt.block_number, receipt.block_hash).await? {
        return Ok(None);
    }
    Ok(Some(Evidence {
        transaction: receipt.transaction.to_string(),
        log_index,
        block_number: receipt.block_number,
        block_hash: receipt.block_hash.to_string(),
        gas_used: receipt.gas_used,
        payments: evidence::uses(&receipt.logs),
    }))
}

/// The authorization is used and none of our receipts shows it: somebody else used or cancelled
/// it. The logs of the asset say who.
async fn by_logs(rpc: &Rpc, subject: &Subject, view: &View) -> Result<Option<Outcome>, ChainError> {
    let mut death = None;
    for found in chain_view::authorization_logs(rpc, subject, view.head.number).await? {
        let used = evidence::is_use(&found.log, &subject.movement);
        if used {
            let Some(receipt) = chain_view::receipt_of(rpc, found.transaction).await? else {
                continue;
            };
            if let Some(evidence) = paid(rpc, subject, view, &receipt).await? {
                return Ok(Some(Outcome::Paid(evidence)));
            }
            // The log and its receipt must be one story before it kills anything.
            let same_block = receipt.block_hash == found.block_hash && receipt.succeeded;
            let charged = evidence::reached_payee(&receipt.logs, &subject.movement);
            if !same_block || charged || !receipt.logs.contains(&found.log) {
                continue;
            }
        }
        let Some(finalized) = view.finalized else { continue };
        if found.block_number <= finalized.number
            && view.is_canonical(rpc, found.block_number, found.block_hash).await?
        {
            let cause = if used { DeathCause::Superseded } else { DeathCause::Cancelled };
            death = Some(Outcome::Dead(DeathProof { cause, at_block: finalized.number }));
        }
    }
    Ok(death)
}

/// Unused in the state of a final block that is not before the end of validity: no later block
/// can carry it.
async fn expired(
    rpc: &Rpc,
    subject: &Subject,
    view: &View,
) -> Result<Option<DeathProof>, ChainError> {
    let Some(Header { number, timestamp, .. }) = view.finalized else { return Ok(None) };
    if timestamp < subject.valid_before {
        return Ok(None);
    }
    let used = chain_view::authorization_state(rpc, subject, number).await?;
    Ok((!used).then_some(DeathProof { cause: DeathCause::Expired, at_block: number }))
}
