//! The answer of a priced resource, kept before the money moves, so that a buyer whose connection
//! or gate died after paying gets the same bytes.

use serde::{Deserialize, Serialize};

use crate::LedgerError;

/// A whole HTTP answer. `Debug` shows no content.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// HTTP status.
    pub status: u16,
    /// Names and values, in order; a value may be any bytes that a header may.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body, whole.
    pub body: Vec<u8>,
}

impl std::fmt::Debug for StoredAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredAnswer")
            .field("status", &self.status)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
struct Head {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
}

const WHAT: LedgerError = LedgerError::Corrupt { what: "answer" };

impl StoredAnswer {
    /// One blob: length of the head (u32, big endian), head as JSON, body.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] for a head beyond 4 GiB.
    pub fn to_bytes(&self) -> Result<Vec<u8>, LedgerError> {
        let head = Head { status: self.status, headers: self.headers.clone() };
        let head = serde_json::to_vec(&head).map_err(|_| WHAT)?;
        let length = u32::try_from(head.len()).map_err(|_| WHAT)?;
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(&self.body);
        Ok(bytes)
    }

    /// The inverse of [`StoredAnswer::to_bytes`].
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LedgerError> {
        let (length, rest) = bytes.split_first_chunk::<4>().ok_or(WHAT)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| WHAT)?;
        let (head, body) = rest.split_at_checked(length).ok_or(WHAT)?;
        let Head { status, headers } = serde_json::from_slice(head).map_err(|_| WHAT)?;
        Ok(Self { status, headers, body: body.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_back_byte_for_byte() {
        let answer = StoredAnswer {
            status: 206,
            headers: vec![("x-a".into(), vec![0xff, b'b']), ("x-a".into(), vec![])],
            body: vec![0, 1, 2, 255],
        };
        let bytes = answer.to_bytes().unwrap();
        assert_eq!(StoredAnswer::from_bytes(&bytes).unwrap(), answer);
        let head = bytes.len() - answer.body.len();
        for cut in 0..head {
            assert!(StoredAnswer::from_bytes(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }
}
