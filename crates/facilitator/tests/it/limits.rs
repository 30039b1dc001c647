//! Clients that go away, many at once, slow or large heads, and the end of the server.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use faregate_facilitator::{Limits, ServeLimits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::description::assert_status_described;
use crate::harness::{Act, Door, door, door_with, good};

async fn connect(door: &Door) -> TcpStream {
    TcpStream::connect(door.url.trim_start_matches("http://")).await.unwrap()
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(5), "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn settle_head(length: usize) -> String {
    format!("POST /settle HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n")
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_cancel_its_settlement() {
    for wait_ms in [0, 1, 5, 20, 60] {
        let door = self::door(Act::Sleep(Duration::from_millis(100))).await;
        let body = good().to_string();
        let mut stream = connect(&door).await;
        stream.write_all(settle_head(body.len()).as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        until("begun", || door.seen.settle_begun.load(Ordering::SeqCst) == 1).await;
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        drop(stream);
        until("ended", || door.seen.settle_ended.load(Ordering::SeqCst) == 1).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(door.seen.settle_begun.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn half_a_body_settles_nothing() {
    let door = self::door(Act::Accept).await;
    let body = good().to_string();
    let mut stream = connect(&door).await;
    stream.write_all(settle_head(body.len()).as_bytes()).await.unwrap();
    stream.write_all(&body.as_bytes()[..body.len() / 2]).await.unwrap();
    drop(stream);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(door.seen.settle_begun.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_body_that_never_ends_is_408() {
    let limits = Limits { body_timeout: Duration::from_millis(50), ..Limits::default() };
    let door = door_with(Act::Accept, limits, ServeLimits::default()).await;
    let mut stream = connect(&door).await;
    stream.write_all(settle_head(100).as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 408");
    assert_status_described("POST", "/settle", 408);
}

#[tokio::test]
async fn beyond_the_bound_is_503_queue_full_and_abandoned_settlements_count() {
    let limits = Limits { max_settling: 2, max_verifying: 0, ..Limits::default() };
    let slow = Act::Sleep(Duration::from_millis(400));
    let door = door_with(slow, limits, ServeLimits::default()).await;
    let body = good().to_string();
    for begun in 1..=2 {
        let mut stream = connect(&door).await;
        stream.write_all(settle_head(body.len()).as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        until("begun", || door.seen.settle_begun.load(Ordering::SeqCst) == begun).await;
    }
    for path in ["/settle", "/verify"] {
        let answer = door.post(path, body.clone()).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
        assert_eq!(answer.body["code"], "queue_full");
    }
    assert_eq!(door.seen.settle_begun.load(Ordering::SeqCst), 2);
    until("ended", || door.seen.settle_ended.load(Ordering::SeqCst) == 2).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(door.post("/settle", body).await.status, 200);
}

#[tokio::test]
async fn a_slow_head_is_cut_and_a_large_one_is_431() {
    let serve_limits =
        ServeLimits { header_read_timeout: Duration::from_millis(100), ..ServeLimits::default() };
    let door = door_with(Act::Accept, Limits::default(), serve_limits).await;
    let mut stream = connect(&door).await;
    stream.write_all(b"POST /settle HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    let begun = Instant::now();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(begun.elapsed() < Duration::from_secs(3));

    let mut stream = connect(&door).await;
    let head = format!("GET /health HTTP/1.1\r\nHost: x\r\nX-Big: {}\r\n\r\n", "a".repeat(70_000));
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 431");
    assert_status_described("GET", "/health", 431);
}

#[tokio::test]
async fn the_end_waits_for_requests_in_flight_but_not_for_ever() {
    for (takes_ms, answered) in [(200, true), (5_000, false)] {
        let serve_limits = ServeLimits { drain: Duration::from_millis(500), ..Default::default() };
        let slow = Act::Sleep(Duration::from_millis(takes_ms));
        let door = door_with(slow, Limits::default(), serve_limits).await;
        let mut stream = connect(&door).await;
        let body = good().to_string();
        stream.write_all(settle_head(body.len()).as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        until("begun", || door.seen.settle_begun.load(Ordering::SeqCst) == 1).await;
        let begun = Instant::now();
        door.stop.send(()).unwrap();
        door.server.await.unwrap().unwrap();
        assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
        if answered {
            let mut answer = vec![0; 12];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(answer, b"HTTP/1.1 200");
        }
    }
}
