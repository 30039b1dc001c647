//! The seller's application: it counts how often it ran for each payment, and no two of its answers
//! are alike.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The gate tells the application here which payment bought the answer.
const PAYMENT: &str = "x-faregate-payment";
/// A run takes up to this long, so that some processes die inside.
const WORK_MS: u64 = 40;
/// Every so often an answer is larger than what sockets hold, so that some die in its middle.
const LARGE_EVERY: u64 = 8;
const LARGE_BYTES: usize = 6 * 1024 * 1024;

/// The application, for as long as this process runs.
pub(crate) struct Upstream {
    pub(crate) url: String,
    runs: Arc<Runs>,
}

#[derive(Default)]
struct Runs {
    serial: AtomicU64,
    by_payment: Mutex<HashMap<String, u64>>,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let runs = Arc::new(Runs::default());
        let shared = Arc::clone(&runs);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let runs = Arc::clone(&shared);
                // A gate that dies in the middle is what this is about.
                std::thread::spawn(move || drop(answer(stream, &runs)));
            }
        });
        Self { url, runs }
    }

    /// How often it ran, by payment key (hex).
    pub(crate) fn runs(&self) -> HashMap<String, u64> {
        self.runs.by_payment.lock().unwrap().clone()
    }
}

fn answer(mut stream: TcpStream, runs: &Runs) -> std::io::Result<()> {
    let mut payment = String::new();
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    while let Some(line) = lines.next().transpose()?.filter(|line| !line.is_empty()) {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case(PAYMENT)
        {
            value.trim().clone_into(&mut payment);
        }
    }
    let serial = runs.serial.fetch_add(1, Ordering::SeqCst);
    *runs.by_payment.lock().unwrap().entry(payment.clone()).or_default() += 1;
    // Spread without a second source of chance: how requests interleave is chance already.
    std::thread::sleep(Duration::from_millis(serial.wrapping_mul(7) % WORK_MS));
    let filler =
        if serial.is_multiple_of(LARGE_EVERY) { "x".repeat(LARGE_BYTES) } else { String::new() };
    let body = format!("{{\"payment\":\"{payment}\",\"serial\":{serial},\"filler\":\"{filler}\"}}");
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    )
}
