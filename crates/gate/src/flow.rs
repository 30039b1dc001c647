//! The life of a priced request, from its header to the grant.
//!
//! Everything after the request was read runs in a task of its own: a client that disconnects
//! changes nothing about what is claimed, kept, settled and recorded. Only the grant is made by the
//! request's own future, right before its answer is returned: GRANTED means that somebody was there
//! to be answered. Before it and after it the same payment gets the answer that was kept.

use std::sync::Arc;

use faregate_ledger::ClaimState;
use faregate_protocol::{Reason, SettleResponse};
use faregate_telemetry::crash_point;
use futures::future::BoxFuture;
use http::{Request, Response, Uri, header};
use tokio::sync::oneshot;
use tracing::Instrument;

use crate::answers::Refusal;
use crate::body::{BoxError, GateBody};
use crate::cors;
use crate::gate::{Gate, Working};
use crate::kept_answer::{self, Unreadable};
use crate::lease::{Lease, Stop};
use crate::receipt;
use crate::route::{Route, SettleMode};
use crate::version::Version;

mod before_run;
mod claim;
mod held_back;
mod known;
mod outcome;
mod present;
mod ready;
mod run;
pub(crate) mod settle;
mod verify;

use held_back::Room;
use known::Standing;
use outcome::Outcome;
pub(crate) use present::Presented;
use ready::Ready;
use run::Ran;
pub(crate) use verify::Seen;

/// The resource behind the gate, to be run at most once.
pub(crate) type Run = Box<
    dyn FnOnce(Request<GateBody>) -> BoxFuture<'static, Result<Response<GateBody>, BoxError>>
        + Send,
>;

/// What a flow has come to.
enum End {
    /// Paid or on the books, held, and not granted yet.
    Ready(Box<Ready>),
    /// Granted before: the same answer again.
    Repeated { answer: Response<GateBody>, transaction: String },
    /// The application's own failure; nothing is granted.
    Failed(Response<GateBody>),
}

/// Asks for money on a priced route; none if the request brings a payment.
pub(crate) fn unpaid<B>(
    gate: &Gate,
    route: &Route,
    request: &Request<B>,
) -> Option<Response<GateBody>> {
    let headers = request.headers();
    if present::has_payment(headers) {
        return None;
    }
    let mut response = refused(gate, route, request.uri(), Refusal::of(Reason::PaymentRequired));
    if headers.contains_key(header::ORIGIN) {
        cors::expose(response.headers_mut());
    }
    Some(response)
}

/// Answers a request that brings a payment on a priced route.
pub(crate) async fn priced(
    gate: &Arc<Gate>,
    route: Arc<Route>,
    request: Request<GateBody>,
    run: Run,
) -> Response<GateBody> {
    let uri = request.uri().clone();
    let is_cross_origin = request.headers().contains_key(header::ORIGIN);
    let ended = attempt(gate, &route, request, run).await;
    let mut response = ended.unwrap_or_else(|refusal| refused(gate, &route, &uri, refusal));
    if is_cross_origin {
        cors::expose(response.headers_mut());
    }
    response
}

/// With a fresh challenge where the refusal asks for one.
fn refused(gate: &Gate, route: &Route, uri: &Uri, refusal: Refusal) -> Response<GateBody> {
    match gate.page(route).filter(|_| refusal.challenged) {
        Some(page) => refusal.with_challenge(page, &gate.origin, uri),
        None => refusal.into_response(),
    }
}

/// The request takes a seat and is looked at.
async fn attempt(
    gate: &Arc<Gate>,
    route: &Arc<Route>,
    request: Request<GateBody>,
    run: Run,
) -> Result<Response<GateBody>, Refusal> {
    let working = gate.working().ok_or_else(|| Refusal::of(Reason::QueueFull))?;
    let presented = present::read(gate, route, request).await?;
    crash_point!("G1");
    pursue_detached(gate, presented, run, working).await
}

