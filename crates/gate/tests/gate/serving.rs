//! The accept loop over real sockets, and the gate as a layer of an axum router.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use faregate_gate::{GateBody, GateLayer, ServeConfig, serve};
use http::Request;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower::ServiceExt;

use crate::payment::{encoded, fresh, key};
use crate::scripted_facilitator::Outcome;
use crate::upstream::exchange;
use crate::world::{SECRET, Seen, World, memory, priced_route, request};

async fn listen(
    world: &World,
    drain: Duration,
) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let header_read_timeout = Duration::from_millis(200);
    let config = ServeConfig { drain, header_read_timeout, ..ServeConfig::default() };
    let inner = world.service();
    let service = tower::service_fn(move |request: Request<hyper::body::Incoming>| {
        inner.clone().oneshot(request.map(GateBody::new))
    });
    let serving = tokio::spawn(serve(listener, service, config, async {
        let _ = stopped.await;
    }));
    (address, stop, serving)
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n")
}

#[tokio::test]
async fn a_payment_over_a_socket() {
    let world = World::new(memory());
    let (address, _stop, _serving) = listen(&world, Duration::from_secs(1)).await;
    let header = format!("PAYMENT-SIGNATURE: {}\r\n", encoded(&fresh()));
    let heard = exchange(address, get("/weather", &header).as_bytes()).await;
    assert!(heard.starts_with("HTTP/1.1 200 OK") && heard.ends_with(SECRET), "{heard}");
    assert!(heard.contains("payment-response: "), "{heard}");
    let again = exchange(address, get("/weather", &header).as_bytes()).await;
    let own = ["date: ", "x-request-id: "];
    let is_own = |line: &str| own.iter().any(|name| line.starts_with(name));
    let rest = |heard: &str| -> Vec<String> {
        heard.lines().filter(|line| !is_own(line)).map(ToOwned::to_owned).collect()
    };
    assert_eq!(rest(&again), rest(&heard));
    assert_eq!(world.runs(), 1);
    let heard = exchange(address, get("/weather", "").as_bytes()).await;
    assert!(heard.starts_with("HTTP/1.1 402 Payment Required"), "{heard}");
}

#[tokio::test]
async fn heads_are_bounded_in_size_number_and_time() {
    let world = World::new(memory());
    let (address, _stop, _serving) = listen(&world, Duration::from_secs(1)).await;
    let large = format!("PAYMENT-SIGNATURE: {}\r\n", "A".repeat(33 * 1024));
    let heard = exchange(address, get("/weather", &large).as_bytes()).await;
    assert!(heard.starts_with("HTTP/1.1 431 ") && heard.contains("header_too_large"), "{heard}");
    let huge = format!("x: {}\r\n", "A".repeat(80 * 1024));
    let heard = exchange(address, get("/weather", &huge).as_bytes()).await;
    assert!(heard.starts_with("HTTP/1.1 431 "), "{heard}");
    let heard = exchange(address, get("/weather", &"x: y\r\n".repeat(200)).as_bytes()).await;
    assert!(heard.starts_with("HTTP/1.1 431 "), "{heard}");
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nhos").await.unwrap();
    let closed = async {
        let mut bytes = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut slow, &mut bytes).await
    };
    tokio::time::timeout(Duration::from_secs(2), closed).await.unwrap().unwrap();
    assert_eq!(world.runs(), 0);
}

