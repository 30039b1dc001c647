//! Who may verify and settle: callers with a bearer token each. The facilitator knows only the
//! tokens' sha256, so its configuration and memory hold nothing to steal.

use axum::extract::FromRequestParts;
use http::header::AUTHORIZATION;
use http::request::Parts;
use sha2::{Digest, Sha256};

use crate::answer::Refusal;
use crate::router::Api;

/// Longest token that is looked at, in bytes.
const MAX_TOKEN_BYTES: usize = 512;
const SCHEME: &str = "bearer ";

/// One caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// For logs; never the token.
    pub name: String,
    /// sha256 of the token.
    pub token_sha256: [u8; 32],
}

/// The callers. Nobody named means that everybody may call: for loopback only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Callers(pub Vec<Caller>);

impl Callers {
    /// The caller who presents this `Authorization` value.
    ///
    /// Every hash is compared to its end, whichever matches: the time tells nothing.
    fn of(&self, authorization: Option<&[u8]>) -> Option<&Caller> {
        let token = token(authorization?)?;
        let hash: [u8; 32] = Sha256::digest(token).into();
        let mut found = None;
        for caller in &self.0 {
            let differs = caller.token_sha256.iter().zip(hash).fold(0, |sum, (a, b)| sum | (a ^ b));
            if differs == 0 {
                found = Some(caller);
            }
        }
        found
    }
}

fn token(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = authorization.split_at_checked(SCHEME.len())?;
    let fits = !token.is_empty() && token.len() <= MAX_TOKEN_BYTES;
    (scheme.eq_ignore_ascii_case(SCHEME.as_bytes()) && fits).then_some(token)
}

/// The caller is known. A handler that takes it first runs for known callers only: anybody else
/// is refused before the body is read, let alone a signature looked at.
pub(crate) struct Admitted;

impl FromRequestParts<Api> for Admitted {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Refusal> {
        if api.callers.0.is_empty() {
            return Ok(Self);
        }
        let presented = parts.headers.get(AUTHORIZATION).map(http::HeaderValue::as_bytes);
        let Some(caller) = api.callers.of(presented) else {
            api.metrics.facilitator_request("admit", "unauthorized");
            return Err(Refusal::Unauthorized);
        };
        tracing::debug!(caller = caller.name, "admitted");
        Ok(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn callers() -> Callers {
        let caller = |name: &str, token: &str| Caller {
            name: name.to_owned(),
            token_sha256: Sha256::digest(token).into(),
        };
        Callers(vec![caller("shop", "one"), caller("depot", "two")])
    }

    #[test]
    fn each_token_is_its_callers() {
        let of = |value: &str| callers().of(Some(value.as_bytes())).map(|c| c.name.clone());
        assert_eq!(of("Bearer one").as_deref(), Some("shop"));
        assert_eq!(of("bearer two").as_deref(), Some("depot"));
        for bad in ["", "Bearer", "Bearer ", "Bearer three", "Basic one", "one", "Bearer one "] {
            assert_eq!(of(bad), None, "{bad:?}");
        }
        assert_eq!(of(&format!("Bearer {}", "x".repeat(MAX_TOKEN_BYTES + 1))), None);
        assert_eq!(callers().of(None), None);
    }
}
