//! A facilitator over HTTP. It asks once: whether a settlement may be asked for again is the flow's
//! decision, never the client's.

use std::time::Duration;

use faregate_protocol::facilitator::BoxFuture;
use faregate_protocol::{
    Facilitator, FacilitatorError, PaymentRequest, Reason, SettleResponse, SettleTerms,
    SupportedResponse, VerifyResponse, json,
};
use faregate_telemetry::Redacted;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use crate::body::{self, Collected, GateBody};
use crate::http_client::{ClientError, HttpClient};
use crate::limits;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const DEADLINE: HeaderName = HeaderName::from_static("faregate-deadline");
const PATIENT: HeaderName = HeaderName::from_static("faregate-patient");
const DEPLOYMENT: HeaderName = HeaderName::from_static("faregate-deployment");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// How a facilitator is reached.
#[derive(Clone, Debug)]
pub struct RemoteConfig {
    /// Base URL; `/verify`, `/settle` and `/supported` are appended to its path.
    pub url: Url,
    /// Sent as `Authorization: Bearer`.
    pub token: Option<Redacted<String>>,
    /// Time to connect.
    pub connect_timeout: Duration,
    /// Time for a verification or a list of what is supported.
    pub verify_timeout: Duration,
    /// Time for a settlement. The gate's own patience is shorter and ends first.
    pub settle_timeout: Duration,
}

impl RemoteConfig {
    /// Defaults for all but the URL.
    #[must_use]
    pub const fn new(url: Url) -> Self {
        Self {
            url,
            token: None,
            connect_timeout: limits::CONNECT_TIMEOUT,
            verify_timeout: limits::VERIFY_TIMEOUT,
            settle_timeout: Duration::from_secs(30),
        }
    }
}

/// The port to a facilitator that runs elsewhere, ours or a foreign one.
pub struct RemoteFacilitator {
    client: HttpClient,
    /// Without a slash at the end.
    base: String,
    authorization: Option<HeaderValue>,
    verify_timeout: Duration,
    settle_timeout: Duration,
}

impl RemoteFacilitator {
    /// A client for the facilitator; nothing is sent yet.
    ///
    /// # Errors
    /// [`ClientError::Url`] for a URL that is not http(s), has user information, a query or a
    /// fragment; also for a token that cannot be sent in a header. [`ClientError::Roots`].
    pub fn new(config: RemoteConfig) -> Result<Self, ClientError> {
        let url = &config.url;
        let is_plain = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        let authorization = match &config.token {
            None => Some(None),
            Some(token) => bearer(token).map(Some),
        };
        let (true, Some(authorization)) = (is_plain, authorization) else {
            // The URL may hold a password.
            return Err(ClientError::Url { url: url.host_str().unwrap_or_default().to_owned() });
        };
        Ok(Self {
            client: HttpClient::new(url.scheme() == "https", config.connect_timeout)?,
            base: url.as_str().trim_end_matches('/').to_owned(),
            authorization,
            verify_timeout: config.verify_timeout,
            settle_timeout: config.settle_timeout,
        })
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        request: Result<Request<GateBody>, FacilitatorError>,
        wait: Duration,
        verdict: &'static str,
    ) -> Result<T, FacilitatorError> {
        let mut request = request?;
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
        }
        let exchange = async {
            let answer =
                self.client.send(request).await.map_err(|_| FacilitatorError::Unreachable)?;
            let status = answer.status();
            let limit = limits::MAX_FACILITATOR_ANSWER_BYTES;
            match body::collect(GateBody::new(answer.into_body()), limit).await {
                Collected::Whole(bytes) => read(status, &bytes, verdict),
                Collected::TooLarge(_) => Err(FacilitatorError::Nonsense("it is too long")),
                Collected::Broken => Err(FacilitatorError::Unreachable),
            }
        };
        tokio::time::timeout(wait, exchange).await.map_err(|_| FacilitatorError::TimedOut)?
    }

    fn post(
        &self,
        path: &str,
        message: &PaymentRequest,
    ) -> Result<Request<GateBody>, FacilitatorError> {
        let unsendable = FacilitatorError::Nonsense("the question cannot be written");
        let body = serde_json::to_vec(message).map_err(|_| unsendable.clone())?;
        Request::builder()
            .method(Method::POST)
            .uri(format!("{}{path}", self.base))
            .header(header::CONTENT_TYPE, JSON)
            .header(header::ACCEPT, JSON)
            .body(GateBody::full(body))
            .map_err(|_| unsendable)
    }
}