async fn pursue_detached(
    gate: &Arc<Gate>,
    presented: Presented,
    run: Run,
    working: Working,
) -> Result<Response<GateBody>, Refusal> {
    let version = presented.version;
    let mut outcome = Outcome::of(&presented, &gate.metrics);
    let (send, receive) = oneshot::channel();
    let task_gate = Arc::clone(gate);
    let flow = async move {
        let _working = working;
        let ended = pursue(&task_gate, presented, run).await;
        outcome.worked(&ended);
        // Without a receiver the answer is dropped, once it is kept, and with it the lease: the
        // claim stays where it is and the buyer's retry goes on from there.
        if let Err((Ok(End::Ready(mut ready)), _outcome)) = send.send((ended, outcome)) {
            ready.keep().await;
        }
    };
    tokio::spawn(flow.in_current_span());
    let Ok((ended, mut outcome)) = receive.await else {
        return Err(Refusal::of(Reason::InternalError));
    };
    let answered = match ended {
        Ok(End::Ready(ready)) => {
            let granted = ready.grant().await;
            match &granted {
                Ok(_) => outcome.granted(),
                Err(refusal) => outcome.refused(refusal),
            }
            granted
        }
        Ok(End::Repeated { answer, .. } | End::Failed(answer)) => Ok(answer),
        Err(refusal) => Err(refusal),
    };
    answered.map_err(|refusal| refusal.in_version(version))
}

/// What was kept, as it goes out to a buyer of this version. What cannot be read now is not lost.
fn with_receipt(
    opened: Result<Response<GateBody>, Unreadable>,
    receipt: &SettleResponse,
    version: Version,
) -> Result<Response<GateBody>, Refusal> {
    let unsendable = || Refusal::of(Reason::InternalError);
    let mut answer = opened.map_err(|unreadable| match unreadable {
        Unreadable::NoAnswer => unsendable(),
        Unreadable::Ledger(error) => {
            tracing::error!(%error, "a kept answer could not be read");
            Refusal::pending(settle::unproven(receipt))
        }
    })?;
    version.put_receipt(answer.headers_mut(), receipt).then_some(answer).ok_or_else(unsendable)
}

async fn pursue(gate: &Arc<Gate>, presented: Presented, run: Run) -> Result<End, Refusal> {
    let network = presented.asked.payment_requirements.network.clone();
    let _active = gate.metrics.active_payment(network.as_str());
    let standing = known::standing(gate, &presented).await?;
    go_on(gate, presented, run, standing).await
}

async fn go_on(
    gate: &Arc<Gate>,
    presented: Presented,
    run: Run,
    standing: Standing,
) -> Result<End, Refusal> {
    let (version, key) = (presented.version, presented.key);
    match standing {
        Standing::Fresh => fresh(gate, presented, run).await,
        Standing::Ready { lease, receipt, answer } => {
            let asks_later = (!receipt.success).then(|| gate.dispatcher()).flatten();
            let receipt = *receipt;
            Ok(End::Ready(Ready::kept(lease, answer, receipt, version, asks_later)))
        }
        Standing::Unserved { lease, receipt, from } => {
            unserved(gate, presented, run, (lease, from), *receipt).await
        }
        Standing::Granted { receipt, answer } => {
            let opened = kept_answer::open(&gate.store, key, answer).await;
            let answer = with_receipt(opened, &receipt, version)?;
            Ok(End::Repeated { answer, transaction: receipt.transaction })
        }
    }
}

/// Verify, claim, and on in the order of the route.
async fn fresh(gate: &Arc<Gate>, presented: Presented, run: Run) -> Result<End, Refusal> {
    if let Some(unfit) = presented.unfit {
        return Err(Refusal::of(unfit));
    }
    let seen = match verify::verify(gate, &presented).await {
        Ok(seen) => seen,
        Err(refusal) => {
            // The same payment, sent twice, may have settled meanwhile: to the chain it is a used
            // authorization, and its buyer must not be told to pay again.
            return match known::standing(gate, &presented).await? {
                Standing::Fresh => Err(refusal),
                standing => Box::pin(go_on(gate, presented, run, standing)).await,
            };
        }
    };
    let claim::Held { lease, on_the_books } = claim::claim(gate, &presented, &seen).await?;
    crash_point!("G3");
    if presented.route.settle == SettleMode::BeforeRun {
        return before_run::fresh(gate, presented, run, lease).await;
    }
    run_first(gate, presented, run, lease, on_the_books).await
}

