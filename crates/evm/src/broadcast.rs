//! *Broadcast*: signed bytes leave the process. What the endpoint says about them is read out of
//! the words of many node implementations; words that nobody knows promise nothing.

use alloy_primitives::{B256, keccak256};
use faregate_chain::Broadcast;

use crate::rpc::{Answer, Call, Fault, Rpc, decode};

/// Words and what they mean, in the order in which they are looked for. Lower case.
const WORDS: &[(&str, Broadcast)] = &[
    // A limit or a breakdown of the endpoint may come before or after the pool took the bytes.
    ("rate limit", Broadcast::Unknown),
    ("too many requests", Broadcast::Unknown),
    ("timeout", Broadcast::Unknown),
    ("timed out", Broadcast::Unknown),
    ("internal error", Broadcast::Unknown),
    ("unknown transaction", Broadcast::Rejected),
    ("already known", Broadcast::AlreadyKnown),
    ("alreadyknown", Broadcast::AlreadyKnown),
    ("already imported", Broadcast::AlreadyKnown),
    ("already exists", Broadcast::AlreadyKnown),
    ("already in", Broadcast::AlreadyKnown),
    ("known transaction", Broadcast::AlreadyKnown),
    ("nonce too low", Broadcast::NonceTooLow),
    ("nonce_too_low", Broadcast::NonceTooLow),
    ("nonce is too low", Broadcast::NonceTooLow),
    ("oldnonce", Broadcast::NonceTooLow),
    ("invalid nonce; got", Broadcast::NonceTooLow),
    ("nonce has already been used", Broadcast::NonceTooLow),
    ("higher than max fee per gas", Broadcast::Rejected),
    ("higher than maxfeepergas", Broadcast::Rejected),
    ("underpriced", Broadcast::Underpriced),
    ("fee too low", Broadcast::Underpriced),
    ("feetoolow", Broadcast::Underpriced),
    ("gas price too low", Broadcast::Underpriced),
    ("price below", Broadcast::Underpriced),
    ("less than block base fee", Broadcast::Underpriced),
    ("less than the block base fee", Broadcast::Underpriced),
    ("lower than the current base fee", Broadcast::Underpriced),
    ("below the minimum", Broadcast::Underpriced),
    ("below configured minimum", Broadcast::Underpriced),
    ("tip too low", Broadcast::Underpriced),
    ("pergas too low", Broadcast::Underpriced),
    ("replacementnotallowed", Broadcast::Underpriced),
    ("could not replace existing tx", Broadcast::Underpriced),
    ("insufficient funds", Broadcast::InsufficientFunds),
    ("insufficientfunds", Broadcast::InsufficientFunds),
    ("insufficient balance", Broadcast::InsufficientFunds),
    ("insufficient sender balance", Broadcast::InsufficientFunds),
    ("upfront cost exceeds", Broadcast::InsufficientFunds),
    ("account balance", Broadcast::InsufficientFunds),
    ("doesn't have enough funds", Broadcast::InsufficientFunds),
    ("does not have enough funds", Broadcast::InsufficientFunds),
];

/// JSON-RPC codes that say "the endpoint failed", not "the transaction is bad".
const ENDPOINT_FAILED: &[i64] = &[-32005, -32601, -32700, -32600, 429];

/// Sends `raw`.
pub(crate) async fn send(rpc: &Rpc, raw: &[u8]) -> Broadcast {
    let hash = keccak256(raw);
    rpc.send_raw(Call::send_raw(raw), move |answer| read(answer, hash)).await
}

fn read(answer: &Answer, hash: B256) -> Broadcast {
    match answer {
        Ok(value) if decode::hash(value) == Some(hash) => Broadcast::Accepted,
        Ok(_) | Err(Fault::Missing) => Broadcast::Unknown,
        Err(Fault::Failed { code, message }) if !ENDPOINT_FAILED.contains(code) => {
            classify(message)
        }
        Err(Fault::Failed { .. }) => Broadcast::Unknown,
        Err(Fault::Revert(revert)) => classify(&revert.message),
    }
}

