//! A JSON-RPC endpoint between the adapter and the chain: it counts what passes and misbehaves
//! on demand.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the endpoint does with a request.
#[derive(Clone)]
pub(crate) enum Reaction {
    /// Passes it to the chain.
    Pass,
    /// Passes it, then changes the answer.
    Change(Arc<dyn Fn(&mut Value) + Send + Sync>),
    /// Answers with this status and body.
    Answer(u16, String),
    /// Passes it after this long.
    Late(Duration),
    /// Answers 429 and names these seconds.
    Busy(u64),
    /// Promises more than it sends, then closes.
    Cut,
    /// Closes without a word.
    Close,
    /// Says nothing for this long.
    Stall(Duration),
    /// Sends this many bytes.
    Flood(usize),
}

type React = Arc<dyn Fn(&Value) -> Reaction + Send + Sync>;

/// The endpoint; it ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) url: String,
    requests: Arc<AtomicUsize>,
    calls: Arc<Mutex<Vec<String>>>,
    react: Arc<Mutex<React>>,
}

impl Endpoint {
    /// Listens on a free port before `upstream`.
    pub(crate) async fn start(upstream: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            requests: Arc::default(),
            calls: Arc::default(),
            react: Arc::new(Mutex::new(Arc::new(|_| Reaction::Pass))),
        };
        let shared = endpoint.clone();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (shared, client, upstream) = (shared.clone(), client.clone(), upstream.clone());
                tokio::spawn(async move { shared.serve(stream, client, upstream).await });
            }
        });
        endpoint
    }

    /// From now on reacts like this.
    pub(crate) fn react(&self, react: impl Fn(&Value) -> Reaction + Send + Sync + 'static) {
        *self.react.lock().unwrap() = Arc::new(react);
    }

    /// HTTP requests since the last question.
    pub(crate) fn take_requests(&self) -> usize {
        self.calls.lock().unwrap().clear();
        self.requests.swap(0, Ordering::SeqCst)
    }

    /// JSON-RPC methods since the last question.
    pub(crate) fn take_calls(&self) -> Vec<String> {
        self.requests.store(0, Ordering::SeqCst);
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    async fn serve(&self, mut stream: TcpStream, client: reqwest::Client, to: Option<String>) {
        while let Some(body) = read_request(&mut stream).await {
            let request: Value = serde_json::from_slice(&body).unwrap();
            self.requests.fetch_add(1, Ordering::SeqCst);
            self.calls.lock().unwrap().extend(methods(&request));
            let react = Arc::clone(&*self.react.lock().unwrap());
            let open = match react(&request) {
                Reaction::Pass => {
                    let answer = pass(&client, to.as_deref(), body).await;
                    write_answer(&mut stream, 200, &answer.to_string()).await
                }
                Reaction::Change(change) => {
                    let mut answer = pass(&client, to.as_deref(), body).await;
                    change(&mut answer);
                    write_answer(&mut stream, 200, &answer.to_string()).await
                }
                Reaction::Answer(status, text) => write_answer(&mut stream, status, &text).await,
                Reaction::Late(time) => {
                    tokio::time::sleep(time).await;
                    let answer = pass(&client, to.as_deref(), body).await;
                    write_answer(&mut stream, 200, &answer.to_string()).await
                }
                Reaction::Busy(seconds) => {
                    let head = format!("HTTP/1.1 429 X\r\nretry-after: {seconds}\r\n");
                    let head = format!("{head}content-length: 0\r\n\r\n");
                    stream.write_all(head.as_bytes()).await.is_ok()
                }
                Reaction::Cut => {
                    let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"id\"";
                    let _ = stream.write_all(head.as_bytes()).await;
                    false
                }
                Reaction::Close => false,
                Reaction::Stall(time) => {
                    tokio::time::sleep(time).await;
                    false
                }
                Reaction::Flood(bytes) => flood(&mut stream, bytes).await,
            };
            if !open {
                return;
            }
        }
    }
}

/// The JSON-RPC methods of a request.
pub(crate) fn methods(request: &Value) -> Vec<String> {
    let one = |call: &Value| call["method"].as_str().unwrap().to_owned();
    match request {
        Value::Array(calls) => calls.iter().map(one).collect(),
        call => vec![one(call)],
    }
}

/// The result of the `n`th call with this method in a batch, to be changed.
pub(crate) fn result_of<'a>(answer: &'a mut Value, request: &Value, method: &str) -> &'a mut Value {
    let place = methods(request).iter().position(|name| name == method).unwrap();
    match answer {
        Value::Array(members) => &mut members[place]["result"],
        member => &mut member["result"],
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
    let length: usize = length.trim().parse().ok()?;
    while bytes.len() < end + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(bytes[end..].to_vec())
}

async fn pass(client: &reqwest::Client, to: Option<&str>, body: Vec<u8>) -> Value {
    let request = client.post(to.expect("an upstream")).header("content-type", "application/json");
    let answer = request.body(body).send().await.unwrap().bytes().await.unwrap();
    serde_json::from_slice(&answer).unwrap()
}

async fn write_answer(stream: &mut TcpStream, status: u16, body: &str) -> bool {
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).await.is_ok()
}

async fn flood(stream: &mut TcpStream, bytes: usize) -> bool {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n");
    let chunk = vec![b' '; 64 * 1024];
    let mut open = stream.write_all(head.as_bytes()).await.is_ok();
    let mut sent = 0;
    while open && sent < bytes {
        open = stream.write_all(&chunk).await.is_ok();
        sent += chunk.len();
    }
    false
}
