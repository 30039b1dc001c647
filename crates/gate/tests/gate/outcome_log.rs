//! Each payment leaves exactly one line in the log and one count, whatever becomes of it, and the
//! line names the request.

use std::sync::Arc;
use std::time::Duration;

use faregate_gate::GateBody;
use faregate_protocol::{FacilitatorError, Reason};
use http::{Request, Response};
use serde_json::Value;
use tower::ServiceExt;

use crate::captured_log::Log;
use crate::faulty_ledger::{FaultyLedger, When};
use crate::payment::{fresh, key};
use crate::scripted_facilitator::{Outcome, TRANSACTION, Verdict};
use crate::world::{Resource, SECRET, World, answering, config, memory, priced_route, request};

const LINE: &str = ": payment payment=";

fn named(id: &str, payment: &Value) -> Request<GateBody> {
    let mut request = request("GET", "/weather", Some(payment));
    request.headers_mut().insert("x-request-id", id.parse().unwrap());
    request
}

/// The one line of a payment, and that it is counted once under the same word.
#[track_caller]
fn expect_line(log: &Log, world: &World, payment: &Value, level: &str, status: &str, rest: &str) {
    let short = format!("{LINE}\"{}\"", key(payment).short());
    let lines = log.lines(&short);
    let [line] = &lines[..] else { panic!("{} lines in\n{}", lines.len(), log.text()) };
    for part in [
        level,
        "request_id=id-of-",
        "route=\"weather\"",
        &format!("status=\"{status}\""),
        "network=\"eip155:84532\"",
        "duration_ms=",
        rest,
    ] {
        assert!(line.contains(part), "{part:?} is not in {line}");
    }
    let labels = format!(r#"network="eip155:84532",scheme="exact",status="{status}""#);
    world.expect_metric(&format!("x402_payment_attempts_total{{{labels}}}"), 1);
}

fn transaction() -> String {
    format!("transaction=\"{TRANSACTION}\"")
}

#[tokio::test]
async fn every_end_of_a_payment_is_one_line() {
    let (log, _here) = Log::capture();
    let refused = || Outcome::Refused(Reason::EvmInsufficientBalance.code().to_owned());
    let invalid = || Verdict::Invalid(Reason::EvmSignature.code().to_owned());
    for (verdict, outcome, level, status, rest) in [
        (None, None, " INFO ", "success", transaction().as_str()),
        (Some(invalid()), None, " INFO ", "refused", "code=\"invalid_exact_evm_signature\""),
        (Some(Verdict::Hang), None, " INFO ", "error", "code=\"facilitator_unavailable\""),
        (None, Some(refused()), " INFO ", "refused", "code=\"invalid_exact_evm_insufficient"),
        (
            None,
            Some(Outcome::Fail(FacilitatorError::TimedOut)),
            " WARN ",
            "pending",
            "code=\"settlement_pending\"",
        ),
        (
            None,
            Some(Outcome::RefusedWith(Reason::DuplicateSettlement, TRANSACTION)),
            " WARN ",
            "pending",
            &transaction(),
        ),
    ] {
        let world = World::new(memory());
        verdict.into_iter().for_each(|verdict| world.facilitator.will_say(verdict));
        outcome.into_iter().for_each(|outcome| world.facilitator.will_settle(outcome));
        let payment = fresh();
        world.send(named("id-of-it", &payment)).await;
        expect_line(&log, &world, &payment, level, status, rest);
    }
}

#[tokio::test]
async fn a_failed_resource_is_one_line() {
    let (log, _here) = Log::capture();
    let failing: Resource = Arc::new(|_| {
        Box::pin(async { Response::builder().status(500).body(GateBody::full("no")).unwrap() })
    });
    let world = World::with(memory(), config(vec![priced_route()]), failing);
    let payment = fresh();
    world.send(named("id-of-failure", &payment)).await;
    expect_line(&log, &world, &payment, " INFO ", "handler_failed", "");
    let world = World::with(memory(), config(vec![priced_route()]), Arc::new(|_| panic!("no")));
    let payment = fresh();
    world.send(named("id-of-panic", &payment)).await;
    expect_line(&log, &world, &payment, " INFO ", "error", "code=\"internal_error\"");
}

#[tokio::test]
async fn a_client_that_is_gone_leaves_its_line() {
    let (log, _here) = Log::capture();
    for (outcome, level, status) in [
        (Outcome::PaidAfter(Duration::from_millis(50)), " INFO ", "abandoned"),
        (Outcome::Hang, " WARN ", "pending"),
    ] {
        let world = World::new(memory());
        let payment = fresh();
        world.facilitator.will_settle(outcome);
        let asked = world.service().oneshot(named("id-of-gone", &payment));
        assert!(tokio::time::timeout(Duration::from_millis(20), asked).await.is_err());
        assert!(world.gate.wait_idle(Duration::from_secs(5)).await);
        expect_line(&log, &world, &payment, level, status, "");
    }
}

#[tokio::test]
async fn a_repeat_is_a_line_of_its_own() {
    let (log, _here) = Log::capture();
    let world = World::new(memory());
    let payment = fresh();
    assert_eq!(world.send(named("id-of-first", &payment)).await.status, 200);
    assert_eq!(world.send(named("id-of-repeat", &payment)).await.status, 200);
    let lines = log.lines(&format!("{LINE}\"{}\"", key(&payment).short()));
    let [first, repeat] = &lines[..] else { panic!("{lines:?}") };
    assert!(first.contains("request_id=id-of-first") && first.contains("status=\"success\""));
    assert!(repeat.contains("request_id=id-of-repeat") && repeat.contains("status=\"duplicate\""));
    assert!(repeat.contains(&transaction()));
    for status in ["success", "duplicate"] {
        let labels = format!(r#"network="eip155:84532",scheme="exact",status="{status}""#);
        world.expect_metric(&format!("x402_payment_attempts_total{{{labels}}}"), 1);
    }
}

#[tokio::test]
async fn an_answer_that_could_not_be_granted_is_a_warning() {
    let (log, _here) = Log::capture();
    // Look up, claim, EXECUTED, SETTLING, SETTLED; then the ledger is gone.
    let store = FaultyLedger::new(memory(), When::Before, 5, usize::MAX);
    let world = World::with(Arc::new(store), config(vec![priced_route()]), answering(SECRET));
    let payment = fresh();
    world.send(named("id-of-loss", &payment)).await;
    expect_line(&log, &world, &payment, " WARN ", "pending", &transaction());
}

#[tokio::test]
async fn whatever_is_said_about_a_request_names_it() {
    let (log, _here) = Log::capture();
    let world = World::new(memory());
    world.facilitator.will_say(Verdict::Fail(FacilitatorError::Nonsense("x")));
    world.send(named("id-of-nonsense", &fresh())).await;
    let lines = log.lines(" WARN ");
    assert!(!lines.is_empty());
    assert!(lines.iter().all(|line| line.contains("request_id=id-of-nonsense")), "{lines:?}");
}