fn classify(message: &str) -> Broadcast {
    let message = message.to_lowercase();
    let found = WORDS.iter().find(|(words, _)| message.contains(words));
    match found {
        Some((_, meaning)) => *meaning,
        // An error without words says nothing.
        None if message.trim().is_empty() => Broadcast::Unknown,
        None => Broadcast::Rejected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn e25_the_words_of_many_nodes_are_understood() {
        use Broadcast::{
            AlreadyKnown, InsufficientFunds, NonceTooLow, Rejected, Underpriced, Unknown,
        };
        for (message, want) in [
            // geth and its children (op-geth, bor, bsc)
            ("already known", AlreadyKnown),
            ("nonce too low: next nonce 5, tx nonce 4", NonceTooLow),
            ("replacement transaction underpriced", Underpriced),
            ("transaction underpriced: tip needed 1, tip permitted 0", Underpriced),
            ("max fee per gas less than block base fee: address 0x, maxFeePerGas: 1", Underpriced),
            ("insufficient funds for gas * price + value: balance 0, tx cost 1", InsufficientFunds),
            (
                "insufficient funds for gas * price + value: balance 1, queued cost 5",
                InsufficientFunds,
            ),
            ("intrinsic gas too low: gas 1, minimum needed 21000", Rejected),
            ("exceeds block gas limit", Rejected),
            ("nonce too high", Rejected),
            ("invalid sender", Rejected),
            ("unknown transaction type", Rejected),
            ("txpool is full", Rejected),
            ("max priority fee per gas higher than max fee per gas", Rejected),
            ("in-flight transaction limit reached for delegated accounts", Rejected),
            // anvil
            ("transaction already imported", AlreadyKnown),
            ("Transaction already imported.", AlreadyKnown),
            ("Insufficient funds for gas * price + value", InsufficientFunds),
            ("max fee per gas less than block base fee", Underpriced),
            ("`maxPriorityFeePerGas` must be ... higher than maxFeePerGas", Rejected),
            // reth
            ("Already known", AlreadyKnown),
            ("insufficient funds", InsufficientFunds),
            ("transaction's nonce too low: tx nonce 1, state nonce 2", NonceTooLow),
            // nethermind
            ("AlreadyKnown", AlreadyKnown),
            ("OldNonce, Current nonce: 5, nonce of rejected tx: 3", NonceTooLow),
            ("FeeTooLow, MaxFeePerGas too low. MaxFeePerGas: 1, BaseFee: 7", Underpriced),
            ("FeeTooLowToCompete", Underpriced),
            ("ReplacementNotAllowed", Underpriced),
            ("InsufficientFunds, Balance is 0 less than sending value + gas 5", InsufficientFunds),
            ("insufficient sender balance", InsufficientFunds),
            // besu
            ("Known transaction", AlreadyKnown),
            ("Nonce too low", NonceTooLow),
            ("Transaction gas price below configured minimum gas price", Underpriced),
            (
                "transaction up-front cost 5 exceeds transaction sender account balance 1",
                InsufficientFunds,
            ),
            ("Upfront cost exceeds account balance", InsufficientFunds),
            // erigon, nitro and others
            ("could not replace existing tx", Underpriced),
            ("fee too low", Underpriced),
            ("nonce has already been used", NonceTooLow),
            ("tx already in mempool", AlreadyKnown),
            ("sender doesn't have enough funds to send tx", InsufficientFunds),
            // the endpoint, not the transaction
            ("rate limit exceeded", Unknown),
            ("request timed out", Unknown),
            ("Internal error", Unknown),
            ("", Unknown),
        ] {
            assert_eq!(classify(message), want, "{message}");
            assert_eq!(classify(&message.to_uppercase()), want, "{message}");
        }
    }

    #[test]
    fn acceptance_is_the_hash_of_what_was_sent() {
        let raw = [2, 3, 4];
        let hash = keccak256(raw);
        assert_eq!(read(&Ok(json!(hash.to_string())), hash), Broadcast::Accepted);
        for odd in [json!(null), json!("0x"), json!(keccak256([1]).to_string()), json!({})] {
            assert_eq!(read(&Ok(odd), hash), Broadcast::Unknown);
        }
    }

    #[test]
    fn codes_of_a_failing_endpoint_promise_nothing() {
        for code in [-32005, -32601, -32700, 429] {
            let answer = Err(Fault::Failed { code, message: "nonce too low".into() });
            assert_eq!(read(&answer, B256::ZERO), Broadcast::Unknown, "{code}");
        }
    }

    proptest! {
        #[test]
        fn no_words_are_taken_for_acceptance(message in ".{0,80}") {
            prop_assert_ne!(classify(&message), Broadcast::Accepted);
        }
    }
}
