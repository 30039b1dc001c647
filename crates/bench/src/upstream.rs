//! An application that answers every request at once with the same bytes and keeps connections
//! open: the least that a gate or a proxy can have behind it.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::error::BenchError;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
    content-length: 46\r\n\r\n{\"city\":\"Lisbon\",\"sky\":\"clear\",\"celsius\":21.5}";
const END_OF_HEAD: &[u8] = b"\r\n\r\n";
/// A longer head is nothing that a proxy of a measurement sends.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Runs until the runtime ends. Requests have no body.
pub(crate) async fn start() -> Result<SocketAddr, BenchError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.map_err(BenchError::io("the application behind the gate"))?;
    let address = listener.local_addr().map_err(BenchError::io("its address"))?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A proxy that closes is not its concern.
            tokio::spawn(async move { drop(serve(stream).await) });
        }
    });
    Ok(address)
}

async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(4096);
    while stream.read_buf(&mut buffer).await? > 0 {
        let found = buffer.windows(END_OF_HEAD.len()).position(|bytes| bytes == END_OF_HEAD);
        if let Some(at) = found {
            buffer.drain(..at + END_OF_HEAD.len());
            stream.write_all(ANSWER).await?;
        } else if buffer.len() > MAX_HEAD_BYTES {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::connection::Connection;

    #[tokio::test]
    async fn it_answers_again_and_again_on_one_connection() {
        let mut connection = Connection::to(super::start().await.unwrap());
        for _ in 0..3 {
            let answer = connection.exchange(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            assert_eq!(answer.status, 200);
            let body: serde_json::Value = serde_json::from_slice(answer.body).unwrap();
            assert_eq!(body["city"], "Lisbon");
        }
    }
}
