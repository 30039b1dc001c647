//! Sealing at rest: signed payments, signed transactions and stored answers are bearer instruments
//! or somebody's data, so the ledger keeps them encrypted (AES-256-GCM), bound to the row they
//! belong to. A sealed value names its key, so that keys can be changed.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::LedgerError;

/// Length of a sealing key, in bytes.
pub const KEY_BYTES: usize = 32;
const KEY_ID_BYTES: usize = 4;

/// What a sealed value is, so that one kind cannot stand in another's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealed {
    /// A payment with its requirements.
    Request,
    /// A signed transaction.
    Transaction,
    /// An answer of a priced resource.
    Answer,
    /// A part of the body of one.
    Part,
}

impl Sealed {
    const fn tag(self) -> &'static [u8] {
        match self {
            Self::Request => b"request",
            Self::Transaction => b"transaction",
            Self::Answer => b"answer",
            Self::Part => b"part",
        }
    }
}

/// A text is not a sealing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sealing key is 64 hex digits")]
pub struct SealingKeyError;

/// Seals with its first key, opens with any. `Debug` shows no key.
pub struct Sealer {
    keys: Vec<([u8; KEY_ID_BYTES], LessSafeKey)>,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("keys", &self.keys.len()).finish()
    }
}

impl Sealer {
    /// Seals with `first`; `older` keys still open what they sealed.
    ///
    /// # Errors
    /// [`SealingKeyError`].
    pub fn new(first: &str, older: &[&str]) -> Result<Self, SealingKeyError> {
        let keys = std::iter::once(&first).chain(older).map(|text| read(text));
        Ok(Self { keys: keys.collect::<Result<_, _>>()? })
    }

    /// With a random key that is gone with the process; for ledgers that are too.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`] when the system gives no random bytes.
    pub fn throwaway() -> Result<Self, LedgerError> {
        let key = random::<KEY_BYTES>()?;
        let entry = keyed(&Zeroizing::new(key)).map_err(|_| no_randomness())?;
        Ok(Self { keys: vec![entry] })
    }

    /// Seals `plain` as `kind` for the row `row`.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`] when the system gives no random bytes.
    pub fn seal(&self, kind: Sealed, row: &[u8], plain: &[u8]) -> Result<Vec<u8>, LedgerError> {
        let (id, key) = self.keys.first().ok_or(LedgerError::Unsealable)?;
        let nonce = random::<NONCE_LEN>()?;
        let mut sealed =
            Vec::with_capacity(KEY_ID_BYTES + NONCE_LEN + plain.len() + AES_256_GCM.tag_len());
        sealed.extend_from_slice(id);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let (_, text) = sealed.split_at_mut(KEY_ID_BYTES + NONCE_LEN);
        let tag = key
            .seal_in_place_separate_tag(nonce, bound_to(kind, row), text)
            .map_err(|_| LedgerError::Unsealable)?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Opens what was sealed as `kind` for the row `row`.
    ///
    /// # Errors
    /// [`LedgerError::Unsealable`] for another row, another kind, an unknown key or a changed
    /// value.
    pub fn open(&self, kind: Sealed, row: &[u8], sealed: &[u8]) -> Result<Vec<u8>, LedgerError> {
        let (id, rest) =
            sealed.split_first_chunk::<KEY_ID_BYTES>().ok_or(LedgerError::Unsealable)?;
        let (nonce, text) = rest.split_first_chunk::<NONCE_LEN>().ok_or(LedgerError::Unsealable)?;
        let (_, key) =
            self.keys.iter().find(|(known, _)| known == id).ok_or(LedgerError::Unsealable)?;
        let mut text = text.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = key
            .open_in_place(nonce, bound_to(kind, row), &mut text)
            .map_err(|_| LedgerError::Unsealable)?;
        let length = plain.len();
        text.truncate(length);
        Ok(text)
    }
}

/// The kind's tag with its length, then the row's key: no two of them read alike.
fn bound_to(kind: Sealed, row: &[u8]) -> Aad<Vec<u8>> {
    let tag = kind.tag();
    let mut bound = vec![u8::try_from(tag.len()).unwrap_or(u8::MAX)];
    bound.extend_from_slice(tag);
    bound.extend_from_slice(row);
    Aad::from(bound)
}

fn random<const N: usize>() -> Result<[u8; N], LedgerError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| no_randomness())?;
    Ok(bytes)
}

