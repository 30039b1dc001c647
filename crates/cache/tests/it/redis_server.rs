//! Throw-away Redis servers, one a test, that keep everything in memory.
//!
//! A watchdog kills a server when this process ends in any way: it waits for the end of a pipe that
//! only this process holds.

#![allow(dead_code)] // tests of several crates use it, each a part

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const MISSING: &str =
    "Redis is not installed: apt-get install --no-install-recommends redis-server";
const START_TIMEOUT: Duration = Duration::from_secs(30);
const START_PAUSE: Duration = Duration::from_millis(20);
const WATCHDOG: &str = r#"trap '' INT TERM HUP; read -r _; kill -KILL "$1" 2>/dev/null"#;

pub(crate) struct RedisServer {
    port: u16,
    settings: Vec<String>,
    server: Child,
    /// Its standard input is the pipe.
    watchdog: Child,
}

impl RedisServer {
    /// Starts a server with further settings, such as `--requirepass`.
    pub(crate) fn start(settings: &[&str]) -> Self {
        let settings: Vec<String> = settings.iter().map(|text| (*text).to_owned()).collect();
        let until = Instant::now() + START_TIMEOUT;
        while Instant::now() < until {
            let port = free_port();
            if let Some((server, watchdog)) = serve(port, &settings) {
                return Self { port, settings, server, watchdog };
            }
        }
        panic!("Redis does not start");
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// What `redis-cli` prints for a command.
    pub(crate) fn command(&self, arguments: &[&str]) -> String {
        self.command_with(arguments, b"")
    }

    /// The same, with bytes as the last argument.
    pub(crate) fn command_with(&self, arguments: &[&str], last: &[u8]) -> String {
        let mut command = Command::new("redis-cli");
        command.args(["-p", &self.port.to_string()]);
        if !last.is_empty() {
            command.arg("-x");
        }
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect(MISSING);
        child.stdin.take().unwrap().write_all(last).unwrap();
        let output = child.wait_with_output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// `STOP` hangs it in the middle of whatever it does, `CONT` lets it go on.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.server.id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// As a crash.
    pub(crate) fn kill(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }

    /// Starts it again on the same port, after [`RedisServer::kill`]. It has forgotten everything.
    pub(crate) fn start_again(&mut self) {
        let until = Instant::now() + START_TIMEOUT;
        while Instant::now() < until {
            if let Some((server, watchdog)) = serve(self.port, &self.settings) {
                let mut former = std::mem::replace(&mut self.watchdog, watchdog);
                self.server = server;
                drop(former.stdin.take());
                let _ = former.wait();
                return;
            }
        }
        panic!("Redis does not start again");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

fn serve(port: u16, settings: &[String]) -> Option<(Child, Child)> {
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", ""]);
    command.args(["--appendonly", "no", "--enable-debug-command", "yes", "--dir"]);
    command.arg(std::env::temp_dir()).args(settings);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut server = command.spawn().expect(MISSING);
    let mut watchdog = Command::new("sh");
    watchdog.args(["-c", WATCHDOG, "watchdog", &server.id().to_string()]).stdin(Stdio::piped());
    let mut watchdog = watchdog.spawn().unwrap();
    let until = Instant::now() + START_TIMEOUT;
    while server.try_wait().unwrap().is_none() && Instant::now() < until {
        if std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Some((server, watchdog));
        }
        std::thread::sleep(START_PAUSE);
    }
    // The port was taken meanwhile.
    let _ = server.kill();
    let _ = server.wait();
    drop(watchdog.stdin.take());
    let _ = watchdog.wait();
    None
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
