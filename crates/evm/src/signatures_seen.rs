//! Signatures that were found good. A payment's signature is looked at when it is verified, when it
//! is settled and when it joins a batch, and what was good stays good: the key names everything
//! that the answer depends on.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use alloy_primitives::{Address, B256};

use crate::limits::SIGNATURES_SEEN;
use crate::signature::{self, SIGNATURE_BYTES};

type Key = (B256, [u8; SIGNATURE_BYTES], Address);

/// A bounded set: what is found good pushes out what was long ago.
#[derive(Debug, Default)]
pub(crate) struct SignaturesSeen(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashSet<Key>,
    old: HashSet<Key>,
}

impl SignaturesSeen {
    /// Whether `account` signed `digest`, in the one accepted spelling.
    pub(crate) fn is_by(&self, account: Address, digest: B256, signature: &[u8]) -> bool {
        let Ok(bytes) = <[u8; SIGNATURE_BYTES]>::try_from(signature) else { return false };
        let key = (digest, bytes, account);
        if self.contains(&key) {
            return true;
        }
        let is_by = signature::recover(digest, signature) == Some(account);
        if is_by {
            self.note(key);
        }
        is_by
    }

    fn contains(&self, key: &Key) -> bool {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.young.contains(key) || seen.old.contains(key)
    }

    fn note(&self, key: Key) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.young.len() >= SIGNATURES_SEEN {
            seen.old = std::mem::take(&mut seen.young);
        }
        seen.young.insert(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wallet::Wallet;

    #[test]
    fn what_was_good_is_good_for_the_same_account_digest_and_signature_only() {
        let (seen, wallet) =
            (SignaturesSeen::default(), Wallet::from_hex(&"22".repeat(32)).unwrap());
        let digest = B256::repeat_byte(1);
        let signature = wallet.sign_digest(digest);
        for _ in 0..2 {
            assert!(seen.is_by(wallet.address(), digest, &signature));
            assert!(!seen.is_by(Address::repeat_byte(7), digest, &signature));
            assert!(!seen.is_by(wallet.address(), B256::repeat_byte(2), &signature));
            assert!(!seen.is_by(wallet.address(), digest, &signature[1..]));
            let mut other = signature.to_vec();
            other[40] ^= 1;
            assert!(!seen.is_by(wallet.address(), digest, &other));
        }
    }

    #[test]
    fn memory_is_bounded_and_the_newest_stay() {
        let seen = SignaturesSeen::default();
        let key = |n: usize| (B256::left_padding_from(&n.to_be_bytes()), [0; 65], Address::ZERO);
        for n in 0..3 * SIGNATURES_SEEN {
            seen.note(key(n));
            assert!(
                seen.contains(&key(n))
                    && seen.contains(&key(n.saturating_sub(SIGNATURES_SEEN / 2)))
            );
            let seen = seen.0.lock().unwrap();
            assert!(seen.young.len().max(seen.old.len()) <= SIGNATURES_SEEN);
        }
    }
}