fn no_randomness() -> LedgerError {
    LedgerError::Unavailable { detail: "the system gives no random bytes".to_owned() }
}

fn read(text: &str) -> Result<([u8; KEY_ID_BYTES], LessSafeKey), SealingKeyError> {
    let digits = text.trim();
    if digits.len() != KEY_BYTES * 2 || !digits.is_ascii() {
        return Err(SealingKeyError);
    }
    let mut key = Zeroizing::new([0_u8; KEY_BYTES]);
    for (byte, pair) in key.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).map_err(|_| SealingKeyError)?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| SealingKeyError)?;
    }
    keyed(&key)
}

fn keyed(key: &[u8; KEY_BYTES]) -> Result<([u8; KEY_ID_BYTES], LessSafeKey), SealingKeyError> {
    let hash = Sha256::digest(key);
    let id = *hash.first_chunk::<KEY_ID_BYTES>().ok_or(SealingKeyError)?;
    let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| SealingKeyError)?;
    Ok((id, LessSafeKey::new(key)))
}

/// A new random key as text, for `sealing_key`.
///
/// # Errors
/// [`LedgerError::Unavailable`] when the system gives no random bytes.
pub fn new_key() -> Result<Zeroizing<String>, LedgerError> {
    use std::fmt::Write as _;
    let key = Zeroizing::new(random::<KEY_BYTES>()?);
    let mut text = Zeroizing::new(String::with_capacity(KEY_BYTES * 2));
    for byte in key.iter() {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer() -> Sealer {
        Sealer::new(&"11".repeat(32), &[&"22".repeat(32)]).unwrap()
    }

    #[test]
    fn what_is_sealed_is_opened_in_its_own_place_only() {
        let sealed = sealer().seal(Sealed::Request, b"row", b"secret").unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
        assert_eq!(sealer().open(Sealed::Request, b"row", &sealed).unwrap(), b"secret");
        assert!(sealer().open(Sealed::Request, b"other", &sealed).is_err());
        for kind in [Sealed::Answer, Sealed::Part, Sealed::Transaction] {
            assert!(sealer().open(kind, b"row", &sealed).is_err());
        }
        for i in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[i] ^= 1;
            assert!(sealer().open(Sealed::Request, b"row", &changed).is_err(), "byte {i}");
            assert!(sealer().open(Sealed::Request, b"row", &sealed[..i]).is_err(), "cut at {i}");
        }
    }

    #[test]
    fn the_same_text_is_sealed_differently_each_time() {
        let seal = || sealer().seal(Sealed::Request, b"row", b"x").unwrap();
        assert_ne!(seal(), seal());
    }

    #[test]
    fn an_older_key_still_opens() {
        let old = Sealer::new(&"22".repeat(32), &[]).unwrap();
        let sealed = old.seal(Sealed::Transaction, b"row", b"x").unwrap();
        assert_eq!(sealer().open(Sealed::Transaction, b"row", &sealed).unwrap(), b"x");
        let stranger = Sealer::new(&"33".repeat(32), &[]).unwrap();
        assert!(stranger.open(Sealed::Transaction, b"row", &sealed).is_err());
    }

    #[test]
    fn keys_are_64_hex_digits() {
        for bad in ["", "11", &"zz".repeat(32), &"11".repeat(33), &"é".repeat(32)] {
            assert!(Sealer::new(bad, &[]).is_err(), "{bad}");
        }
        let made = new_key().unwrap();
        assert!(Sealer::new(&made, &[]).is_ok());
        assert!(Sealer::new(&format!("{}\n", *made), &[]).is_ok(), "a file ends with a new line");
    }
}
