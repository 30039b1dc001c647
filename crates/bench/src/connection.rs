//! A kept HTTP/1.1 connection that sends bytes which were made before, and reads what it must of
//! the answer and no more: the load runs on the machine of what it measures.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::limits::{ANSWER, MAX_ANSWER_BYTES};

const CHUNK: usize = 16 * 1024;
const MAX_HEADERS: usize = 96;

/// A connection; it is made when it is needed, and again when the other side has closed it.
pub(crate) struct Connection {
    target: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
    body: Vec<u8>,
}

/// An answer, until the next request.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    /// Everything as it came.
    pub(crate) raw: &'a [u8],
    pub(crate) body: &'a [u8],
}

/// Where an answer in a buffer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    status: u16,
    /// Length of the head.
    head: usize,
    end: usize,
    chunked: bool,
    kept: bool,
}

impl Connection {
    pub(crate) fn to(target: SocketAddr) -> Self {
        Self { target, stream: None, buffer: Vec::with_capacity(CHUNK), body: Vec::new() }
    }

    /// Sends `request` and reads the answer. A kept connection that was closed meanwhile is made
    /// anew, once.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        let shape = tokio::time::timeout(ANSWER, self.insist(request)).await;
        let shape = match shape {
            Ok(Ok(shape)) => shape,
            Ok(Err(error)) => {
                self.stream = None;
                return Err(error);
            }
            Err(_) => {
                self.stream = None;
                return Err(io::Error::new(ErrorKind::TimedOut, "no answer in time"));
            }
        };
        if !shape.kept {
            self.stream = None;
        }
        let raw = self.buffer.get(..shape.end).unwrap_or_default();
        let body = raw.get(shape.head..).unwrap_or_default();
        if shape.chunked {
            self.body.clear();
            let whole = dechunk(body, &mut self.body);
            whole.ok_or_else(|| broken("chunks that do not fit"))?;
            return Ok(Answer { status: shape.status, raw, body: &self.body });
        }
        Ok(Answer { status: shape.status, raw, body })
    }

    async fn insist(&mut self, request: &[u8]) -> io::Result<Shape> {
        if let Some(mut stream) = self.stream.take() {
            match self.once(&mut stream, request).await {
                Ok(shape) => {
                    self.stream = Some(stream);
                    return Ok(shape);
                }
                // Nothing of an answer: it was closed before the request arrived.
                Err(_) if self.buffer.is_empty() => {}
                Err(error) => return Err(error),
            }
        }
        let mut stream = TcpStream::connect(self.target).await?;
        stream.set_nodelay(true)?;
        let shape = self.once(&mut stream, request).await?;
        self.stream = Some(stream);
        Ok(shape)
    }

    async fn once(&mut self, stream: &mut TcpStream, request: &[u8]) -> io::Result<Shape> {
        self.buffer.clear();
        stream.write_all(request).await?;
        loop {
            self.buffer.reserve(CHUNK);
            let read = stream.read_buf(&mut self.buffer).await?;
            if let Some(shape) = shape_of(&self.buffer, read == 0)? {
                return Ok(shape);
            }
            if read == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            if self.buffer.len() > MAX_ANSWER_BYTES {
                return Err(broken("an answer that is too large"));
            }
        }
    }
}

fn broken(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

/// `None` while there is more to come.
fn shape_of(buffer: &[u8], closed: bool) -> io::Result<Option<Shape>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut answer = httparse::Response::new(&mut headers);
    let parsed = answer.parse(buffer).map_err(|_| broken("no HTTP/1.1 answer"))?;
    let httparse::Status::Complete(head) = parsed else { return Ok(None) };
    let status = answer.code.unwrap_or_default();
    let (mut length, mut chunked, mut kept) = (None, false, answer.version == Some(1));
    for header in answer.headers.iter() {
        let value = std::str::from_utf8(header.value).unwrap_or_default();
        if header.name.eq_ignore_ascii_case("content-length") {
            length = value.parse::<usize>().ok();
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = value.eq_ignore_ascii_case("chunked");
        } else if header.name.eq_ignore_ascii_case("connection") {
            kept &= !value.eq_ignore_ascii_case("close");
        }
    }
    let body = buffer.get(head..).unwrap_or_default();
    let end = match (length, chunked) {
        (_, true) => dechunk(body, &mut Vec::new()).map(|length| head + length),
        (Some(length), _) => Some(head.saturating_add(length)).filter(|end| *end <= buffer.len()),
        (None, _) if status == 204 || status == 304 => Some(head),
        // Without a length it ends with the connection.
        (None, _) => closed.then_some(buffer.len()),
    };
    kept &= chunked || length.is_some() || matches!(status, 204 | 304);
    Ok(end.map(|end| Shape { status, head, end, chunked, kept }))
}

/// Appends the content of chunks; the length of all of them with their frame, or `None` while one
/// is missing.
fn dechunk(bytes: &[u8], content: &mut Vec<u8>) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = bytes.get(at..)?;
        let line = rest.windows(2).position(|pair| pair == b"\r\n")?;
        let size = std::str::from_utf8(rest.get(..line)?).ok()?.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        let begin = line + 2;
        let end = begin.checked_add(size)?;
        if rest.get(end..end + 2)? != b"\r\n" {
            return None;
        }
        content.extend_from_slice(rest.get(begin..end)?);
        at += end + 2;
        if size == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    async fn answers(said: &'static [&'static [u8]]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            for answer in said {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 64];
                let _ = stream.read(&mut request).await.unwrap();
                // In two pieces, so that the second has to be waited for.
                let (first, second) = answer.split_at(answer.len() / 2);
                stream.write_all(first).await.unwrap();
                tokio::task::yield_now().await;
                stream.write_all(second).await.unwrap();
            }
        });
        address
    }

    #[tokio::test]
    async fn answers_of_every_shape_are_read_and_closed_connections_are_made_again() {
        let said: &[&[u8]] = &[
            b"HTTP/1.1 402 Payment Required\r\nContent-Length: 2\r\n\r\nhi",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1;x\r\nc\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nuntil the end",
            b"HTTP/1.1 204 No Content\r\n\r\n",
        ];
        let mut connection = Connection::to(answers(said).await);
        for (status, body) in [(402, "hi"), (200, "abc"), (200, "until the end"), (204, "")] {
            let answer = connection.exchange(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
            assert_eq!((answer.status, answer.body), (status, body.as_bytes()));
            assert!(answer.raw.starts_with(b"HTTP/1.1 "));
        }
    }

    #[tokio::test]
    async fn half_an_answer_is_none() {
        let said: &[&[u8]] =
            &[b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", b"nonsense\r\n\r\n"];
        let mut connection = Connection::to(answers(said).await);
        for kind in [ErrorKind::UnexpectedEof, ErrorKind::InvalidData] {
            let error = connection.exchange(b"GET / HTTP/1.1\r\n\r\n").await.unwrap_err();
            assert_eq!(error.kind(), kind);
        }
        assert!(connection.exchange(b"x").await.is_err(), "nobody accepts");
    }
}
