//! Answers that are too large to be held in memory: they wait in the ledger, part by part, and
//! nothing about them is different for who pays.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faregate_gate::{GateBody, GateConfig, limits};
use faregate_ledger::{
    BodyParts, ClaimMove, ClaimState, ClaimStore, Hold, StoredAnswer, StoredBody,
};
use faregate_protocol::{PaymentPayload, PaymentRequest};
use futures::stream;
use http::{Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, StreamBody};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::abandoned::claimed;
use crate::faulty_ledger::{FaultyLedger, Latch, When};
use crate::interrupted::{opened, process};
use crate::payment::{fresh, key, now, requirements};
use crate::scripted_facilitator::{Outcome, TRANSACTION};
use crate::world::{Resource, Seen, World, config, on_both_stores, priced_route, request};

on_both_stores! {
    answers_of_every_size_are_the_bytes_of_the_application
    a_streamed_answer_is_kept_in_parts_and_told_with_its_length
    an_answer_above_the_limit_leaves_nothing_behind
    an_answer_that_breaks_off_leaves_nothing_behind
    an_answer_that_is_too_slow_leaves_nothing_behind
    what_is_refused_by_the_facilitator_leaves_nothing_behind
    a_head_alone_is_small_whatever_length_it_states
    who_hangs_up_during_delivery_gets_the_whole_again
    a_small_answer_costs_no_more_and_a_large_one_a_write_for_each_part
    a_large_answer_survives_a_fault_at_every_call
    an_answer_whose_parts_cannot_be_read_is_neither_granted_nor_lost
    a_delivery_that_the_ledger_fails_breaks_off_and_is_made_again
    parts_of_who_died_while_the_application_answered_are_swept
    a_lost_lease_stops_an_answer_in_its_middle
    a_forgotten_answer_is_told_as_used
}

const PART: usize = limits::ANSWER_PART_BYTES;
const LIMIT: usize = 4 * PART;
/// Of an answer whose request names no size.
const SIZE: usize = 2 * PART + 7;
const GONE_MS: u64 = 1;

/// No two places of it look alike, so that a part in another's place shows.
fn bytes(size: usize) -> Vec<u8> {
    (0..size.div_ceil(8)).flat_map(|n| n.to_be_bytes()).take(size).collect()
}

fn sizes() -> GateConfig {
    let mut config = config(vec![priced_route()]);
    config.limits.max_answer_bytes = LIMIT;
    config.lease_ms = 5_000;
    config
}

fn size_of(request: &Request<GateBody>) -> usize {
    request.uri().query().map_or(SIZE, |query| query.parse().unwrap())
}

/// Answers with as many bytes as the query says, in one piece.
fn whole() -> Resource {
    Arc::new(|request| {
        let size = size_of(&request);
        Box::pin(async move { Response::new(GateBody::full(bytes(size))) })
    })
}

/// The same in pieces of an odd size, without telling its length; then `end`.
fn streamed(end: Option<std::io::ErrorKind>) -> Resource {
    const PIECE: usize = 10_007;
    Arc::new(move |request| {
        let all = bytes(size_of(&request));
        let pieces: Vec<_> = all.chunks(PIECE).map(Bytes::copy_from_slice).collect();
        let pieces = pieces.into_iter().map(|piece| Ok(Frame::data(piece)));
        let end = end.map(|kind| Err(std::io::Error::from(kind)));
        let body = GateBody::new(StreamBody::new(stream::iter(pieces.chain(end))));
        Box::pin(async move { Response::new(body) })
    })
}

fn uri(size: usize) -> String {
    format!("/weather?{size}")
}

/// Parts of any run that are in the ledger.
async fn parts_of(store: &Arc<dyn ClaimStore>, payment: &Value) -> u32 {
    let claim = store.find_claim(&key(payment)).await.unwrap().unwrap();
    let mut count = 0;
    for (epoch, number) in (0..=claim.epoch).flat_map(|epoch| (0..8).map(move |n| (epoch, n))) {
        let body = BodyParts { epoch, count: u32::MAX, bytes: 0 };
        let part = store.find_part(&key(payment), &body, number).await.unwrap();
        count += u32::from(part.is_some());
    }
    count
}

