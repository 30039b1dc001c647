//! A real HTTP/1.1 application on loopback, and clients that speak bytes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use faregate_gate::GateBody;

pub(crate) type App =
    Arc<dyn Fn(Request<Incoming>) -> BoxFuture<'static, Response<GateBody>> + Send + Sync>;

/// An application that counts its requests.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    hits: Arc<AtomicUsize>,
}

impl Upstream {
    pub(crate) async fn start(app: App) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let hits = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&hits);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (app, hits) = (Arc::clone(&app), Arc::clone(&counted));
                let service = hyper::service::service_fn(move |request| {
                    hits.fetch_add(1, Ordering::SeqCst);
                    let answer = app(request);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                tokio::spawn(async move {
                    let builder = auto::Builder::new(TokioExecutor::new());
                    let serving =
                        builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
                    let _ = serving.await;
                });
            }
        });
        Self { address, hits }
    }

    /// An application that answers every connection with these bytes and closes it.
    pub(crate) async fn saying(bytes: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let hits = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&hits);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut head = [0_u8; 4096];
                let _ = stream.read(&mut head).await;
                let _ = stream.write_all(bytes).await;
            }
        });
        Self { address, hits }
    }

    pub(crate) fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }

    pub(crate) fn url(&self) -> url::Url {
        format!("http://{}", self.address).parse().unwrap()
    }
}

/// Sends bytes on a connection of its own and reads until the other side closes it or is silent
/// for a while.
pub(crate) async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut heard = Vec::new();
    let mut chunk = [0_u8; 65_536];
    let silence = Duration::from_millis(300);
    while let Ok(Ok(read)) = tokio::time::timeout(silence, stream.read(&mut chunk)).await {
        if read == 0 {
            break;
        }
        heard.extend_from_slice(&chunk[..read]);
    }
    String::from_utf8_lossy(&heard).into_owned()
}