/// Run, keep the answer, and settle; where the money is on the books it follows, and the answer is
/// kept with its grant.
async fn run_first(
    gate: &Arc<Gate>,
    presented: Presented,
    run: Run,
    mut lease: Lease,
    on_the_books: bool,
) -> Result<End, Refusal> {
    if !presented.route.rerun && !lease.start_handler().await.map_err(nothing_sent)? {
        release(&mut lease, Reason::HandlerInterrupted.code()).await?;
        return Err(Refusal::of(Reason::HandlerInterrupted));
    }
    let (asked, payer) = (presented.asked.clone(), presented.payer.clone());
    let version = presented.version;
    let ran = run::run(gate, presented, run, Room::MemoryAndLedger, &lease).await;
    match ran.map_err(nothing_sent)? {
        Ran::Good(answer) => {
            if on_the_books {
                let receipt = receipt::pending(&asked.payment_requirements.network, "", &payer);
                let (asks_later, held) = (gate.dispatcher(), (answer, asked));
                let ready = Ready::on_the_books(lease, held, receipt, version, asks_later);
                return Ok(End::Ready(ready));
            }
            crash_point!("G6");
            lease.keep(&answer, &asked).await.map_err(nothing_sent)?;
            crash_point!("G7");
            let receipt = settle::first(gate, &mut lease, &asked, &payer).await?;
            Ok(End::Ready(Ready::kept(lease, answer, receipt, version, None)))
        }
        Ran::Failed(answer) => {
            release(&mut lease, "handler_failed").await?;
            Ok(End::Failed(answer))
        }
        Ran::Broken(reason) => {
            release(&mut lease, reason.code()).await?;
            Err(Refusal::of(reason))
        }
    }
}

/// The money moved and there is no answer for it.
async fn unserved(
    gate: &Arc<Gate>,
    presented: Presented,
    run: Run,
    (lease, from): (Lease, ClaimState),
    receipt: SettleResponse,
) -> Result<End, Refusal> {
    let was_running = from == ClaimState::Executing;
    if was_running && !presented.route.rerun {
        return Err(owe(lease, from, &receipt, Reason::HandlerInterrupted.code()).await);
    }
    if was_running || presented.route.settle == SettleMode::BeforeRun {
        return before_run::serve(gate, presented, run, (lease, from), receipt).await;
    }
    paid_before(gate, presented, run, lease, receipt).await
}

/// There is nothing to settle for.
async fn release(lease: &mut Lease, why: &str) -> Result<(), Refusal> {
    claim::release(lease, ClaimState::Verified, why).await.map_err(nothing_sent)
}

/// The money moved in an earlier request whose answer was not kept: run again and grant, settle
/// nothing.
async fn paid_before(
    gate: &Arc<Gate>,
    presented: Presented,
    run: Run,
    lease: Lease,
    receipt: SettleResponse,
) -> Result<End, Refusal> {
    let (unproven, version) = (settle::unproven(&receipt), presented.version);
    if !presented.route.rerun {
        let why = Reason::HandlerInterrupted.code();
        return Err(owe(lease, ClaimState::Settled, &receipt, why).await);
    }
    match run::run(gate, presented, run, Room::Memory, &lease).await {
        Ok(Ran::Good(answer)) => Ok(End::Ready(Ready::kept(lease, answer, receipt, version, None))),
        Ok(Ran::Failed(mut answer)) => {
            // Still redeemable: the receipt tells the buyer not to pay again.
            version.put_receipt(answer.headers_mut(), &receipt);
            Ok(End::Failed(answer))
        }
        Ok(Ran::Broken(_)) | Err(_) => Err(Refusal::pending(unproven)),
    }
}

/// The money moved and its answer cannot be given: the payee owes it.
async fn owe(mut lease: Lease, from: ClaimState, receipt: &SettleResponse, why: &str) -> Refusal {
    let evidence = serde_json::json!({ "reason": why });
    let stored = lease.step(from, ClaimState::Credit, None, evidence).await;
    match stored {
        Ok(()) => {
            let transaction = receipt.transaction.as_str();
            tracing::error!(transaction, why, "paid, and not served; the payer is owed");
            Refusal::of(Reason::PaymentOwed).with_transaction(transaction)
        }
        Err(_) => Refusal::pending(settle::unproven(receipt)),
    }
}

/// A step before settlement was not made. Nothing was charged by us; whoever holds the claim now
/// goes on.
fn nothing_sent(stop: Stop) -> Refusal {
    match stop {
        Stop::Lost => Refusal::of(Reason::PaymentInProgress)
            .with_status(http::StatusCode::SERVICE_UNAVAILABLE),
        Stop::Ledger(error) => {
            tracing::error!(%error, "the ledger failed before settlement");
            Refusal::of(Reason::LedgerUnavailable)
        }
    }
}
