//! An answer on its way into the ledger and out of it. Whatever is sold leaves the gate by way of
//! this form, the first time too: a repeat is the same bytes because there is no other source.

use std::sync::Arc;

use faregate_ledger::{ClaimStore, LedgerError, StoredAnswer, StoredBody};
use faregate_protocol::PaymentKey;
use http::response::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode};

use crate::body::GateBody;
use crate::kept_body;

/// Why what was kept cannot be sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// The ledger did not give the body.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// It is no answer.
    #[error("what was kept is no answer")]
    NoAnswer,
}

/// The answer as it is kept: without the receipt, which is written in the buyer's version.
pub(crate) fn of(head: &Parts, body: StoredBody) -> StoredAnswer {
    let field = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), value.as_bytes().to_vec())
    };
    StoredAnswer {
        status: head.status.as_u16(),
        headers: head.headers.iter().map(field).collect(),
        body,
    }
}

/// The answer of this payment as it is sent. Of a body in parts the first one is read now, so that
/// nothing is granted that cannot be read, and the others while they are sent.
pub(crate) async fn open(
    store: &Arc<dyn ClaimStore>,
    key: PaymentKey,
    kept: StoredAnswer,
) -> Result<Response<GateBody>, Unreadable> {
    let mut response = head(kept.status, kept.headers).ok_or(Unreadable::NoAnswer)?;
    *response.body_mut() = match kept.body {
        StoredBody::Whole(bytes) => GateBody::full(bytes),
        StoredBody::Parts(parts) => kept_body::open(Arc::clone(store), key, parts).await?,
    };
    Ok(response)
}

fn head(status: u16, headers: Vec<(String, Vec<u8>)>) -> Option<Response<GateBody>> {
    let mut response = Response::new(GateBody::empty());
    *response.status_mut() = StatusCode::from_u16(status).ok()?;
    for (name, value) in headers {
        let name = HeaderName::try_from(name).ok()?;
        response.headers_mut().append(name, HeaderValue::try_from(value).ok()?);
    }
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_body_come_back_as_they_were() {
        let sent = Response::builder()
            .status(206)
            .header("set-cookie", "b=2")
            .header("content-range", "bytes 0-1/9")
            .header("set-cookie", "a=1")
            .header("x-raw", HeaderValue::from_bytes(b"\xff\xfe").unwrap())
            .header("x-empty", "")
            .body(());
        let (head, ()) = sent.unwrap().into_parts();
        let kept = of(&head, Vec::new().into());
        let back = super::head(kept.status, kept.headers).unwrap();
        assert_eq!((back.status(), back.headers()), (head.status, &head.headers));
    }

    #[test]
    fn what_is_no_answer_is_not_sent() {
        let sent = |status, name: &str, value: &[u8]| {
            head(status, vec![(name.to_owned(), value.to_vec())])
        };
        assert!(sent(200, "a", b"b").is_some());
        for bad in [sent(0, "a", b"b"), sent(200, "a b", b"b"), sent(200, "a", b"b\r\nc: d")] {
            assert!(bad.is_none());
        }
    }
}
