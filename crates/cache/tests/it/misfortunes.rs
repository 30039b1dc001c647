//! The server dies, hangs, is full, is somebody else's, or says half of what it means: nobody waits
//! for it longer than once, and it is used again when it is back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use faregate_cache::limits::{LOOKUP_BUDGET, MAX_WAITING_WRITES};
use faregate_cache::{ProbeError, probe};
use faregate_chain::{NoFact, SecondLayer as _};
use faregate_telemetry::Redacted;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::redis_server::RedisServer;
use crate::world::{CHAIN, MINUTE, Process, until};

const FACT: &str = "token:1:0xa";
const QUESTIONS: u32 = 200;
const MOST_SENT: usize = 64 << 20;

/// After the first question that finds it silent nobody waits any more.
async fn assert_costs_nothing(process: &Process, case: &str) {
    let first = Instant::now();
    assert_eq!(process.fact(FACT).await, Err(NoFact::NoAnswer), "{case}");
    println!("{case}: the first question waited {:?}", first.elapsed());
    let rest = Instant::now();
    for _ in 0..QUESTIONS {
        assert_eq!(process.fact(FACT).await, Err(NoFact::NoAnswer), "{case}");
    }
    // A budget for each would be four seconds.
    assert!(rest.elapsed() < LOOKUP_BUDGET * QUESTIONS / 4, "{case}: {:?}", rest.elapsed());
    process.layer.keep_fact(FACT, b"lost".to_vec(), MINUTE);
    process.layer.tell_refusal(CHAIN, b"lost".to_vec());
}

#[tokio::test]
async fn o1_a_server_that_is_killed_or_hangs_costs_one_budget_and_is_used_again() {
    let mut server = RedisServer::start(&[]);
    let process = Process::start(&server.url()).await;
    process.keep(FACT, b"yes").await;

    server.signal("STOP");
    assert_costs_nothing(&process, "hangs").await;
    assert!(!process.is_up());
    server.signal("CONT");
    until("it is back after the hang", async || {
        process.fact(FACT).await == Ok(Some(b"yes".to_vec()))
    })
    .await;

    server.kill();
    until("the loss is noticed", async || !process.is_up()).await;
    assert_costs_nothing(&process, "killed").await;
    server.start_again();
    until("it is back, and empty", async || process.fact(FACT).await == Ok(None)).await;
    process.layer.tell_refusal(CHAIN, b"new".to_vec());
    until("it tells again", async || process.ear.heard(b"new")).await;
    assert!(!process.ear.heard(b"lost"));
}

