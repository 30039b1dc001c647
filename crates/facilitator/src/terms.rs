//! Our own headers: what a gate of this family tells besides the protocol.

use faregate_protocol::SettleTerms;
use http::HeaderMap;
use uuid::Uuid;

use crate::answer::Refusal;

/// Settle id: replies for one id never change. A UUID.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// When the caller stops waiting, in unix milliseconds.
pub const DEADLINE: &str = "faregate-deadline";
/// Identity of the caller's ledger. A UUID.
pub const DEPLOYMENT: &str = "faregate-deployment";

/// `true`: nobody waits for the money, it may be moved when gas is cheap.
pub const PATIENT: &str = "faregate-patient";

/// Reads the headers; each may be absent.
///
/// # Errors
/// 400 for a header that is malformed or repeated: a settle id that is dropped in silence would
/// make a retry look like another caller.
pub fn read(headers: &HeaderMap) -> Result<SettleTerms, Refusal> {
    let uuid = |text: &str| Uuid::try_parse(text).ok();
    let unix_ms = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    };
    let truth = |text: &str| text.parse::<bool>().ok();
    Ok(SettleTerms {
        settle_id: one(headers, IDEMPOTENCY_KEY, "a UUID", uuid)?,
        deadline_unix_ms: one(headers, DEADLINE, "a time in unix milliseconds", unix_ms)?,
        deployment: one(headers, DEPLOYMENT, "a UUID", uuid)?,
        patient: one(headers, PATIENT, "true or false", truth)?.unwrap_or_default(),
    })
}

fn one<T>(
    headers: &HeaderMap,
    name: &str,
    kind: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let parsed = value.to_str().ok().and_then(parse).filter(|_| values.next().is_none());
    match parsed {
        Some(parsed) => Ok(Some(parsed)),
        None => Err(Refusal::Malformed(format!("the header {name} must be {kind}, once"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const ID: &str = "018f3a2b-0000-7000-8000-000000000001";

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn all_are_optional_and_all_are_read() {
        assert_eq!(read(&HeaderMap::new()), Ok(SettleTerms::default()));
        let all = headers(&[
            (IDEMPOTENCY_KEY, ID),
            (DEADLINE, "1770000000000"),
            (DEPLOYMENT, ID),
            (PATIENT, "true"),
        ]);
        let terms = read(&all).unwrap();
        assert_eq!(terms.settle_id, ID.parse().ok());
        assert_eq!(terms.deadline_unix_ms, Some(1_770_000_000_000));
        assert_eq!(terms.deployment, ID.parse().ok());
        assert!(terms.patient);
    }

    #[test]
    fn malformed_or_repeated_is_refused() {
        for (name, value) in [
            (IDEMPOTENCY_KEY, ""),
            (IDEMPOTENCY_KEY, "1"),
            (IDEMPOTENCY_KEY, "018f3a2b-0000-7000-8000-00000000000g"),
            (DEADLINE, ""),
            (DEADLINE, "-1"),
            (DEADLINE, "+1"),
            (DEADLINE, "1.5"),
            (DEADLINE, "99999999999999999999"),
            (DEPLOYMENT, "mine"),
            (PATIENT, "yes"),
        ] {
            let error = read(&headers(&[(name, value)])).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
        assert!(read(&headers(&[(IDEMPOTENCY_KEY, ID), (IDEMPOTENCY_KEY, ID)])).is_err());
    }
}
