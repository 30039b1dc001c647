//! A network between ledger and server that can break at a commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const COMMIT: &[u8] = b"COMMIT\0";
const BUFFER: usize = 16 * 1024;

const WHOLE: u8 = 0;
const BEFORE: u8 = 1;
const AFTER: u8 = 2;

pub(super) struct Proxy {
    pub(super) port: u16,
    breaks: Arc<AtomicU8>,
}

impl Proxy {
    pub(super) async fn to(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let breaks = Arc::new(AtomicU8::new(WHOLE));
        let shared = breaks.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                tokio::spawn(carry(client, server, shared.clone()));
            }
        });
        Self { port, breaks }
    }

    /// The next commit never reaches the server.
    pub(super) fn break_before_the_next_commit(&self) {
        self.breaks.store(BEFORE, Ordering::SeqCst);
    }

    /// The next commit is made, and nobody hears of it.
    pub(super) fn break_after_the_next_commit(&self) {
        self.breaks.store(AFTER, Ordering::SeqCst);
    }

    /// It broke as it was told to.
    pub(super) fn broke(&self) -> bool {
        self.breaks.load(Ordering::SeqCst) == WHOLE
    }
}

/// Ends with either side, or when it is told to break.
async fn carry(mut client: TcpStream, mut server: TcpStream, breaks: Arc<AtomicU8>) {
    let (mut asked, mut answered) = (vec![0; BUFFER], vec![0; BUFFER]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(read @ 1..) = read else { return };
                let asked = &asked[..read];
                let commits = asked.windows(COMMIT.len()).any(|window| window == COMMIT);
                let how = if commits { breaks.swap(WHOLE, Ordering::SeqCst) } else { WHOLE };
                if how == BEFORE || server.write_all(asked).await.is_err() {
                    return;
                }
                if how == AFTER {
                    // The answer says that the commit is made; nobody gets it.
                    let _ = server.read(&mut answered).await;
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Ok(read @ 1..) = read else { return };
                if client.write_all(&answered[..read]).await.is_err() {
                    return;
                }
            }
        }
    }
}
