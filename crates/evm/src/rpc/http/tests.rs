//! What becomes of the connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

const WITHIN: Duration = Duration::from_secs(10);
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

/// Answers each request of a connection with the next of these, then closes it.
async fn endpoint(answers: &'static [&'static str]) -> (Client, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                for answer in answers {
                    let mut bytes = Vec::new();
                    while !bytes.ends_with(b"[]") {
                        if stream.read_buf(&mut bytes).await.unwrap() == 0 {
                            return;
                        }
                    }
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    let connector = Connector::for_all(std::slice::from_ref(&url)).unwrap();
    (Client::new(&url, &connector, WITHIN).unwrap(), connections)
}

fn kept(client: &Client) -> usize {
    client.kept.lock().unwrap().len()
}

async fn post(client: &Client) -> Result<Vec<u8>, Broken> {
    client.post(b"[]".to_vec()).await
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let (client, connections) = endpoint(&[OK; 11]).await;
    for _ in 0..10 {
        assert_eq!(post(&client).await, Ok(b"{}".to_vec()));
        assert_eq!(kept(&client), 1);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn one_that_the_endpoint_closed_meanwhile_is_replaced() {
    let (client, connections) = endpoint(&[OK]).await;
    for n in 1..4 {
        assert_eq!(post(&client).await, Ok(b"{}".to_vec()));
        assert_eq!(connections.load(Ordering::SeqCst), n);
        // Until the end of the connection has arrived.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn one_is_kept_only_when_its_answer_was_read_to_the_end() {
    const REFUSED: &str = "HTTP/1.1 429 X\r\ncontent-length: 2\r\n\r\n{}";
    const LAST: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
    const CUT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}";
    const SILENT: &str = "HTTP/1.1 204 No Content\r\n\r\n";
    const MOVED: &str = "HTTP/1.1 307 X\r\nlocation: /else\r\ncontent-length: 0\r\n\r\n";
    for (answers, outcome, keeps) in [
        (&[REFUSED, OK] as &'static [_], Err(Broken::Limited(None)), 1),
        (&[LAST], Ok(b"{}".to_vec()), 0),
        (&[CUT], Err(Broken::Unreachable), 0),
        (&[SILENT, OK], Ok(Vec::new()), 1),
        (&[MOVED, OK], Err(Broken::Refused(307)), 1),
    ] {
        let (client, _) = endpoint(answers).await;
        assert_eq!(post(&client).await, outcome);
        assert_eq!(kept(&client), keeps, "{outcome:?}");
    }
}

#[tokio::test]
async fn requests_at_once_have_a_connection_each() {
    let (client, connections) = endpoint(&[OK; 10]).await;
    for _ in 0..2 {
        let answers = futures::future::join_all((0..5).map(|_| post(&client))).await;
        assert!(answers.iter().all(Result::is_ok));
        assert_eq!((kept(&client), connections.load(Ordering::SeqCst)), (5, 5));
    }
}

#[tokio::test]
async fn the_time_that_a_busy_endpoint_names_is_read() {
    const SOON: &str = "HTTP/1.1 429 X\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n";
    const DATE: &str =
        "HTTP/1.1 429 X\r\nretry-after: Fri, 07 Nov 2014 23:59:59 GMT\r\ncontent-length: 0\r\n\r\n";
    for (answers, named) in
        [(&[SOON] as &'static [_], Some(Duration::from_secs(7))), (&[DATE], None)]
    {
        let (client, _) = endpoint(answers).await;
        assert_eq!(post(&client).await, Err(Broken::Limited(named)));
    }
}
