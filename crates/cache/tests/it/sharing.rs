//! What one process keeps or tells, another gets.

use faregate_cache::limits::{ENTRIES_AT_ONCE, ENTRIES_KEPT_FOR, MAX_ENTRY_BYTES, MAX_FACT_BYTES};
use faregate_chain::{NoFact, SecondLayer as _};

use crate::redis_server::RedisServer;
use crate::world::{CHAIN, Process, until};

const KEY: &str = "faregate:1:token:1:0xa";
const STREAM: &str = "faregate:1:refused:84532";

#[tokio::test]
async fn a_fact_is_shared_for_a_time_and_gone_after_flushall() {
    let server = RedisServer::start(&[]);
    let (one, other) = (Process::start(&server.url()).await, Process::start(&server.url()).await);
    assert_eq!(other.answer("token:1:0xa").await, Ok(None));
    one.keep("token:1:0xa", b"yes\0\xff").await;
    assert_eq!(other.answer("token:1:0xa").await, Ok(Some(b"yes\0\xff".to_vec())));
    assert_eq!(other.answer("token:1:0xb").await, Ok(None));
    let seconds: i64 = server.command(&["TTL", KEY]).parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    server.command(&["FLUSHALL"]);
    assert_eq!(other.answer("token:1:0xa").await, Ok(None));
    one.keep("token:1:0xa", b"again").await;
    one.until_up().await;
}

#[tokio::test]
async fn o1_what_stands_there_and_is_no_fact_is_not_read_and_is_written_over() {
    let server = RedisServer::start(&[]);
    let process = Process::start(&server.url()).await;
    let too_long = vec![b'x'; MAX_FACT_BYTES + 1];
    let put: [(&str, &dyn Fn()); 4] = [
        ("list", &|| drop(server.command(&["RPUSH", KEY, "x"]))),
        ("stream", &|| drop(server.command(&["XADD", KEY, "*", "e", "x"]))),
        ("hash", &|| drop(server.command(&["HSET", KEY, "a", "b"]))),
        ("too long", &|| drop(server.command_with(&["SET", KEY], &too_long))),
    ];
    for (case, put) in put {
        server.command(&["DEL", KEY]);
        put();
        assert_eq!(process.answer("token:1:0xa").await, Err(NoFact::Unusable), "{case}");
        process.keep("token:1:0xa", case.as_bytes()).await;
    }
    process.until_up().await;
}

#[tokio::test]
async fn a_refusal_is_told_to_all_and_to_those_who_come_later() {
    let server = RedisServer::start(&[]);
    let (one, other) = (Process::start(&server.url()).await, Process::start(&server.url()).await);
    one.layer.tell_refusal(CHAIN, b"first".to_vec());
    one.layer.tell_refusal("1", b"of another chain".to_vec());
    until("the other hears it", async || other.ear.heard(b"first")).await;
    let later = Process::start(&server.url()).await;
    until("who comes later hears it", async || later.ear.heard(b"first")).await;
    assert!(!other.ear.heard(b"of another chain"));
    let seconds: u64 = server.command(&["TTL", STREAM]).parse().unwrap();
    assert!((1..=ENTRIES_KEPT_FOR.as_secs()).contains(&seconds), "{seconds}");
    // More than one answer holds.
    for number in 0..2 * ENTRIES_AT_ONCE {
        one.layer.tell_refusal(CHAIN, number.to_be_bytes().to_vec());
    }
    let last = (2 * ENTRIES_AT_ONCE - 1).to_be_bytes();
    until("all are heard", async || later.ear.heard(&last)).await;
    assert_eq!(later.ear.count(), 2 * ENTRIES_AT_ONCE + 1, "and nothing else");
}

#[tokio::test]
async fn o1_a_stream_of_garbage_is_passed_over_and_a_key_of_another_type_is_cleared() {
    let server = RedisServer::start(&[]);
    let process = Process::start(&server.url()).await;
    server.command(&["SET", STREAM, "garbage"]);
    process.layer.tell_refusal(CHAIN, b"after a text".to_vec());
    until("it is told all the same", async || process.ear.heard(b"after a text")).await;
    server.command_with(&["XADD", STREAM, "*", "e"], &vec![b'x'; MAX_ENTRY_BYTES + 1]);
    server.command(&["XADD", STREAM, "*", "other", "field"]);
    server.command(&["XADD", STREAM, "*", "e", "a", "e", "b"]);
    process.layer.tell_refusal(CHAIN, b"after garbage".to_vec());
    until("what comes after it is heard", async || process.ear.heard(b"after garbage")).await;
    let line = r#"faregate_cache_lookups_total{layer="redis",kind="refusal",outcome="unusable"} 3"#;
    assert!(process.shows(line));
    assert_eq!(process.ear.count(), 2);
    process.until_up().await;
}