#[track_caller]
fn assert_sold(seen: &Seen, size: usize) {
    assert_eq!((seen.status.as_u16(), seen.body.len()), (200, size));
    assert_eq!(seen.header("content-length"), size.to_string());
    assert!(seen.body == bytes(size), "other bytes");
    assert!(seen.receipt().unwrap().success);
}

async fn answers_of_every_size_are_the_bytes_of_the_application(store: Arc<dyn ClaimStore>) {
    let threshold = limits::MAX_ANSWER_IN_MEMORY_BYTES;
    let cases = [
        (0, 0),
        (threshold - 1, 0),
        (threshold, 0),
        (threshold + 1, 2),
        (3 * PART + 7, 4),
        (LIMIT - 1, 4),
        (LIMIT, 4),
    ];
    for (resource, how) in [(whole(), "whole"), (streamed(None), "streamed")] {
        let world = World::with(Arc::clone(&store), sizes(), resource);
        for (size, parts) in cases {
            let payment = fresh();
            let first = world.pay(&uri(size), &payment).await;
            assert_sold(&first, size);
            assert_eq!(parts_of(&store, &payment).await, parts, "{how} {size}");
            let again = world.pay(&uri(size), &payment).await;
            assert!(again.answer() == first.answer(), "{how} {size}");
            let restarted = world.restarted(sizes());
            let again = restarted.pay(&uri(size), &payment).await;
            assert!(again.answer() == first.answer(), "{how} {size}");
            assert_eq!(restarted.runs(), 0);
            assert_eq!(world.grants(&key(&payment)).await, 1);
        }
        assert_eq!(world.runs(), cases.len(), "{how}");
        assert_eq!(world.facilitator.settled().len(), cases.len());
    }
}

async fn a_streamed_answer_is_kept_in_parts_and_told_with_its_length(store: Arc<dyn ClaimStore>) {
    let mut tiny = sizes();
    tiny.limits.max_answer_in_memory_bytes = 1000;
    let world = World::with(Arc::clone(&store), tiny, streamed(None));
    for (size, parts) in [(1000, 0), (1001, 1), (PART, 1), (PART + 1, 2)] {
        let payment = fresh();
        let Ok(response) =
            world.service().oneshot(request("GET", &uri(size), Some(&payment))).await;
        assert_eq!(response.body().size_hint().exact(), size.try_into().ok());
        assert_sold(&Seen::of(response).await, size);
        assert_eq!(parts_of(&store, &payment).await, parts, "{size}");
        let kept = store.find_answer(&key(&payment)).await.unwrap().unwrap();
        assert_eq!(matches!(kept.body, StoredBody::Parts(_)), parts > 0, "{size}");
        let journal = store.journal(&key(&payment)).await.unwrap();
        let told = format!("{{\"answer_bytes\":{size}}}");
        assert!(journal.iter().any(|entry| entry.evidence == told), "{journal:?}");
    }
}

/// Refused with this, nothing charged, nothing left; and the same payment may try again.
async fn assert_unsold(world: &World, size: usize, status: u16, code: &str) {
    let payment = fresh();
    for _ in 0..2 {
        let seen = world.pay(&uri(size), &payment).await;
        seen.expect_refusal(status, code);
        assert_eq!(world.state(&key(&payment)).await, Some(ClaimState::Released));
        assert_eq!(parts_of(&world.store, &payment).await, 0, "{code}");
        assert_eq!(world.store.find_answer(&key(&payment)).await.unwrap(), None);
    }
    assert_eq!(world.facilitator.settled().len(), 0);
}

async fn an_answer_above_the_limit_leaves_nothing_behind(store: Arc<dyn ClaimStore>) {
    for resource in [whole(), streamed(None)] {
        let world = World::with(Arc::clone(&store), sizes(), resource);
        assert_unsold(&world, LIMIT + 1, 502, "answer_too_large").await;
        assert_unsold(&world, 3 * LIMIT, 502, "answer_too_large").await;
    }
}

