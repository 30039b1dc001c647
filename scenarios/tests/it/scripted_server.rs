//! An HTTP server that does as a test tells it: the upstream, the facilitator or the RPC endpoint
//! that misbehaves. It answers each connection once.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::http::{self, Answer};

/// A request that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// What the server does with one.
#[derive(Clone)]
pub(crate) enum Reaction {
    /// Passes it on to this base URL and gives the answer back.
    Pass(String),
    /// Passes it on and changes the body of the answer.
    Change(String, Arc<dyn Fn(Vec<u8>) -> Vec<u8> + Send + Sync>),
    /// Waits, then reacts.
    After(Duration, Box<Self>),
    /// Status, content type and body.
    Answer(u16, &'static str, Vec<u8>),
    /// Exactly these bytes, then the connection ends.
    Raw(Vec<u8>),
    /// A body of this many bytes.
    Flood(usize),
    /// This body, as many bytes of it as said, and the rest when the call returns.
    Held(Arc<Vec<u8>>, usize, Arc<dyn Fn() + Send + Sync>),
    /// The connection ends without a word.
    Close,
    /// Passes it on and keeps the answer to itself.
    Swallow(String),
}

impl Reaction {
    pub(crate) fn json(status: u16, body: &str) -> Self {
        Self::Answer(status, "application/json", body.as_bytes().to_vec())
    }

    pub(crate) fn html(status: u16) -> Self {
        let page = b"<!doctype html><title>Sorry</title><h1>Try again later</h1>".to_vec();
        Self::Answer(status, "text/html", page)
    }

    /// Half of what the head promises.
    pub(crate) fn half(promised: &str) -> Self {
        let (length, half) = (promised.len(), &promised[..promised.len() / 2]);
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length:";
        Self::Raw(format!("{head} {length}\r\n\r\n{half}").into_bytes())
    }
}

type React = Arc<dyn Fn(&Asked) -> Reaction + Send + Sync>;

/// The server; it listens until the test binary ends.
#[derive(Clone)]
pub(crate) struct ScriptedServer {
    pub(crate) url: String,
    react: Arc<Mutex<React>>,
    asked: Arc<AtomicUsize>,
}

impl ScriptedServer {
    pub(crate) fn start(react: impl Fn(&Asked) -> Reaction + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let react: React = Arc::new(react);
        let server = Self { url, react: Arc::new(Mutex::new(react)), asked: Arc::default() };
        let shared = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = shared.clone();
                // The other side may end a connection whenever it likes.
                std::thread::spawn(move || drop(shared.serve(stream)));
            }
        });
        server
    }

    /// Passes everything on.
    pub(crate) fn before(url: &str) -> Self {
        let url = url.to_owned();
        Self::start(move |_| Reaction::Pass(url.clone()))
    }

    /// From now on reacts like this.
    pub(crate) fn react(&self, react: impl Fn(&Asked) -> Reaction + Send + Sync + 'static) {
        *self.react.lock().unwrap() = Arc::new(react);
    }

    /// From now on reacts to everything like this.
    pub(crate) fn always(&self, reaction: Reaction) {
        self.react(move |_| reaction.clone());
    }

    /// Requests since it began.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let asked = read(&stream)?;
        self.asked.fetch_add(1, Ordering::SeqCst);
        let react = Arc::clone(&self.react.lock().unwrap());
        perform(react(&asked), &asked, &mut stream)?;
        stream.shutdown(Shutdown::Both)
    }
}

fn perform(reaction: Reaction, asked: &Asked, stream: &mut TcpStream) -> std::io::Result<()> {
    match reaction {
        Reaction::Pass(to) => give(stream, &pass(&to, asked)?),
        Reaction::Change(to, change) => {
            let mut answer = pass(&to, asked)?;
            answer.body = change(answer.body);
            give(stream, &answer)
        }
        Reaction::Swallow(to) => pass(&to, asked).map(drop),
        Reaction::After(pause, reaction) => {
            std::thread::sleep(pause);
            perform(*reaction, asked, stream)
        }
        Reaction::Answer(status, kind, body) => {
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 {status} Scripted\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\
                 connection: close\r\n\r\n"
            )?;
            stream.write_all(&body)
        }
        Reaction::Raw(bytes) => stream.write_all(&bytes),
        Reaction::Flood(size) => flood(stream, size),
        Reaction::Held(body, first, wait) => {
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len())?;
            let (first, rest) = body.split_at(first);
            stream.write_all(first)?;
            wait();
            stream.write_all(rest)
        }
        Reaction::Close => Ok(()),
    }
}

fn flood(stream: &mut TcpStream, size: usize) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n")?;
    let chunk = [b' '; 1 << 16];
    let mut left = size;
    while left > 0 {
        let part = left.min(chunk.len());
        stream.write_all(&chunk[..part])?;
        left -= part;
    }
    Ok(())
}

fn pass(to: &str, asked: &Asked) -> std::io::Result<Answer> {
    let (base, _) = http::split(to);
    let url = format!("http://{base}{}", asked.target);
    let kept = ["content-type", "idempotency-key", "faregate-deadline", "faregate-deployment"];
    let headers: Vec<_> = asked
        .headers
        .iter()
        .filter(|(name, _)| kept.contains(&name.as_str()))
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    http::try_request(&asked.method, &url, &headers, &asked.body)
}

fn give(stream: &mut TcpStream, answer: &Answer) -> std::io::Result<()> {
    let kind = answer.header("content-type").unwrap_or("application/json");
    let (status, length) = (answer.status, answer.body.len());
    write!(
        stream,
        "HTTP/1.1 {status} Passed\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n"
    )?;
    stream.write_all(&answer.body)
}

fn read(stream: &TcpStream) -> std::io::Result<Asked> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split(' ').map(str::to_owned);
    let mut word = || words.next().ok_or(std::io::ErrorKind::InvalidData);
    let (method, target) = (word()?, word()?);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.and_then(|(_, value)| value.parse().ok()).unwrap_or_default();
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Asked { method, target, headers, body })
}