#[tokio::test]
async fn o1_a_server_that_is_full_is_read_and_not_written() {
    let server = RedisServer::start(&["--maxmemory-policy", "noeviction"]);
    let process = Process::start(&server.url()).await;
    process.keep(FACT, b"yes").await;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    process.layer.keep_fact(FACT, b"no".to_vec(), MINUTE);
    process.layer.tell_refusal(CHAIN, b"no".to_vec());
    for kind in ["token", "refusal"] {
        let line = format!(r#"faregate_cache_writes_total{{kind="{kind}",outcome="error"}} 1"#);
        until("the refused write is counted", async || process.shows(&line)).await;
    }
    assert_eq!(process.answer(FACT).await, Ok(Some(b"yes".to_vec())));
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    process.keep(FACT, b"again").await;
}

#[tokio::test]
async fn o1_a_wrong_password_is_a_server_that_is_lost() {
    const PASSWORD: &str = "canary-of-the-cache";
    let server = RedisServer::start(&["--requirepass", PASSWORD]);
    for user in ["", "default:wrong@", ":wrong@", "nobody:canary-of-the-cache@"] {
        let url = format!("redis://{user}127.0.0.1:{}", server.port());
        let process = Process::start_unanswered(&url).await;
        assert_costs_nothing(&process, "wrong password").await;
        assert!(!process.is_up(), "{user}");
        let error = probe(&Redacted::new(url)).await.unwrap_err();
        let text = format!("{error} {error:?} {:?}", process.layer);
        assert!(matches!(error, ProbeError::Server(_)), "{text}");
        assert!(!text.contains("canary") && !text.contains("wrong@"), "{text}");
    }
    let url = format!("redis://:{PASSWORD}@127.0.0.1:{}", server.port());
    assert_eq!(probe(&Redacted::new(url.clone())).await, Ok(()));
    Process::start(&url).await;
}

/// Passes everything on until it is told to say only the first bytes of each answer.
async fn half_a_server(port: u16) -> (String, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let halved = Arc::new(AtomicBool::new(false));
    let shared = Arc::clone(&halved);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let (mut asks, mut hears) = client.into_split();
            let (mut says, mut listens) = server.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut asks, &mut listens).await });
            let halved = Arc::clone(&shared);
            tokio::spawn(async move {
                let mut chunk = [0; 4096];
                while let Ok(size @ 1..) = says.read(&mut chunk).await {
                    let size = if halved.load(Ordering::SeqCst) { size.min(2) } else { size };
                    if hears.write_all(&chunk[..size]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (url, halved)
}

#[tokio::test]
async fn o1_an_answer_that_breaks_off_is_no_answer() {
    let server = RedisServer::start(&[]);
    let (url, halved) = half_a_server(server.port()).await;
    let process = Process::start(&url).await;
    process.keep(FACT, &[b'y'; 2000]).await;
    halved.store(true, Ordering::SeqCst);
    assert_costs_nothing(&process, "half an answer").await;
    halved.store(false, Ordering::SeqCst);
    until("it is back", async || process.fact(FACT).await == Ok(Some(vec![b'y'; 2000]))).await;
}

#[tokio::test]
async fn o1_somebody_else_on_the_port_is_no_layer_and_does_not_hold_up_the_start() {
    for words in
        [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"", b"*1000000000\r\n", b"$-7\r\n+\r\n"]
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(words).await;
                open.push(stream);
            }
        });
        let began = Instant::now();
        let process = Process::start_unanswered(&url).await;
        assert!(began.elapsed() < Duration::from_secs(10));
        assert_eq!(process.fact(FACT).await, Err(NoFact::NoAnswer), "{words:?}");
        assert!(!process.is_up());
    }
}

#[tokio::test]
async fn o1_a_server_that_sends_without_end_is_cut_off() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let ended = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&ended);
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut sent = 0_usize;
        let mut chunk = b"$2000000000\r\n".to_vec();
        while stream.write_all(&chunk).await.is_ok() {
            sent += chunk.len();
            chunk = vec![0; 64 * 1024];
            tokio::task::yield_now().await;
        }
        println!("{} MiB were sent before the connection was cut", sent >> 20);
        // What the kernel holds is sent too.
        assert!(sent < MOST_SENT, "{sent}");
        seen.store(true, Ordering::SeqCst);
    });
    let process = Process::start_unanswered(&url).await;
    assert_eq!(process.fact(FACT).await, Err(NoFact::NoAnswer));
    until("the connection is cut", async || ended.load(Ordering::SeqCst)).await;
    assert!(!process.is_up());
}

#[tokio::test]
async fn o1_what_waits_to_be_written_is_bounded() {
    let server = RedisServer::start(&[]);
    let process = Process::start(&server.url()).await;
    server.signal("STOP");
    for _ in 0..10 * MAX_WAITING_WRITES {
        process.layer.tell_refusal(CHAIN, vec![7; 80]);
    }
    let dropped = |process: &Process| {
        let start = r#"faregate_cache_writes_total{kind="refusal",outcome="dropped"} "#;
        let lines = process.render();
        let line = lines.lines().find_map(|line| line.strip_prefix(start)).unwrap();
        line.parse::<usize>().unwrap()
    };
    assert!(dropped(&process) >= 9 * MAX_WAITING_WRITES - 1);
    server.signal("CONT");
    until("it is back", async || process.fact(FACT).await == Ok(None)).await;
}