async fn an_answer_that_breaks_off_leaves_nothing_behind(store: Arc<dyn ClaimStore>) {
    let broken = streamed(Some(std::io::ErrorKind::ConnectionReset));
    let world = World::with(store, sizes(), broken);
    for size in [PART / 2, 2 * PART + 7, LIMIT] {
        assert_unsold(&world, size, 502, "upstream_unavailable").await;
    }
}

async fn an_answer_that_is_too_slow_leaves_nothing_behind(store: Arc<dyn ClaimStore>) {
    let stalls: Resource = Arc::new(|request| {
        use futures::StreamExt as _;
        let all = Bytes::from(bytes(size_of(&request)));
        let begins = stream::iter([Ok::<_, std::io::Error>(Frame::data(all))]);
        let body = GateBody::new(StreamBody::new(begins.chain(stream::pending())));
        Box::pin(async move { Response::new(body) })
    });
    let mut route = priced_route();
    route.upstream_timeout = Duration::from_millis(500);
    let config = GateConfig { routes: vec![route], ..sizes() };
    let world = World::with(store, config, stalls);
    assert_unsold(&world, 2 * PART + 7, 504, "upstream_timed_out").await;
}

async fn what_is_refused_by_the_facilitator_leaves_nothing_behind(store: Arc<dyn ClaimStore>) {
    let world = World::with(Arc::clone(&store), sizes(), streamed(None));
    let payment = fresh();
    world.facilitator.will_settle(Outcome::Refused("x".to_owned()));
    let seen = world.pay(&uri(2 * PART + 7), &payment).await;
    assert_eq!(seen.status, 402, "{seen:?}");
    assert_eq!(world.state(&key(&payment)).await, Some(ClaimState::Released));
    assert_eq!(parts_of(&store, &payment).await, 0);
    assert_sold(&world.pay(&uri(2 * PART + 7), &payment).await, 2 * PART + 7);
    assert_eq!((world.runs(), parts_of(&store, &payment).await), (2, 3));
}

async fn a_head_alone_is_small_whatever_length_it_states(store: Arc<dyn ClaimStore>) {
    let head: Resource = Arc::new(|request| {
        assert_eq!(request.method(), "HEAD");
        let length = (3 * LIMIT).to_string();
        let answer = Response::builder().header("content-length", length);
        Box::pin(async move { answer.body(GateBody::empty()).unwrap() })
    });
    let world = World::with(Arc::clone(&store), sizes(), head);
    let payment = fresh();
    let mut answers = Vec::new();
    for _ in 0..2 {
        let seen = world.send(request("HEAD", "/weather", Some(&payment))).await;
        assert_eq!((seen.status.as_u16(), seen.body.len()), (200, 0));
        assert_eq!(seen.header("content-length"), (3 * LIMIT).to_string());
        answers.push(seen);
    }
    assert!(answers[0].answer() == answers[1].answer());
    assert_eq!((world.runs(), parts_of(&store, &payment).await), (1, 0));
}

async fn who_hangs_up_during_delivery_gets_the_whole_again(store: Arc<dyn ClaimStore>) {
    let world = World::with(store, sizes(), whole());
    let (size, payment) = (3 * PART + 7, fresh());
    for taken in 0..4 {
        let asked = request("GET", &uri(size), Some(&payment));
        let Ok(mut response) = world.service().oneshot(asked).await;
        assert_eq!(response.status(), 200);
        for _ in 0..taken {
            let frame = response.body_mut().frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap().len(), PART, "one part at a time");
        }
        drop(response);
        assert_eq!(world.state(&key(&payment)).await, Some(ClaimState::Granted));
    }
    assert_sold(&world.pay(&uri(size), &payment).await, size);
    assert_eq!((world.runs(), world.facilitator.settled().len()), (1, 1));
    assert_eq!(world.grants(&key(&payment)).await, 1);
}