impl Facilitator for RemoteFacilitator {
    fn verify<'a>(
        &'a self,
        request: &'a PaymentRequest,
    ) -> BoxFuture<'a, Result<VerifyResponse, FacilitatorError>> {
        let question = self.post("/verify", request);
        Box::pin(self.ask(question, self.verify_timeout, "isValid"))
    }

    fn settle<'a>(
        &'a self,
        request: &'a PaymentRequest,
        terms: &'a SettleTerms,
    ) -> BoxFuture<'a, Result<SettleResponse, FacilitatorError>> {
        let question = self.post("/settle", request).map(|mut question| {
            tell_terms(&mut question, terms);
            question
        });
        Box::pin(self.ask(question, self.settle_timeout, "success"))
    }

    fn supported(&self) -> BoxFuture<'_, Result<SupportedResponse, FacilitatorError>> {
        let question = Request::builder()
            .uri(format!("{}/supported", self.base))
            .header(header::ACCEPT, JSON)
            .body(GateBody::empty())
            .map_err(|_| FacilitatorError::Nonsense("the question cannot be written"));
        Box::pin(self.ask(question, self.verify_timeout, "kinds"))
    }

    fn name(&self) -> &str {
        &self.base
    }
}

fn bearer(token: &Redacted<String>) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn tell_terms(question: &mut Request<GateBody>, terms: &SettleTerms) {
    let told = [
        (IDEMPOTENCY_KEY, terms.settle_id.map(|id| id.to_string())),
        (DEADLINE, terms.deadline_unix_ms.map(|ms| ms.to_string())),
        (DEPLOYMENT, terms.deployment.map(|id| id.to_string())),
        (PATIENT, terms.patient.then(|| true.to_string())),
    ];
    for (name, text) in told {
        if let Some(value) = text.and_then(|text| HeaderValue::try_from(text).ok()) {
            question.headers_mut().insert(name, value);
        }
    }
}

/// 2xx with the protocol's shape is an answer, and so is another status whose body carries the
/// member that makes it a verdict: foreign facilitators refuse with 4xx.
fn read<T: DeserializeOwned>(
    status: StatusCode,
    body: &[u8],
    verdict: &'static str,
) -> Result<T, FacilitatorError> {
    // An array would be read as a structure, member by member.
    let Some(value) = json::parse(body).ok().filter(Value::is_object) else {
        return Err(FacilitatorError::Nonsense("it is not JSON"));
    };
    if status.is_success() || value.get(verdict).is_some() {
        return serde_json::from_value(value)
            .map_err(|_| FacilitatorError::Nonsense("its JSON has another shape"));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE && is_not_taken_up(&value) {
        return Err(FacilitatorError::Unavailable("it says so"));
    }
    Err(FacilitatorError::Nonsense("its status is an error and its body is no verdict"))
}

/// Our own facilitator's promise that it began nothing. A 503 of anybody in between does not carry
/// one of these codes, and is unknown.
fn is_not_taken_up(body: &Value) -> bool {
    let code = body.get("code").or_else(|| body.get("error")).and_then(Value::as_str);
    matches!(
        code.and_then(Reason::from_code),
        Some(
            Reason::LedgerUnavailable
                | Reason::ChainUnavailable
                | Reason::QueueFull
                | Reason::QuietHours
                | Reason::FacilitatorUnavailable
        )
    )
}
