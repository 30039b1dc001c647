//! What one process keeps or tells, another gets.

use faregate_cache::limits::{ENTRIES_AT_ONCE, ENTRIES_KEPT_FOR, MAX_ENTRY_BYTES, MAX_FACT_BYTES};
use faregate_chain::{NoFact, SecondLayer as _};

use crate::redis_server::RedisServer;
use crate::world::{CHAIN, Process, key, until};

const NAME: &str = "token:1:0xa";

/// The one key there is of a kind.
fn place(server: &RedisServer, kind: &str) -> String {
    let found = server.command(&["KEYS", &format!("faregate:1:*:{kind}*")]);
    assert!(!found.is_empty() && !found.contains('\n'), "{found}");
    found
}

#[tokio::test]
async fn a_fact_is_shared_for_a_time_and_gone_after_flushall() {
    let server = RedisServer::start(&[]);
    let (one, other) = (Process::start(&server.url()).await, Process::start(&server.url()).await);
    assert_eq!(other.answer("token:1:0xa").await, Ok(None));
    one.keep("token:1:0xa", b"yes\0\xff").await;
    assert_eq!(other.answer("token:1:0xa").await, Ok(Some(b"yes\0\xff".to_vec())));
    assert_eq!(other.answer("token:1:0xb").await, Ok(None));
    let seconds: i64 = server.command(&["TTL", &place(&server, "token")]).parse().unwrap();
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
    process.keep("token:1:0xb", b"of another").await;
    let other = place(&server, "token");
    process.keep(NAME, b"yes").await;
    let key = other.replace("0xb", "0xa");
    let key = key.as_str();
    let too_long = vec![b'x'; MAX_FACT_BYTES + 1];
    let put: [(&str, &dyn Fn()); 6] = [
        ("list", &|| drop(server.command(&["RPUSH", key, "x"]))),
        ("stream", &|| drop(server.command(&["XADD", key, "*", "e", "x"]))),
        ("hash", &|| drop(server.command(&["HSET", key, "a", "b"]))),
        ("too long", &|| drop(server.command_with(&["SET", key], &too_long))),
        ("without a mark", &|| drop(server.command(&["SET", key, "yes"]))),
        ("of another key", &|| drop(server.command(&["COPY", &other, key]))),
    ];
    for (case, put) in put {
        server.command(&["DEL", key]);
        put();
        assert_eq!(process.answer(NAME).await, Err(NoFact::Unusable), "{case}");
        process.keep(NAME, case.as_bytes()).await;
    }
    server.command(&["SETRANGE", key, "40", "x"]);
    assert_eq!(process.answer(NAME).await, Err(NoFact::Unusable), "one byte changed");
    process.until_up().await;
}

#[tokio::test]
async fn processes_with_another_key_are_strangers() {
    let server = RedisServer::start(&[]);
    let ours = Process::start(&server.url()).await;
    let theirs = Process::start_with(&server.url(), key(&"ab".repeat(32))).await;
    theirs.until_up().await;
    ours.keep(NAME, b"ours").await;
    ours.layer.tell_refusal(CHAIN, b"ours".to_vec());
    theirs.keep(NAME, b"theirs").await;
    assert_eq!(ours.answer(NAME).await, Ok(Some(b"ours".to_vec())));
    theirs.layer.tell_refusal(CHAIN, b"theirs".to_vec());
    until("each hears its own", async || ours.ear.heard(b"ours") && theirs.ear.heard(b"theirs"))
        .await;
    assert!(!ours.ear.heard(b"theirs") && !theirs.ear.heard(b"ours"));
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
    let stream = place(&server, "refused:1").replace("refused:1", "refused:84532");
    let seconds: u64 = server.command(&["TTL", &stream]).parse().unwrap();
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
    process.layer.tell_refusal(CHAIN, b"first".to_vec());
    until("the first is heard", async || process.ear.heard(b"first")).await;
    let stream = place(&server, "refused:84532");
    let stream = stream.as_str();
    server.command(&["SET", stream, "garbage"]);
    process.layer.tell_refusal(CHAIN, b"after a text".to_vec());
    until("it is told all the same", async || process.ear.heard(b"after a text")).await;
    server.command_with(&["XADD", stream, "*", "e"], &vec![b'x'; MAX_ENTRY_BYTES + 1]);
    server.command(&["XADD", stream, "*", "other", "field"]);
    server.command(&["XADD", stream, "*", "e", "a", "e", "b"]);
    server.command(&["XADD", stream, "*", "e", "without a mark"]);
    process.layer.tell_refusal(CHAIN, b"after garbage".to_vec());
    until("what comes after it is heard", async || process.ear.heard(b"after garbage")).await;
    let none = r#"faregate_cache_lookups_total{layer="redis",kind="refusal",outcome="unusable"} 0"#;
    assert!(!process.shows(none));
    assert_eq!(process.ear.count(), 3);
    process.until_up().await;
}