async fn a_small_answer_costs_no_more_and_a_large_one_a_write_for_each_part(
    store: Arc<dyn ClaimStore>,
) {
    let counting = Arc::new(FaultyLedger::new(store, When::Before, usize::MAX, 0));
    let world = World::with(counting.clone(), sizes(), streamed(None));
    // Look up, claim, EXECUTED, SETTLING, SETTLED, GRANTED; and look up, answer.
    for (size, first, again) in [(PART, 6, 2), (3 * PART + 7, 6 + 4 + 4, 2 + 4)] {
        let (payment, before) = (fresh(), counting.calls());
        assert_sold(&world.pay(&uri(size), &payment).await, size);
        assert_eq!(counting.calls() - before, first, "{size}");
        assert_sold(&world.pay(&uri(size), &payment).await, size);
        assert_eq!(counting.calls() - before, first + again, "{size}");
    }
}

/// Sends the payment until it is served whole; gives how often it was refused.
async fn insist(world: &World, size: usize, payment: &Value, case: &str) -> usize {
    for refused in 0..100 {
        let Ok(response) = world.service().oneshot(request("GET", &uri(size), Some(payment))).await;
        let status = response.status().as_u16();
        match response.into_body().collect().await {
            Ok(body) if status == 200 => {
                assert!(body.to_bytes() == bytes(size), "{case}: other bytes");
                return refused;
            }
            // Cut off: no buyer takes that for an answer.
            Err(_) if status == 200 => {}
            _ => assert!(matches!(status, 409 | 503), "{case}: {status}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{case}: never served")
}

async fn a_large_answer_survives_a_fault_at_every_call(store: Arc<dyn ClaimStore>) {
    let size = PART + 7;
    // A claim whose reply is lost is held until its lease runs out.
    let brief = GateConfig { lease_ms: limits::MIN_LEASE_MS, ..sizes() };
    for when in [When::Before, When::After] {
        let (mut from, mut calls) = (0, usize::MAX);
        while from < calls {
            let case = format!("{when:?} {from}");
            let faulty = Arc::new(FaultyLedger::new(Arc::clone(&store), when, from, 1));
            let world = World::with(faulty.clone(), brief.clone(), whole());
            let payment = fresh();
            insist(&world, size, &payment, &case).await;
            assert!(world.runs() <= 2, "{case}");
            let asked = world.facilitator.settled();
            let ids: HashSet<_> = asked.iter().map(|(_, terms)| terms.settle_id).collect();
            assert_eq!(ids.len(), 1, "{case}: asked under one id");
            assert_eq!(world.grants(&key(&payment)).await, 1, "{case}");
            assert_eq!(parts_of(&store, &payment).await, 2, "{case}");
            // The fault may come to this one.
            assert!(insist(&world, size, &payment, &case).await <= 1, "{case}");
            calls = faulty.calls();
            from += 1;
        }
        assert!(from > 10, "{from} calls");
    }
}

async fn an_answer_whose_parts_cannot_be_read_is_neither_granted_nor_lost(
    store: Arc<dyn ClaimStore>,
) {
    let blind = Arc::new(FaultyLedger::blind(Arc::clone(&store)));
    let world = World::with(blind, sizes(), whole());
    let (size, payment) = (2 * PART + 7, fresh());
    for _ in 0..3 {
        world.pay(&uri(size), &payment).await.expect_refusal(503, "settlement_pending");
        assert_eq!(world.grants(&key(&payment)).await, 0);
        world.until_unheld(&key(&payment)).await;
    }
    assert_eq!((world.runs(), world.facilitator.settled().len()), (1, 1));
    let sighted = World::with(store, sizes(), whole());
    assert_sold(&sighted.pay(&uri(size), &payment).await, size);
    assert_eq!(sighted.runs(), 0);
}

async fn a_delivery_that_the_ledger_fails_breaks_off_and_is_made_again(store: Arc<dyn ClaimStore>) {
    let (size, payment) = (3 * PART + 7, fresh());
    let sold = World::with(Arc::clone(&store), sizes(), whole());
    assert_sold(&sold.pay(&uri(size), &payment).await, size);
    // Look up, answer, first part; then this one.
    let faulty = FaultyLedger::new(Arc::clone(&store), When::Before, 4, 1);
    let world = World::with(Arc::new(faulty), sizes(), whole());
    let Ok(response) = world.service().oneshot(request("GET", &uri(size), Some(&payment))).await;
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    let mut taken = 0;
    let broken = loop {
        match body.frame().await {
            Some(Ok(frame)) => taken += frame.into_data().unwrap().len(),
            broken => break broken,
        }
    };
    assert!(matches!(broken, Some(Err(_))), "{broken:?}");
    assert_eq!(taken, 2 * PART);
    assert!(body.frame().await.is_none(), "and it is over");
    assert_sold(&world.pay(&uri(size), &payment).await, size);
    assert_eq!(world.runs(), 0);
}

async fn parts_of_who_died_while_the_application_answered_are_swept(store: Arc<dyn ClaimStore>) {
    let world = World::with(Arc::clone(&store), sizes(), whole());
    let payment = fresh();
    let (hold, _) = claimed(&world, &payment, GONE_MS).await;
    for number in 0..2 {
        assert!(store.keep_part(&hold, number, b"of another run".to_vec()).await.unwrap());
    }
    world.until_unheld(&key(&payment)).await;
    assert_eq!(world.gate.forget_old_answers().await.unwrap(), 0, "nobody has given it up yet");
    world.gate.sweep().await;
    assert_eq!(world.state(&key(&payment)).await, Some(ClaimState::Released));
    assert_eq!(world.gate.forget_old_answers().await.unwrap(), 2);
    assert_eq!(parts_of(&store, &payment).await, 0);
    assert_sold(&world.pay("/weather", &payment).await, SIZE);
    assert_eq!((world.runs(), world.facilitator.settled().len()), (1, 1));
}

/// Calls before the second part: look up, claim, first part.
const SECOND_PART: usize = 3;

async fn a_lost_lease_stops_an_answer_in_its_middle(store: Arc<dyn ClaimStore>) {
    let latch = Latch::closed();
    let waiting = FaultyLedger::waiting(Arc::clone(&store), When::Before, SECOND_PART, &latch);
    let world = World::with(Arc::new(waiting), sizes(), whole());
    let (size, payment) = (3 * PART + 7, fresh());
    let thief = async {
        latch.reached().await;
        // As another process would see a claim whose lease ran out while this one slept.
        let claim = store.find_claim(&key(&payment)).await.unwrap().unwrap();
        let hold = Hold {
            key: key(&payment),
            token: claim.token,
            epoch: claim.epoch,
            settle_id: claim.new.settle_id,
        };
        store.let_go(&hold).await.unwrap();
        store.take_over(&key(&payment), ClaimState::Verified, 60_000).await.unwrap().unwrap();
        latch.open();
    };
    let uri = uri(size);
    let (seen, ()) = tokio::join!(world.pay(&uri, &payment), thief);
    seen.expect_refusal(503, "payment_in_progress");
    assert_eq!(world.state(&key(&payment)).await, Some(ClaimState::Verified));
    assert_eq!(parts_of(&store, &payment).await, 1, "nothing was stored after it was lost");
    assert_eq!(world.facilitator.settled().len(), 0);
}

async fn a_forgotten_answer_is_told_as_used(store: Arc<dyn ClaimStore>) {
    use ClaimState::{Executed, Settled, Settling};
    let mut brief = sizes();
    brief.answer_retention = Duration::from_secs(60);
    let world = World::with(Arc::clone(&store), brief, whole());
    let mut payment = fresh();
    let ended = (now() - 61).to_string();
    payment["payload"]["authorization"]["validBefore"] = json!(ended);
    let (hold, _) = claimed(&world, &payment, GONE_MS).await;
    let all = bytes(SIZE);
    for (number, part) in (0..).zip(all.chunks(PART)) {
        assert!(store.keep_part(&hold, number, part.to_vec()).await.unwrap());
    }
    let parts = BodyParts { epoch: hold.epoch, count: 3, bytes: SIZE.try_into().unwrap() };
    let headers = vec![("content-length".to_owned(), SIZE.to_string().into_bytes())];
    let answer = StoredAnswer { status: 200, headers, body: StoredBody::Parts(parts) };
    let payload: PaymentPayload = serde_json::from_value(payment.clone()).unwrap();
    let asked = PaymentRequest::new(payload, requirements());
    assert!(store.keep_answer(&hold, &answer, &asked).await.unwrap());
    for (from, to) in [(Executed, Settling), (Settling, Settled)] {
        let transaction = Some(TRANSACTION.to_owned());
        let step = ClaimMove { from, to, transaction, evidence: json!({}) };
        assert!(store.move_claim(&hold, step).await.unwrap());
    }
    world.until_unheld(&key(&payment)).await;
    assert_eq!(world.gate.forget_old_answers().await.unwrap(), 0, "it is owed");
    assert_sold(&world.pay("/weather", &payment).await, SIZE);
    assert_eq!(world.gate.forget_old_answers().await.unwrap(), 4, "a head and three parts");
    let seen = world.pay("/weather", &payment).await;
    seen.expect_refusal(409, "payment_already_used");
    assert_eq!(seen.json()["transaction"], TRANSACTION);
    assert_eq!((world.runs(), parts_of(&store, &payment).await), (0, 0));
}

/// Calls of a payment whose answer has two parts: look up, claim, both parts, EXECUTED, SETTLING,
/// SETTLED, first part, GRANTED, second part.
const CALLS: usize = 10;
/// Of these, the one that keeps the head.
const KEEP: usize = 4;

#[test]
fn a_process_that_dies_at_any_call_is_survived_by_the_whole_answer() {
    for (at, when) in (0..CALLS).flat_map(|at| [When::Before, When::After].map(|when| (at, when))) {
        let case = format!("{at} {when:?}");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.db");
        let (size, payment) = (PART + 7, fresh());
        let mut brief = sizes();
        brief.lease_ms = limits::MIN_LEASE_MS;
        let ran = process(async {
            let latch = Latch::closed();
            let ledger = Arc::new(opened(&path).await);
            let waiting = FaultyLedger::waiting(ledger, when, at, &latch);
            let world = World::with(Arc::new(waiting), brief.clone(), whole());
            let uri = uri(size);
            tokio::select! {
                _ = world.pay(&uri, &payment) => panic!("{case}: nobody waited"),
                () = latch.reached() => {}
            }
            world.runs()
        });
        process(async {
            let ledger = opened(&path).await;
            let store: Arc<dyn ClaimStore> = Arc::new(ledger.clone());
            let world = World::with(Arc::clone(&store), brief, whole());
            insist(&world, size, &payment, &case).await;
            let is_kept = at > KEEP || (at == KEEP && when == When::After);
            assert_eq!(ran, usize::from(at >= 2), "{case}");
            assert_eq!(world.runs(), usize::from(!is_kept), "{case}");
            assert_eq!(insist(&world, size, &payment, &case).await, 0, "{case}");
            assert_eq!(world.grants(&key(&payment)).await, 1, "{case}");
            assert_eq!(parts_of(&store, &payment).await, 2, "{case}: those of one run");
            ledger.close().await;
        });
    }
}

#[test]
fn parts_are_sealed_on_disk() {
    const CANARY: &[u8] = b"canary-in-a-part-on-disk";
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let resource: Resource = Arc::new(|_| {
        let body = CANARY.repeat(3 * PART / CANARY.len());
        Box::pin(async move { Response::new(GateBody::full(body)) })
    });
    process(async {
        let ledger = opened(&path).await;
        let world = World::with(Arc::new(ledger.clone()), sizes(), resource);
        let seen = world.pay("/weather", &fresh()).await;
        assert!(seen.body.starts_with(CANARY));
        ledger.close().await;
    });
    let mut read = 0;
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let content = std::fs::read(entry.unwrap().path()).unwrap();
        read += content.len();
        assert!(!content.windows(CANARY.len()).any(|window| window == CANARY));
    }
    assert!(read > 2 * PART, "the parts were read");
}
