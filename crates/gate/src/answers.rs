//! The one responder: from a reason to HTTP. Whatever the gate says itself is said here, in a fixed
//! vocabulary; no words of an endpoint, a database or an upstream get out.

use std::borrow::Cow;

use bytes::Bytes;
use faregate_protocol::reason::Retry;
use faregate_protocol::{Reason, SettleResponse, header as names};
use http::{HeaderName, HeaderValue, Response, StatusCode, Uri, header};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::body::GateBody;
use crate::challenge::FIRST_ERROR;
use crate::challenge_page::Page;
use crate::limits;
use crate::origin::Origin;
use crate::version::Version;

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PAYMENT_REQUIRED: HeaderName = HeaderName::from_static(names::PAYMENT_REQUIRED);

/// The official code for an allowance that is missing; the one refusal that is not a 402.
const PERMIT2_ALLOWANCE_REQUIRED: &str = "permit2_allowance_required";

/// Something other than the resource that a request is answered with.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: u16,
    code: Cow<'static, str>,
    help: &'static str,
    retry_after_secs: Option<u64>,
    transaction: Option<String>,
    /// A fresh challenge has to go with it.
    pub(crate) challenged: bool,
    receipt: Option<Box<SettleResponse>>,
    /// Who a refused verification was about.
    payer: Option<String>,
    version: Version,
}

impl Refusal {
    /// The plain answer for a reason: status and help from the table of reasons, a challenge with
    /// each 402, `Retry-After` where the same request can succeed later.
    pub(crate) fn of(reason: Reason) -> Self {
        let status = reason.status();
        Self {
            status,
            code: Cow::Borrowed(reason.code()),
            help: reason.help(),
            retry_after_secs: retry_after(reason, status),
            transaction: None,
            challenged: status == StatusCode::PAYMENT_REQUIRED.as_u16(),
            receipt: None,
            payer: None,
            version: Version::default(),
        }
    }

    /// A verdict's reason about a payment of `payer`.
    pub(crate) fn of_verdict(code: Option<&str>, payer: &str) -> Self {
        Self { payer: Some(payer.to_owned()), ..Self::of_foreign(code.unwrap_or_default()) }
    }

    /// A code that is not ours is passed on if it looks like a code.
    fn of_foreign(code: &str) -> Self {
        if let Some(reason) = Reason::from_code(code) {
            return Self::of(reason);
        }
        let mut refusal = Self::of(Reason::UnexpectedVerifyError);
        if is_code(code) {
            refusal.code = Cow::Owned(code.to_owned());
            refusal.help = "The facilitator does not accept this payment.";
        }
        if code == PERMIT2_ALLOWANCE_REQUIRED {
            refusal.status = StatusCode::PRECONDITION_FAILED.as_u16();
        }
        refusal
    }

    /// The settlement was asked for and its outcome is not proven. Never a 402, never a 502.
    pub(crate) fn pending(receipt: SettleResponse) -> Self {
        let transaction = Some(receipt.transaction.clone()).filter(|hash| !hash.is_empty());
        Self {
            transaction,
            receipt: Some(Box::new(receipt)),
            ..Self::of(Reason::SettlementPending)
        }
    }

    /// Settlement was refused with a terminal reason.
    pub(crate) fn settle_refused(receipt: SettleResponse, challenged: bool) -> Self {
        let code = receipt.error_reason.clone().unwrap_or_default();
        let reason = Reason::from_code(&code);
        Self {
            status: StatusCode::PAYMENT_REQUIRED.as_u16(),
            help: reason.map_or("The facilitator refused to settle this payment.", Reason::help),
            code: Cow::Owned(code),
            retry_after_secs: None,
            challenged,
            receipt: Some(Box::new(receipt)),
            ..Self::of(Reason::UnexpectedSettleError)
        }
    }

    /// With the receipt of the money that moved, if this says that it is owed.
    pub(crate) fn with_receipt_if_owed(mut self, receipt: SettleResponse) -> Self {
        if self.code == Reason::PaymentOwed.code() {
            self.receipt = Some(Box::new(receipt));
        }
        self
    }

    /// With another status than the reason's own.
    pub(crate) const fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status.as_u16();
        self
    }

    /// To a buyer who speaks this version.
    pub(crate) const fn in_version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// Naming the transaction that settled the payment.
    pub(crate) fn with_transaction(mut self, transaction: &str) -> Self {
        self.transaction = Some(transaction.to_owned()).filter(|hash| !hash.is_empty());
        self
    }

    /// The code that is answered.
    pub(crate) fn code(&self) -> &str {
        &self.code
    }

    /// The transaction that it names.
    pub(crate) fn transaction(&self) -> Option<&str> {
        self.transaction.as_deref()
    }

    /// How the attempt is counted.
    pub(crate) fn outcome(&self) -> &'static str {
        match self.status {
            402 | 412 => "refused",
            409 => "duplicate",
            503 if self.receipt.is_some() => "pending",
            _ => "error",
        }
    }

    /// What a challenge says in `error`.
    fn challenge_error(&self) -> &str {
        if self.code == Reason::PaymentRequired.code() { FIRST_ERROR } else { &self.code }
    }

    /// The answer without a challenge.
    pub(crate) fn into_response(self) -> Response<GateBody> {
        let body = self.body().to_string();
        self.respond(body)
    }

    /// The answer with a fresh challenge for this URL, where [`Refusal::challenged`] asks for it.
    pub(crate) fn with_challenge(
        self,
        page: &Page,
        origin: &Origin,
        uri: &Uri,
    ) -> Response<GateBody> {
        let challenge = page.write(origin, uri, self.challenge_error(), self.payer.as_deref());
        let mut response = self.respond(challenge.body);
        if let Some(value) = challenge.header {
            response.headers_mut().insert(PAYMENT_REQUIRED, value);
        }
        response
    }

    fn respond(self, body: impl Into<Bytes>) -> Response<GateBody> {
        let mut response = json_response(self.status, body);
        let headers = response.headers_mut();
        if let Some(receipt) = self.receipt.as_deref() {
            self.version.put_receipt(headers, receipt);
        }
        if let Some(secs) = self.retry_after_secs {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        response
    }

    fn body(&self) -> Value {
        let mut body = Map::new();
        body.insert("error".to_owned(), json!(self.version.code(&self.code)));
        body.insert("message".to_owned(), json!(self.help));
        if let Some(transaction) = &self.transaction {
            body.insert("transaction".to_owned(), json!(transaction));
        }
        Value::Object(body)
    }
}

fn retry_after(reason: Reason, status: u16) -> Option<u64> {
    let again = reason.retry() == Retry::SameAgain && matches!(status, 409 | 429 | 502..=504);
    match reason {
        Reason::SettlementPending => Some(limits::PENDING_RETRY_AFTER_SECS),
        _ => again.then_some(limits::RETRY_AFTER_SECS),
    }
}

/// It has the form of a reason code, so that nothing else of a facilitator's answer gets out.
pub(crate) fn is_code(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= limits::MAX_CODE_BYTES
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// The header value that carries a message; base64, so nothing can break out of it.
pub(crate) fn header_value<T: Serialize>(message: &T) -> Option<HeaderValue> {
    let text = names::encode(message).ok()?;
    HeaderValue::try_from(text).ok()
}

fn json_response(status: u16, body: impl Into<Bytes>) -> Response<GateBody> {
    let mut response = Response::new(GateBody::full(body));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, JSON);
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    response
}
