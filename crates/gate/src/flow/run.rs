//! Runs the resource and holds its whole answer back.

use std::panic::AssertUnwindSafe;

use faregate_ledger::StoredAnswer;
use faregate_protocol::Reason;
use faregate_telemetry::{RequestId, crash_point};
use futures::FutureExt;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};

use super::Run;
use super::held_back::{self, Held, Room};
use super::present::Presented;
use crate::answer_headers;
use crate::body::{self, Collected, GateBody};
use crate::gate::Gate;
use crate::lease::{Lease, Stop};
use crate::{hop_by_hop, kept_answer, request_headers};

/// What the resource came to.
pub(super) enum Ran {
    /// Below 400 and whole: worth the money.
    Good(StoredAnswer),
    /// 400 or above: the application's own failure, which passes unpaid.
    Failed(Response<GateBody>),
    /// No answer that could be sold.
    Broken(Reason),
}

/// Runs the resource for as long as the claim is held and the route allows.
pub(super) async fn run(
    gate: &Gate,
    presented: Presented,
    run: Run,
    room: Room,
    lease: &Lease,
) -> Result<Ran, Stop> {
    let limit = presented.route.upstream_timeout;
    let method = presented.parts.method.clone();
    let request = request(presented);
    let work = async {
        crash_point!("G4");
        let answered = run(request).await;
        crash_point!("G5");
        match answered {
            Ok(response) => hold_back(gate, &method, response, room, lease).await,
            Err(_) => Ok(Ran::Broken(Reason::UpstreamUnavailable)),
        }
    };
    let guarded = tokio::time::timeout(limit, AssertUnwindSafe(work).catch_unwind());
    match lease.while_held(guarded).await? {
        Ok(Ok(ran)) => ran,
        Ok(Err(_)) => Ok(Ran::Broken(Reason::InternalError)),
        Err(_) => Ok(Ran::Broken(Reason::UpstreamTimedOut)),
    }
}

/// The request as the application gets it.
fn request(presented: Presented) -> Request<GateBody> {
    let Presented { mut parts, body, payer, key, .. } = presented;
    let headers = &mut parts.headers;
    // Before our own headers go in: `Connection` could name them.
    hop_by_hop::remove(headers);
    request_headers::strip_always(headers);
    request_headers::strip_method_overrides(headers);
    request_headers::strip_payment(headers);
    headers.remove(header::EXPECT);
    request_headers::inject(headers, &payer, &key.to_string());
    if let Some(id) = parts.extensions.get::<RequestId>() {
        id.mark(headers);
    }
    if headers.contains_key(header::CONTENT_LENGTH) || !body.is_empty() {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    Request::from_parts(parts, GateBody::full(body))
}

async fn hold_back(
    gate: &Gate,
    method: &Method,
    response: Response<GateBody>,
    room: Room,
    lease: &Lease,
) -> Result<Ran, Stop> {
    let (mut parts, body) = response.into_parts();
    // No final answer, so nothing to sell.
    if parts.status.is_informational() {
        return Ok(Ran::Broken(Reason::UpstreamUnavailable));
    }
    let is_failure = parts.status.is_client_error() || parts.status.is_server_error();
    if is_failure {
        let limit = gate.limits.max_failed_answer_bytes;
        let bytes = match body::collect(body, limit).await {
            Collected::Whole(bytes) | Collected::TooLarge(bytes) => bytes,
            Collected::Broken => return Ok(Ran::Broken(Reason::UpstreamUnavailable)),
        };
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        answer_headers::failed(&mut parts.headers, stated_length(method, parts.status, length));
        return Ok(Ran::Failed(Response::from_parts(parts, GateBody::full(bytes))));
    }
    Ok(match held_back::take(body, &gate.limits, room, lease).await? {
        Held::Whole(body) => {
            let length = stated_length(method, parts.status, body.size());
            answer_headers::paid(&mut parts.headers, length);
            Ran::Good(kept_answer::of(&parts, body))
        }
        Held::TooLarge => Ran::Broken(Reason::AnswerTooLarge),
        Held::Broken => Ran::Broken(Reason::UpstreamUnavailable),
    })
}

/// The length to state; none where there is no body of its own to measure.
fn stated_length(method: &Method, status: StatusCode, bytes: u64) -> Option<u64> {
    let has_body = method != Method::HEAD
        && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    has_body.then_some(bytes)
}
