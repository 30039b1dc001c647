//! What is kept carries a mark that only the operator's processes can make. So whoever can write
//! in Redis, the server itself included, can take away, delay and repeat what they told each other,
//! and can tell them nothing.

use std::fmt;

use aws_lc_rs::hmac;
use faregate_telemetry::Redacted;

const KEY_BYTES: usize = 32;
/// HMAC-SHA256.
pub(crate) const MARK_BYTES: usize = 32;
/// What the name of a key is made from; it is no secret.
const NAMED_BY: &[u8] = b"faregate cache";
const NAME_BYTES: usize = 4;
/// What a key is made by from a secret of another use.
const DERIVED_BY: &[u8] = b"faregate cache key";

/// The text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key of the cache is 64 hex digits")]
pub struct KeyError;

/// The secret that the processes have in common. `Debug` leaves it out.
#[derive(Clone)]
pub struct CacheKey(hmac::Key);

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheKey").finish_non_exhaustive()
    }
}

impl CacheKey {
    /// Reads 64 hex digits, with or without `0x`.
    ///
    /// # Errors
    /// [`KeyError`], which does not show the text.
    pub fn from_hex(text: &Redacted<String>) -> Result<Self, KeyError> {
        let digits = text.expose().strip_prefix("0x").unwrap_or(text.expose()).as_bytes();
        let (pairs, odd) = digits.as_chunks::<2>();
        let bytes = pairs.iter().map(|pair| Some(nibble(pair[0])? << 4 | nibble(pair[1])?));
        let bytes: Option<Vec<u8>> = bytes.collect();
        let bytes = bytes.filter(|bytes| bytes.len() == KEY_BYTES && odd.is_empty());
        bytes.map(|bytes| Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes))).ok_or(KeyError)
    }

    /// Another key, made from a secret that has another use already.
    #[must_use]
    pub fn derived(&self) -> Self {
        let key = hmac::sign(&self.0, DERIVED_BY);
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()))
    }

    /// A name for the key, so that processes with another one do not write over each other.
    pub(crate) fn name(&self) -> String {
        let mark = hmac::sign(&self.0, NAMED_BY);
        mark.as_ref().iter().take(NAME_BYTES).map(|byte| format!("{byte:02x}")).collect()
    }

    fn marked(place: &str, content: &[u8]) -> Vec<u8> {
        // A place holds no zero byte, so no content can be read as the end of one.
        [place.as_bytes(), &[0], content].concat()
    }

    /// The content with its mark, for one place in Redis.
    pub(crate) fn seal(&self, place: &str, content: &[u8]) -> Vec<u8> {
        let mark = hmac::sign(&self.0, &Self::marked(place, content));
        [mark.as_ref(), content].concat()
    }

    /// The content of what was sealed for this place.
    pub(crate) fn open(&self, place: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (mark, content) = sealed.split_at_checked(MARK_BYTES)?;
        hmac::verify(&self.0, &Self::marked(place, content), mark).ok()?;
        Some(content.to_vec())
    }
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Result<CacheKey, KeyError> {
        CacheKey::from_hex(&Redacted::new(text.to_owned()))
    }

    #[test]
    fn only_what_was_sealed_with_this_key_for_this_place_is_opened() {
        let (ours, theirs) = (key(&"11".repeat(32)).unwrap(), key(&"12".repeat(32)).unwrap());
        let sealed = ours.seal("a:1", b"content");
        assert_eq!(ours.open("a:1", &sealed).as_deref(), Some(&b"content"[..]));
        assert_eq!(ours.open("a:1", &ours.seal("a:1", b"")).as_deref(), Some(&b""[..]));
        assert_eq!(ours.open("a:2", &sealed), None);
        assert_eq!(theirs.open("a:1", &sealed), None);
        assert_ne!(ours.name(), theirs.name());
        assert_ne!(ours.name(), ours.derived().name());
        assert_eq!(ours.derived().open("a:1", &sealed), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(ours.open("a:1", &changed), None, "byte {at}");
            assert_eq!(ours.open("a:1", &sealed[..at]), None, "cut at {at}");
        }
        assert_eq!(ours.open("a:1", &[&sealed[..], b"x"].concat()), None);
    }

    #[test]
    fn a_key_is_64_hex_digits_and_is_not_shown() {
        assert!(key(&format!("0x{}", "aB".repeat(32))).is_ok());
        for bad in ["", "11", &"1".repeat(63), &"1".repeat(65), &"zz".repeat(32), &"ü".repeat(32)]
        {
            assert_eq!(key(bad).unwrap_err(), KeyError, "{bad}");
        }
        assert_eq!(format!("{:?}", key(&"11".repeat(32)).unwrap()), "CacheKey { .. }");
    }
}
