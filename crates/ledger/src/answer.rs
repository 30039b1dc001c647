//! The answer of a priced resource, kept before the money moves, so that a buyer whose connection
//! or gate died after paying gets the same bytes.

use serde::{Deserialize, Serialize};

use crate::{BodyParts, LedgerError};

/// An HTTP answer. `Debug` shows no content.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// HTTP status.
    pub status: u16,
    /// Names and values, in order; a value may be any bytes that a header may.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body, or where it is.
    pub body: StoredBody,
}

/// Where the body of an answer is.
#[derive(Clone, PartialEq, Eq)]
pub enum StoredBody {
    /// Here, whole.
    Whole(Vec<u8>),
    /// In the ledger, in parts.
    Parts(BodyParts),
}

impl StoredBody {
    /// Its length, in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::Whole(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Self::Parts(parts) => parts.bytes,
        }
    }
}

impl From<Vec<u8>> for StoredBody {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Whole(bytes)
    }
}

impl std::fmt::Debug for StoredAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredAnswer")
            .field("status", &self.status)
            .field("body_bytes", &self.body.size())
            .finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
struct Head {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
}

/// Of another shape, so that a program that knows of no parts does not take it for an answer
/// without a body.
#[derive(Serialize, Deserialize)]
struct HeadOfParts {
    head: Head,
    parts: BodyParts,
}

const WHAT: LedgerError = LedgerError::Corrupt { what: "answer" };

impl StoredAnswer {
    /// One blob: length of the head (u32, big endian), head as JSON, body. A body in parts is not
    /// in it.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] for a head beyond 4 GiB.
    pub fn to_bytes(&self) -> Result<Vec<u8>, LedgerError> {
        let head = Head { status: self.status, headers: self.headers.clone() };
        let (head, body) = match &self.body {
            StoredBody::Whole(body) => (serde_json::to_vec(&head), body.as_slice()),
            StoredBody::Parts(parts) => {
                (serde_json::to_vec(&HeadOfParts { head, parts: *parts }), [].as_slice())
            }
        };
        let head = head.map_err(|_| WHAT)?;
        let length = u32::try_from(head.len()).map_err(|_| WHAT)?;
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(body);
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
        if let Ok(Head { status, headers }) = serde_json::from_slice(head) {
            return Ok(Self { status, headers, body: body.to_vec().into() });
        }
        let HeadOfParts { head, parts } = serde_json::from_slice(head).map_err(|_| WHAT)?;
        if !body.is_empty() {
            return Err(WHAT);
        }
        Ok(Self { status: head.status, headers: head.headers, body: StoredBody::Parts(parts) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: StoredBody) -> StoredAnswer {
        let headers = vec![("x-a".into(), vec![0xff, b'b']), ("x-a".into(), vec![])];
        StoredAnswer { status: 206, headers, body }
    }

    #[test]
    fn an_answer_comes_back_byte_for_byte() {
        let body = vec![0, 1, 2, 255];
        let answer = answer(body.clone().into());
        let bytes = answer.to_bytes().unwrap();
        assert_eq!(StoredAnswer::from_bytes(&bytes).unwrap(), answer);
        let head = bytes.len() - body.len();
        for cut in 0..head {
            assert!(StoredAnswer::from_bytes(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_head_of_parts_comes_back_and_is_no_answer_without_a_body() {
        let answer = answer(StoredBody::Parts(BodyParts { epoch: 3, count: 2, bytes: u64::MAX }));
        let bytes = answer.to_bytes().unwrap();
        assert_eq!(StoredAnswer::from_bytes(&bytes).unwrap(), answer);
        assert!(serde_json::from_slice::<Head>(&bytes[4..]).is_err());
        for cut in 0..bytes.len() {
            assert!(StoredAnswer::from_bytes(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        let longer = [&bytes[..], b"x"].concat();
        assert!(StoredAnswer::from_bytes(&longer).is_err());
    }
}
