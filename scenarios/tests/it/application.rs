//! A seller's application that knows nothing of payments and counts how often it ran.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const POLL: Duration = Duration::from_millis(5);

pub(crate) struct Application {
    pub(crate) url: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    ran: AtomicU64,
    held: AtomicBool,
}

impl Application {
    /// Answers every request, until the test binary ends.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&shared);
                // A gate that is killed in the middle is part of the stories.
                std::thread::spawn(move || drop(answer(stream, &state)));
            }
        });
        Self { url, state }
    }

    /// Requests that reached it.
    pub(crate) fn ran(&self) -> u64 {
        self.state.ran.load(Ordering::SeqCst)
    }

    /// Whether it keeps its answers to itself.
    pub(crate) fn hold(&self, held: bool) {
        self.state.held.store(held, Ordering::SeqCst);
    }
}

fn answer(mut stream: TcpStream, state: &State) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let number = state.ran.fetch_add(1, Ordering::SeqCst) + 1;
    while state.held.load(Ordering::SeqCst) {
        std::thread::sleep(POLL);
    }
    let body = format!("{{\"served\":{number}}}");
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    )
}
