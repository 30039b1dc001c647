//! Throw-away PostgreSQL clusters. One serves the whole test binary, with a database for each
//! test; a test that kills its server has one of its own.
//!
//! A watchdog stops a server and removes its files when the cluster is dropped or this process
//! ends in any way: it waits for the end of a pipe that only this process holds.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

const MISSING: &str =
    "PostgreSQL is not installed: apt-get install --no-install-recommends postgresql";
const INSTALLED: &str = "/usr/lib/postgresql";
const START_TIMEOUT: Duration = Duration::from_secs(30);
const START_PAUSE: Duration = Duration::from_millis(30);
/// PostgreSQL refuses to run as root.
const UNPRIVILEGED: &str = "postgres";
const ROLE: &str = "faregate";
pub(crate) const PASSWORD: &str = "not-a-secret-but-must-not-be-shown";

const WATCHDOG: &str = r#"
trap '' INT TERM HUP
read -r _
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
if [ -n "$pid" ] && grep -q "$1" "/proc/$pid/cmdline" 2>/dev/null; then
    kill -QUIT "$pid"
    while [ -e "/proc/$pid" ] && ! grep -q 'State:.Z' "/proc/$pid/status"; do sleep 0.05; done
fi
rm -rf "$1"
"#;

pub(crate) struct Cluster {
    dir: PathBuf,
    binaries: PathBuf,
    settings: Vec<&'static str>,
    port: u16,
    server: Child,
    databases: AtomicU32,
    /// Its standard input is the pipe.
    watchdog: Child,
}

/// The cluster of the whole test binary.
pub(crate) fn shared() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| Cluster::start(&[]))
}

impl Cluster {
    /// Makes and starts a cluster with further `settings`, such as `fsync=off`.
    pub(crate) fn start(settings: &[&'static str]) -> Self {
        let binaries = binaries();
        let dir = tempfile::Builder::new().prefix("faregate-pg").tempdir_in(place());
        let dir = dir.unwrap().keep();
        let mut watchdog = Command::new("sh");
        watchdog.args(["-c", WATCHDOG, "watchdog"]).arg(&dir).process_group(0);
        watchdog.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let watchdog = watchdog.spawn().unwrap();
        initialise(&binaries, &dir);
        certify(&dir);
        let settings = settings.to_vec();
        let (server, port) = serve(&binaries, &dir, &settings, None);
        let databases = AtomicU32::new(0);
        Self { dir, binaries, settings, port, server, databases, watchdog }
    }

    /// A new, empty database; its name.
    pub(crate) async fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::SeqCst));
        let mut admin = PgConnection::connect(&self.url("postgres")).await.unwrap();
        admin.execute(AssertSqlSafe(format!("create database {name}"))).await.unwrap();
        name
    }

    /// Over the socket, without a password.
    pub(crate) fn url(&self, database: &str) -> String {
        let (dir, port) = (self.dir.display(), self.port);
        format!("postgres://{ROLE}@localhost/{database}?host={dir}&port={port}")
    }

    /// Over TCP, with a password.
    pub(crate) fn tcp_url(&self, database: &str) -> String {
        tcp_url(self.port, database)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its own certificate, for `localhost` and 127.0.0.1, which is its own root.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.data().join("server.crt")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Kills the postmaster as a crash would. Its children end by themselves.
    pub(crate) fn kill(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }

    /// Starts it again on the same port, after [`Cluster::kill`].
    pub(crate) fn start_again(&mut self) {
        (self.server, _) = serve(&self.binaries, &self.dir, &self.settings, Some(self.port));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Closes the pipe, and waits so that the server is gone when the test is.
        drop(self.watchdog.stdin.take());
        let _ = self.server.wait();
        let _ = self.watchdog.wait();
    }
}

pub(crate) fn tcp_url(port: u16, database: &str) -> String {
    format!("postgres://{ROLE}:{PASSWORD}@127.0.0.1:{port}/{database}")
}

/// Memory if there is plenty: a server that is killed loses nothing there, and it is quick.
fn place() -> PathBuf {
    const MEMORY: &str = "/dev/shm";
    const PLENTY_KIB: u64 = 4 * 1024 * 1024;
    let df = Command::new("df").args(["--output=avail", "-k", MEMORY]).output();
    let free = df.ok().and_then(|out| String::from_utf8(out.stdout).ok());
    let free = free.and_then(|text| text.lines().last()?.trim().parse::<u64>().ok());
    if free.is_some_and(|free| free >= PLENTY_KIB) { MEMORY.into() } else { std::env::temp_dir() }
}

