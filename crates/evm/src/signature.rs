//! ECDSA over secp256k1 with exactly one accepted spelling: 65 bytes r, s, v; low s; v 27 or 28.
//!
//! Any other spelling of a valid signature is refused, so one authorization has one signature of
//! a key, and what is accepted here is accepted by the token.

use std::sync::LazyLock;

use alloy_primitives::{Address, B256, keccak256};
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{All, Message, PublicKey, Secp256k1};

/// Length of a signature in bytes.
pub const SIGNATURE_BYTES: usize = 65;

/// Largest accepted s: half the order of the group, big endian.
const HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0x5d, 0x57, 0x6e, 0x73, 0x57, 0xa4, 0x50, 0x1d, 0xdf, 0xe9, 0x2f, 0x46, 0x68, 0x1b, 0x20, 0xa0,
];

pub(crate) static CURVE: LazyLock<Secp256k1<All>> = LazyLock::new(Secp256k1::new);

/// A signature in its three parts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts {
    /// r, big endian.
    pub(crate) r: B256,
    /// s, big endian, at most half the order.
    pub(crate) s: B256,
    /// 27 or 28.
    pub(crate) v: u8,
}

impl Parts {
    /// Splits a signature; `None` unless it is in the one accepted spelling.
    pub(crate) fn read(signature: &[u8]) -> Option<Self> {
        if signature.len() != SIGNATURE_BYTES {
            return None;
        }
        let (r, rest) = signature.split_first_chunk::<32>()?;
        let (s, rest) = rest.split_first_chunk::<32>()?;
        let v = *rest.first()?;
        (matches!(v, 27 | 28) && *s <= HALF_ORDER).then(|| Self {
            r: B256::from(*r),
            s: B256::from(*s),
            v,
        })
    }

    fn recover(&self, digest: B256) -> Option<Address> {
        let id = RecoveryId::try_from(i32::from(self.v) - 27).ok()?;
        let mut compact = [0; 64];
        let (r, s) = compact.split_at_mut(32);
        r.copy_from_slice(self.r.as_slice());
        s.copy_from_slice(self.s.as_slice());
        let signature = RecoverableSignature::from_compact(&compact, id).ok()?;
        let key = CURVE.recover_ecdsa(&Message::from_digest(digest.0), &signature).ok()?;
        Some(address_of(&key))
    }
}

/// Who signed `digest`; `None` when the signature is not in the one accepted spelling or belongs
/// to nobody.
#[must_use]
pub fn recover(digest: B256, signature: &[u8]) -> Option<Address> {
    Parts::read(signature)?.recover(digest)
}

/// The address of a public key.
pub(crate) fn address_of(key: &PublicKey) -> Address {
    let bytes = key.serialize_uncompressed();
    let (_prefix, point) = bytes.split_at(1);
    Address::from_word(keccak256(point))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wallet::Wallet;
    use alloy_primitives::{U256, uint};
    use proptest::prelude::*;

    const ORDER: U256 =
        uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);

    fn wallet() -> Wallet {
        Wallet::from_hex(&"11".repeat(32)).unwrap()
    }

    #[test]
    fn e12_only_one_spelling_of_a_signature_is_accepted() {
        let digest = B256::repeat_byte(7);
        let good = wallet().sign_digest(digest);
        assert_eq!(recover(digest, &good), Some(wallet().address()));

        let mut high_s = good;
        let s = U256::from_be_slice(&good[32..64]);
        high_s[32..64].copy_from_slice(&(ORDER - s).to_be_bytes::<32>());
        high_s[64] = 27 + 28 - good[64];
        let mut small_v = good;
        small_v[64] -= 27;
        let mut trailing = good.to_vec();
        trailing.push(0);
        let mut zero_r = good;
        zero_r[..32].fill(0);
        let mut zero_s = good;
        zero_s[32..64].fill(0);
        let mut r_is_order = good;
        r_is_order[..32].copy_from_slice(&ORDER.to_be_bytes::<32>());
        for (name, bad) in [
            ("high s", high_s.to_vec()),
            ("v of 0 or 1", small_v.to_vec()),
            ("64 bytes", good[..64].to_vec()),
            ("trailing byte", trailing),
            ("nothing", vec![]),
            ("zero r", zero_r.to_vec()),
            ("zero s", zero_s.to_vec()),
            ("r is the order", r_is_order.to_vec()),
        ] {
            assert_eq!(recover(digest, &bad), None, "{name}");
        }
        for v in (0..=255_u8).filter(|v| !matches!(v, 27 | 28)) {
            let mut bad = good;
            bad[64] = v;
            assert_eq!(recover(digest, &bad), None, "v {v}");
        }
    }

    #[test]
    fn half_the_order_is_half_the_order() {
        assert_eq!(U256::from_be_bytes(HALF_ORDER), ORDER >> 1);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(digest: [u8; 32], bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = recover(B256::from(digest), &bytes);
        }

        #[test]
        fn any_65_bytes_are_read_without_panic(digest: [u8; 32], mut bytes in prop::collection::vec(any::<u8>(), 65), odd: bool) {
            bytes[64] = 27 + u8::from(odd);
            bytes[32] &= 0x7f;
            let _ = recover(B256::from(digest), &bytes);
        }

        #[test]
        fn what_is_signed_is_recovered(digest: [u8; 32]) {
            let digest = B256::from(digest);
            prop_assert_eq!(recover(digest, &wallet().sign_digest(digest)), Some(wallet().address()));
        }
    }
}
