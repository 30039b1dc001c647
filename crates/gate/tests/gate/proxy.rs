//! The gate before a real application: sockets on both sides.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use faregate_gate::{
    Gate, GateBody, GateLayer, PeerAddr, ProxyConfig, ReverseProxy, Route, ServeConfig, serve,
};
use faregate_ledger::ClaimState;
use faregate_telemetry::Metrics;
use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::{Layer, ServiceExt};

use crate::payment::{PAYER, encoded, fresh, key, requirements};
use crate::scripted_facilitator::Scripted;
use crate::upstream::{App, Upstream, exchange};
use crate::world::{ORIGIN, SECRET, Seen, config, memory, priced_route, request};

struct Front {
    gate: Arc<Gate>,
    store: Arc<dyn faregate_ledger::ClaimStore>,
    facilitator: Arc<Scripted>,
    proxy: ReverseProxy,
}

impl Front {
    fn new(upstream: &url::Url) -> Self {
        Self::with_timeout(upstream, Duration::from_secs(5))
    }

    fn with_timeout(upstream: &url::Url, head_timeout: Duration) -> Self {
        let (store, facilitator) = (memory(), Arc::new(Scripted::default()));
        let asked: Arc<dyn faregate_protocol::Facilitator> = facilitator.clone();
        let routes = vec![priced_route(), Route::priced("post", "/form", vec![requirements()])];
        let metrics = Metrics::new(["eip155:84532".to_owned()]);
        let gate = Gate::new(config(routes), store.clone(), asked, metrics).unwrap();
        let mut proxied = ProxyConfig::new(ORIGIN.parse().unwrap());
        proxied.head_timeout = head_timeout;
        let proxy = ReverseProxy::new(upstream, proxied).unwrap();
        Self { gate: Arc::new(gate), store, facilitator, proxy }
    }

    async fn send(&self, mut request: Request<GateBody>) -> Seen {
        request.extensions_mut().insert(PeerAddr::from(SocketAddr::from(([192, 0, 2, 7], 1234))));
        let service = GateLayer::new(Arc::clone(&self.gate)).layer(self.proxy.clone());
        let Ok(response) = service.oneshot(request).await;
        Seen::of(response).await
    }

    async fn listen(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = GateLayer::new(Arc::clone(&self.gate)).layer(self.proxy.clone());
        tokio::spawn(serve(listener, service, ServeConfig::default(), std::future::pending()));
        address
    }
}

/// Answers with what it was asked.
fn echo() -> App {
    Arc::new(|request| {
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let seen = format!(
                "{SECRET} {} {} {:?} body={}",
                parts.method,
                parts.uri,
                parts.headers,
                String::from_utf8_lossy(&body)
            );
            Response::builder().header("keep-alive", "x").body(GateBody::full(seen)).unwrap()
        })
    })
}

#[tokio::test]
async fn what_was_judged_is_what_is_forwarded() {
    let upstream = Upstream::start(echo()).await;
    let front = Front::new(&upstream.url());
    let seen = front.send(request("GET", "/weather?a=%77&b=//..", None)).await;
    seen.expect_refusal(402, "Payment required");
    assert_eq!(upstream.hits(), 0);

    let payment = fresh();
    let mut paid = Request::builder()
        .method("POST")
        .uri("/form?a=%77&b=//..")
        .header("PAYMENT-SIGNATURE", encoded(&payment));
    for (name, value) in [
        ("host", "evil.example"),
        ("x-forwarded-for", "203.0.113.1"),
        ("x_forwarded_host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("forwarded", "host=evil.example"),
        ("x-real-ip", "203.0.113.1"),
        ("te", "trailers"),
        ("proxy-authorization", "canary-proxy"),
        ("x_faregate_payer", "forged"),
    ] {
        paid = paid.header(name, value);
    }
    let seen = front.send(paid.body(GateBody::full("the body")).unwrap()).await;
    assert_eq!(seen.status, 200);
    let text = String::from_utf8(seen.body.to_vec()).unwrap();
    assert!(text.contains("POST /form?a=%77&b=//.. {"), "{text}");
    assert!(text.ends_with("body=the body"), "{text}");
    for expected in [
        format!("\"host\": \"{}\"", upstream.address),
        "\"x-forwarded-for\": \"192.0.2.7\"".to_owned(),
        "\"x-forwarded-host\": \"api.example.com\"".to_owned(),
        "\"x-forwarded-proto\": \"https\"".to_owned(),
        format!("\"x-faregate-payer\": \"{PAYER}\""),
        format!("\"x-faregate-payment\": \"{}\"", key(&payment)),
        "\"content-length\": \"8\"".to_owned(),
    ] {
        assert!(text.contains(&expected), "{expected} in {text}");
    }
    for absent in
        ["evil", "forged", "203.0.113", "canary-proxy", "payment-signature", "\"te\"", "real-ip"]
    {
        assert!(!text.contains(absent), "{absent} in {text}");
    }
    assert!(!seen.headers.contains_key("keep-alive"));
    assert_eq!((upstream.hits(), front.facilitator.settled().len()), (1, 1));
}

#[tokio::test]
async fn an_application_that_is_down_charges_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let hangs = Upstream::start(Arc::new(|_| Box::pin(std::future::pending()))).await;
    let half = Upstream::saying(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\ncanary-half").await;
    let noise = Upstream::saying(b"SSH-2.0-canary\r\n\r\n").await;
    let switches = Upstream::saying(
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\ncanary",
    )
    .await;
    for (name, upstream, status, code) in [
        ("down", nobody, 502, "upstream_unavailable"),
        ("hangs", hangs.url(), 504, "upstream_timed_out"),
        ("half", half.url(), 502, "upstream_unavailable"),
        ("noise", noise.url(), 502, "upstream_unavailable"),
        ("switches", switches.url(), 502, "upstream_unavailable"),
    ] {
        let front = Front::with_timeout(&upstream, Duration::from_millis(200));
        let payment = fresh();
        let seen = front.send(request("GET", "/weather", Some(&payment))).await;
        assert_eq!((seen.status.as_u16(), seen.code().as_str()), (status, code), "{name}");
        assert!(!format!("{seen:?}").contains("canary"), "{name}");
        let claim = front.store.find_claim(&key(&payment)).await.unwrap().unwrap();
        assert_eq!((claim.state, front.facilitator.settled().len()), (ClaimState::Released, 0));
    }
}

#[tokio::test]
async fn free_routes_stream_both_ways() {
    // The answer begins before the request has ended, and carries it back piece by piece.
    let upstream = Upstream::start(Arc::new(|request| {
        Box::pin(async move { Response::new(GateBody::new(request.into_body())) })
    }))
    .await;
    let address = Front::new(&upstream.url()).listen().await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = b"POST /free HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let mut heard = Vec::new();
    for i in 0..5 {
        let piece = format!("piece-{i}");
        let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
        stream.write_all(chunk.as_bytes()).await.unwrap();
        while !String::from_utf8_lossy(&heard).contains(&piece) {
            let mut more = [0_u8; 4096];
            let read = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut more));
            let read = read.await.unwrap().unwrap();
            heard.extend_from_slice(&more[..read]);
        }
    }
}

