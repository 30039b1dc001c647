//! A process that runs as long as a test needs it: started, awaited, told to stop, and killed by
//! its id whatever happens to the test.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time in which everything that we start must be ready, on a busy machine.
const START: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);

pub(crate) struct Service {
    name: String,
    child: Child,
    stdout: Receiver<String>,
    stderr: Arc<Mutex<String>>,
    listener: Option<JoinHandle<()>>,
}

impl Service {
    pub(crate) fn start(name: &str, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} ({command:?}): {error}"));
        let (lines, stdout) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                // The test may have lost interest; the pipe must be emptied all the same.
                let _ = lines.send(line);
            }
        });
        let stderr = Arc::new(Mutex::new(String::new()));
        let (mut err, kept) = (child.stderr.take().unwrap(), Arc::clone(&stderr));
        let listener = std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(size @ 1..) = err.read(&mut chunk) {
                kept.lock().unwrap().push_str(&String::from_utf8_lossy(&chunk[..size]));
            }
        });
        Self { name: name.to_owned(), child, stdout, stderr, listener: Some(listener) }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Memory that it has in use, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        self.status_kib("VmRSS:")
    }

    /// Most memory that it ever had in use, in KiB.
    pub(crate) fn peak_resident_kib(&self) -> u64 {
        self.status_kib("VmHWM:")
    }

    fn status_kib(&self, what: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
        line.trim().trim_end_matches("kB").trim().parse().unwrap()
    }

    /// Processor time that it has used, in the kernel's ticks.
    pub(crate) fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        // The name, in parentheses, may hold anything; user and system time are fields 14 and 15.
        let (_, fields) = stat.rsplit_once(')').unwrap();
        fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it said on stderr so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// The next line of its stdout.
    pub(crate) fn line(&mut self) -> String {
        self.stdout.recv_timeout(START).unwrap_or_else(|_| {
            let ended = self.child.try_wait().unwrap();
            panic!("{} printed nothing (ended: {ended:?}):\n{}", self.name, self.stderr())
        })
    }

    /// Whatever it prints on stdout until it ends.
    pub(crate) fn rest_of_stdout(&self) -> Vec<String> {
        self.stdout.iter().collect()
    }

    /// Waits until `ready` says so.
    pub(crate) fn until(&mut self, what: &str, mut ready: impl FnMut() -> bool) {
        let started = Instant::now();
        while !ready() {
            if let Some(ended) = self.child.try_wait().unwrap() {
                panic!("{} ended ({ended}) before {what}:\n{}", self.name, self.stderr());
            }
            assert!(started.elapsed() < START, "{}: no {what}:\n{}", self.name, self.stderr());
            std::thread::sleep(POLL);
        }
    }

    /// Sends a signal by name, such as `INT`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &pid]).status();
        assert!(sent.unwrap().success(), "{}: the signal was not sent", self.name);
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self, limit: Duration) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                // It may end before its last words are read.
                self.listener.take().map(JoinHandle::join).transpose().unwrap();
                return status;
            }
            let waited = started.elapsed();
            assert!(waited < limit, "{} still runs after {waited:?}", self.name);
            std::thread::sleep(POLL);
        }
    }

    /// As the kernel does when memory is short: no chance to tidy up.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- stderr of {}\n{}", self.name, self.stderr());
        }
    }
}

/// The binary under test: built beside the binary of these tests.
pub(crate) fn faregate() -> Command {
    let own = std::env::current_exe().unwrap();
    let profile = own.parent().and_then(|deps| deps.parent()).unwrap();
    let binary = profile.join("faregate");
    assert!(binary.is_file(), "{} is missing: cargo build -p faregate", binary.display());
    Command::new(binary)
}

/// The folder of the node scripts and packages.
pub(crate) fn node_folder() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("node");
    assert!(folder.join("node_modules").is_dir(), "run npm ci in {}", folder.display());
    folder
}

/// An executable of Foundry for this platform. Not the script of that name in `.bin`: killed, it
/// would leave the real process behind.
pub(crate) fn foundry(name: &str) -> Command {
    let scope = node_folder().join("node_modules/@foundry-rs");
    let packages = std::fs::read_dir(&scope).unwrap().filter_map(Result::ok);
    let binaries = packages.map(|package| package.path().join("bin").join(name));
    let native = |path: &PathBuf| {
        let inside = path.strip_prefix(&scope).unwrap().to_string_lossy().into_owned();
        inside.starts_with(&format!("{name}-")) && path.is_file()
    };
    let mut found = binaries.filter(native);
    Command::new(found.next().unwrap_or_else(|| panic!("{name} is not in {}", scope.display())))
}

/// A script of the node folder.
pub(crate) fn node_script(name: &str) -> Command {
    let mut command = Command::new("node");
    command.current_dir(node_folder()).arg(name);
    command
}

/// What a command that ends by itself left.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    /// Its stdout as one JSON value.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}:\n{}\n{}", self.stdout, self.stderr))
    }

    pub(crate) fn succeeded(self) -> Self {
        assert!(self.status.success(), "{}:\n{}\n{}", self.status, self.stdout, self.stderr);
        self
    }
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Finished {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    Finished {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