/// The newest installed version.
fn binaries() -> PathBuf {
    let versions = fs::read_dir(INSTALLED).unwrap_or_else(|_| panic!("{MISSING}"));
    let found = versions.map(|entry| entry.unwrap().path().join("bin"));
    let mut found: Vec<_> = found.filter(|bin| bin.join("initdb").exists()).collect();
    let version = |bin: &PathBuf| {
        let name = bin.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        name.and_then(|name| name.parse::<u32>().ok())
    };
    found.sort_by_key(version);
    found.pop().unwrap_or_else(|| panic!("{MISSING}"))
}

/// User and group to run the server as, if this process is root.
fn unprivileged() -> Option<(u32, u32)> {
    let id = |arguments: &[&str]| {
        let out = Command::new("id").args(arguments).output().unwrap();
        assert!(out.status.success(), "there is no user {UNPRIVILEGED}. {MISSING}");
        String::from_utf8(out.stdout).unwrap().trim().parse::<u32>().unwrap()
    };
    (id(&["-u"]) == 0).then(|| (id(&["-u", UNPRIVILEGED]), id(&["-g", UNPRIVILEGED])))
}

fn command(program: &Path, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir).env_clear().stdin(Stdio::null());
    if let Some((user, group)) = unprivileged() {
        command.uid(user).gid(group);
    }
    command
}

/// A file that the server may read.
pub(crate) fn give(path: &Path) {
    const OWNER_ONLY: u32 = 0o600;
    if path.is_file() {
        fs::set_permissions(path, fs::Permissions::from_mode(OWNER_ONLY)).unwrap();
    }
    if let Some((user, group)) = unprivileged() {
        chown(path, Some(user), Some(group)).unwrap();
    }
}

fn initialise(binaries: &Path, dir: &Path) {
    give(dir);
    let password = dir.join("password");
    writeln!(File::create(&password).unwrap(), "{PASSWORD}").unwrap();
    give(&password);
    let mut initdb = command(&binaries.join("initdb"), dir);
    initdb.args(["--no-sync", "--auth-local=trust", "--auth-host=scram-sha-256"]);
    initdb.args(["--encoding=UTF8", "--locale=C", "--username", ROLE, "--pwfile"]).arg(&password);
    let made = initdb.arg("--pgdata").arg(dir.join("data")).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// A key and a certificate, where the server looks for them.
fn certify(dir: &Path) {
    const NEW: &str = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
         -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
         -addext basicConstraints=critical,CA:FALSE -keyout server.key -out server.crt";
    let data = dir.join("data");
    let mut openssl = Command::new("openssl");
    openssl.args(NEW.split_whitespace()).current_dir(&data).stdin(Stdio::null());
    let made = openssl.output().expect("openssl is not installed: apt-get install openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    for name in ["server.key", "server.crt"] {
        give(&data.join(name));
    }
}

/// Starts the server and waits until it answers.
fn serve(binaries: &Path, dir: &Path, settings: &[&str], port: Option<u16>) -> (Child, u16) {
    let until = Instant::now() + START_TIMEOUT;
    while Instant::now() < until {
        let port = port.unwrap_or_else(free_port);
        let log = File::options().create(true).append(true).open(dir.join("log")).unwrap();
        let mut server = command(&binaries.join("postgres"), dir);
        server.arg("-D").arg(dir.join("data")).arg("-k").arg(dir).arg("-p").arg(port.to_string());
        let fixed =
            ["listen_addresses=127.0.0.1", "max_connections=200", "shared_buffers=32MB", "ssl=on"];
        server.args(fixed.iter().chain(settings).flat_map(|setting| ["-c", setting]));
        let mut server = server.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        while server.try_wait().unwrap().is_none() && Instant::now() < until {
            let mut ready = Command::new(binaries.join("pg_isready"));
            ready.arg("-q").arg("-h").arg(dir).arg("-p").arg(port.to_string());
            if ready.status().unwrap().success() {
                return (server, port);
            }
            std::thread::sleep(START_PAUSE);
        }
        // The port was taken meanwhile, or children of the killed server still run.
        std::thread::sleep(START_PAUSE);
    }
    panic!("PostgreSQL does not start:\n{}", log(dir).unwrap_or_default());
}

fn log(dir: &Path) -> io::Result<String> {
    fs::read_to_string(dir.join("log"))
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}
