//! A client that sends exactly the bytes it is told to, which no well-behaved client would: path
//! spellings, odd methods, the same header 64 times.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use faregate_protocol::header;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Longer than any answer of a healthy service takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer, read to the end of its connection.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The header's value, if the answer has it.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// A protocol message out of a header.
    pub(crate) fn decoded<T: DeserializeOwned>(&self, name: &str) -> T {
        let value = self.header(name).unwrap_or_else(|| panic!("no {name} in {self:?}"));
        header::decode(value.as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Whether this is the answer that was bought and nothing newer: status, body and receipts.
    pub(crate) fn repeats(&self, first: &Self) -> bool {
        let receipts = [header::PAYMENT_RESPONSE, header::X_PAYMENT_RESPONSE];
        self.status == first.status
            && self.body == first.body
            && receipts.iter().all(|name| self.header(name) == first.header(name))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?}", self.text()))
    }
}

/// `127.0.0.1:PORT` and the path of an `http` URL.
pub(crate) fn split(url: &str) -> (&str, &str) {
    let rest = url.strip_prefix("http://").unwrap_or_else(|| panic!("{url} is not http"));
    match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    }
}

pub(crate) fn get(url: &str) -> Answer {
    request("GET", url, &[], b"")
}

pub(crate) fn get_with(url: &str, headers: &[(&str, &str)]) -> Answer {
    request("GET", url, headers, b"")
}

pub(crate) fn post_json(url: &str, body: &Value) -> Answer {
    let body = serde_json::to_vec(body).unwrap();
    request("POST", url, &[("content-type", "application/json")], &body)
}

pub(crate) fn request(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    try_request(method, url, headers, body)
        .unwrap_or_else(|error| panic!("{method} {url}: {error}"))
}

/// As [`request`]; an error is a connection that was refused or cut.
pub(crate) fn try_request(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Answer> {
    let (authority, path) = split(url);
    let mut message = format!("{method} {path} HTTP/1.1\r\nhost: {authority}\r\n");
    for (name, value) in headers {
        message.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        message.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    message.push_str("connection: close\r\n\r\n");
    let mut message = message.into_bytes();
    message.extend_from_slice(body);
    exchange(authority, &message)
}

/// Sends `message` as it is and reads one answer.
pub(crate) fn exchange(authority: &str, message: &[u8]) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(authority)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(message)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    read(&bytes).ok_or_else(|| {
        std::io::Error::other(format!("no answer: {:?}", String::from_utf8_lossy(&bytes)))
    })
}

fn read(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let mut answer = Answer { status, headers, body: bytes[end + 4..].to_vec() };
    if answer.header("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
        answer.body = dechunked(&answer.body)?;
    }
    Some(answer)
}

fn dechunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..line]).ok()?.split(';').next()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(line + 2..line + 2 + size)?);
        rest = rest.get(line + 4 + size..)?;
    }
}
