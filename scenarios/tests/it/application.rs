//! A seller's application that knows nothing of payments and counts how often it ran.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) struct Application {
    pub(crate) url: String,
    ran: Arc<AtomicU64>,
}

impl Application {
    /// Answers every request, until the test binary ends.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let ran = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&ran);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let counter = Arc::clone(&counter);
                // A gate that is killed in the middle is part of the stories.
                std::thread::spawn(move || drop(answer(stream, &counter)));
            }
        });
        Self { url, ran }
    }

    /// Requests that reached it.
    pub(crate) fn ran(&self) -> u64 {
        self.ran.load(Ordering::SeqCst)
    }
}

fn answer(mut stream: TcpStream, ran: &AtomicU64) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let number = ran.fetch_add(1, Ordering::SeqCst) + 1;
    let body = format!("{{\"served\":{number}}}");
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    )
}