#[tokio::test]
async fn websockets_pass_on_free_routes_and_nothing_else_does() {
    let upstream = Upstream::start(Arc::new(|mut request| {
        Box::pin(async move {
            if !request.headers().contains_key("upgrade") {
                return Response::new(GateBody::full("plain"));
            }
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let mut io = hyper_util::rt::TokioIo::new(upgrade.await.unwrap());
                let mut bytes = [0_u8; 4];
                io.read_exact(&mut bytes).await.unwrap();
                bytes.reverse();
                io.write_all(&bytes).await.unwrap();
            });
            let answer = Response::builder().status(101).header("connection", "upgrade");
            answer.header("upgrade", "websocket").body(GateBody::empty()).unwrap()
        })
    }))
    .await;
    let address = Front::new(&upstream.url()).listen().await;
    let asking = |path: &str, protocol: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: {protocol}\r\n\r\n"
        )
    };
    let heard = exchange(address, format!("{}ping", asking("/free", "websocket")).as_bytes()).await;
    assert!(heard.starts_with("HTTP/1.1 101 ") && heard.ends_with("gnip"), "{heard}");
    let heard = exchange(address, asking("/free", "h2c").as_bytes()).await;
    assert!(heard.starts_with("HTTP/1.1 200 ") && heard.ends_with("plain"), "{heard}");
    let heard = exchange(address, asking("/weather", "websocket").as_bytes()).await;
    assert!(heard.starts_with("HTTP/1.1 400 ") && heard.contains("upgrade_not_priced"), "{heard}");
    assert_eq!(upstream.hits(), 2);
}

#[tokio::test]
async fn smuggled_requests_reach_nobody_unjudged() {
    let upstream = Upstream::start(echo()).await;
    let address = Front::new(&upstream.url()).listen().await;
    let hidden = "GET /weather HTTP/1.1\r\nhost: x\r\n\r\n";
    let length = hidden.len();
    for attack in [
        format!(
            "POST /free HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"
        ),
        format!(
            "POST /free HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ncontent-length: 0\r\n\r\n{length:x}\r\n{hidden}\r\n0\r\n\r\n"
        ),
        format!(
            "POST /free HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\ncontent-length: {length}\r\n\r\n{hidden}"
        ),
        format!("POST /free HTTP/1.1\r\nhost: x\r\ntransfer-encoding: xchunked\r\n\r\n{hidden}"),
        format!(
            "POST /free HTTP/1.1\r\nhost: x\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n{hidden}"
        ),
        format!("POST /free HTTP/1.1\r\nhost: x\r\nx: y\r\n folded: z\r\n\r\n{hidden}"),
        format!("GET /free HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{hidden}"),
        format!("GET /free HTTP/1.1\nhost: x\n\n{hidden}"),
        format!("GET /free HTTP/1.1\r\nhost: x\r\n\r\n{hidden}"),
    ] {
        let heard = exchange(address, attack.as_bytes()).await;
        // A request that came out at the application would have shown itself in its echo.
        assert!(!heard.contains("canary-paid-content GET /weather"), "{attack:?}: {heard}");
    }
}

#[tokio::test]
async fn only_origins_are_upstreams() {
    for url in
        ["http://127.0.0.1:3000/base", "http://u:p@127.0.0.1/", "ftp://127.0.0.1/", "http://h/?q"]
    {
        let config = ProxyConfig::new(ORIGIN.parse().unwrap());
        assert!(ReverseProxy::new(&url.parse().unwrap(), config).is_err(), "{url}");
    }
}