#[tokio::test]
async fn no_bytes_of_a_target_reach_a_priced_resource() {
    let world = World::new(memory());
    let (address, _stop, _serving) = listen(&world, Duration::from_secs(1)).await;
    for target in [
        b"/weather\xc3\xa9".as_slice(),
        b"/weather\xff",
        b"/wea\x00ther",
        b"/wea\tther",
        b"/weather\x7f",
        b"/wea\\ther",
        b"\\weather",
        b"weather",
        b"http://evil.example/weather",
        b"https://api.example.com@evil.example/weather",
        b"//api.example.com/weather",
        b"/%77eather",
        b"/weather/",
        b"*",
        b"",
    ] {
        let request = [b"GET ", target, b" HTTP/1.1\r\nhost: x\r\n\r\n"].concat();
        let heard = exchange(address, &request).await;
        assert!(heard.starts_with("HTTP/1.1 400 "), "{target:?}: {heard}");
    }
    for target in ["/weather#x", "/weather?", "https://api.example.com/weather"] {
        let heard = exchange(address, get(target, "").as_bytes()).await;
        assert!(heard.starts_with("HTTP/1.1 402 "), "{target}: {heard}");
    }
    assert_eq!(world.runs(), 0);
}

#[tokio::test]
async fn a_drain_lets_requests_end_and_has_an_end_itself() {
    let world = World::new(memory());
    world.facilitator.will_settle(Outcome::PaidAfter(Duration::from_millis(150)));
    let (address, stop, serving) = listen(&world, Duration::from_secs(5)).await;
    let header = format!("PAYMENT-SIGNATURE: {}\r\n", encoded(&fresh()));
    let asked = get("/weather", &header);
    let client = tokio::spawn(async move { exchange(address, asked.as_bytes()).await });
    while world.runs() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let _idle = TcpStream::connect(address).await.unwrap();
    stop.send(()).unwrap();
    let heard = client.await.unwrap();
    assert!(heard.starts_with("HTTP/1.1 200 OK"), "{heard}");
    serving.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());

    let hang: crate::world::Resource = Arc::new(|_| Box::pin(std::future::pending()));
    let world = World::with(memory(), crate::world::config(vec![priced_route()]), hang);
    let (address, stop, serving) = listen(&world, Duration::from_millis(200)).await;
    let mut stuck = TcpStream::connect(address).await.unwrap();
    stuck.write_all(get("/free", "").as_bytes()).await.unwrap();
    while world.runs() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let started = Instant::now();
    stop.send(()).unwrap();
    serving.await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn whoever_hangs_up_is_served_at_the_next_try() {
    let world = World::new(memory());
    let (address, _stop, _serving) = listen(&world, Duration::from_secs(1)).await;
    let payment = fresh();
    let header = format!("PAYMENT-SIGNATURE: {}\r\n", encoded(&payment));
    world.facilitator.will_settle(Outcome::PaidAfter(Duration::from_millis(150)));
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(get("/weather", &header).as_bytes()).await.unwrap();
    while world.facilitator.settled().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(client);
    assert!(world.gate.wait_idle(Duration::from_secs(5)).await);
    world.until_unheld(&key(&payment)).await;
    let heard = exchange(address, get("/weather", &header).as_bytes()).await;
    assert!(heard.starts_with("HTTP/1.1 200 OK") && heard.ends_with(SECRET), "{heard}");
    assert_eq!(world.facilitator.settled().len(), 1);
}

#[tokio::test]
async fn an_axum_router_takes_the_layer() {
    let world = World::new(memory());
    let app = axum::Router::new()
        .route("/weather", axum::routing::get(|| async { SECRET }))
        .route("/free", axum::routing::get(|| async { "free" }))
        .layer(GateLayer::new(Arc::clone(&world.gate)));
    let send = |request: Request<GateBody>| {
        let app = app.clone();
        async move {
            let response = app.oneshot(request.map(axum::body::Body::new)).await.unwrap();
            Seen::of(response.map(GateBody::new)).await
        }
    };
    send(request("GET", "/weather", None)).await.expect_refusal(402, "Payment required");
    let seen = send(request("GET", "/weather", Some(&fresh()))).await;
    assert_eq!((seen.status.as_u16(), &seen.body[..]), (200, SECRET.as_bytes()));
    assert!(seen.receipt().unwrap().success);
    assert_eq!(&send(request("GET", "/free", None)).await.body[..], b"free");
}
