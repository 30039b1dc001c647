//! An answer on its way into the ledger and out of it. Whatever is sold leaves the gate by way of
//! this form, the first time too: a repeat is the same bytes because there is no other source.

use bytes::Bytes;
use faregate_ledger::StoredAnswer;
use http::response::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode};

use crate::body::GateBody;

/// The answer as it is kept: without the receipt, which is written in the buyer's version.
pub(crate) fn of(head: &Parts, body: Bytes) -> StoredAnswer {
    let field = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), value.as_bytes().to_vec())
    };
    StoredAnswer {
        status: head.status.as_u16(),
        headers: head.headers.iter().map(field).collect(),
        body: body.into(),
    }
}

/// The answer as it is sent; `None` if what was kept is none.
pub(crate) fn response(kept: StoredAnswer) -> Option<Response<GateBody>> {
    let mut response = Response::new(GateBody::full(kept.body));
    *response.status_mut() = StatusCode::from_u16(kept.status).ok()?;
    for (name, value) in kept.headers {
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
        let kept = of(&head, Bytes::from_static(b"\0\xff"));
        assert_eq!(kept.body, b"\0\xff");
        let back = response(kept).unwrap();
        assert_eq!((back.status(), back.headers()), (head.status, &head.headers));
    }

    #[test]
    fn what_is_no_answer_is_not_sent() {
        let kept = |status, name: &str, value: &[u8]| StoredAnswer {
            status,
            headers: vec![(name.to_owned(), value.to_vec())],
            body: Vec::new(),
        };
        assert!(response(kept(200, "a", b"b")).is_some());
        for bad in [kept(0, "a", b"b"), kept(200, "a b", b"b"), kept(200, "a", b"b\r\nc: d")] {
            assert!(response(bad).is_none());
        }
    }
}
