//! The ledger's database: started, killed and read by nothing of ours, so that the books are judged
//! by what is on disk.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::ports;

const INSTALL: &str = "apt-get install postgresql sqlite3";
const PROGRAMS: &str = "/usr/lib/postgresql";
/// Who PostgreSQL runs as if this is root, whom it refuses.
const ACCOUNT: &str = "postgres";
/// Time in which the database must be there again after it was killed.
const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(50);

/// Where payments are remembered.
pub(crate) enum Database {
    /// A file that one replica has open.
    Sqlite(PathBuf),
    /// A cluster of this run.
    Postgres(Box<Cluster>),
}

impl Database {
    /// What `[ledger] url` says.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite(file) => format!("sqlite://{}", file.display()),
            Self::Postgres(cluster) => {
                format!("postgres://{ACCOUNT}@127.0.0.1:{}/{ACCOUNT}", cluster.port)
            }
        }
    }

    /// The rows of a query, as text. A binary column is asked for with [`Database::hex`].
    pub(crate) fn rows(&self, query: &str) -> Result<Vec<Vec<String>>, String> {
        let mut command = match self {
            Self::Sqlite(file) => {
                let mut command = Command::new("sqlite3");
                command.args(["-readonly", "-batch", "-separator", "\t"]).arg(file).arg(query);
                command
            }
            Self::Postgres(cluster) => {
                let mut command = cluster.psql();
                command.args(["-c", query]);
                command
            }
        };
        let output = command.stdin(Stdio::null()).output();
        let output = output.map_err(|error| format!("{error}; {INSTALL}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
    }

    /// A binary column as small hex digits.
    pub(crate) fn hex(&self, column: &str) -> String {
        match self {
            Self::Sqlite(_) => format!("lower(hex({column}))"),
            Self::Postgres(_) => format!("encode({column}, 'hex')"),
        }
    }
}

/// A PostgreSQL cluster in a folder of its own.
pub(crate) struct Cluster {
    programs: PathBuf,
    folder: PathBuf,
    log: PathBuf,
    port: u16,
    server: Child,
}

impl Cluster {
    /// Makes and starts a cluster; its log goes to `logs`.
    pub(crate) fn start(logs: &Path) -> Self {
        let programs = programs();
        let folder = std::env::temp_dir().join(format!("faregate-crash-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        if is_root() {
            run(Command::new("chown").arg(ACCOUNT).arg(&folder));
        }
        let mut initdb = as_account(&programs.join("initdb"));
        // The cluster itself is durable; only its making need not be.
        initdb.args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C", "-U", ACCOUNT]);
        run(initdb.arg("-D").arg(folder.join("data")).current_dir(&folder));
        let (port, log) = (ports::one(), logs.join("postgres.log"));
        let server = serve(&programs, &folder, port, &log);
        let mut cluster = Self { programs, folder, log, port, server };
        cluster.wait();
        cluster
    }

    fn psql(&self) -> Command {
        let mut command = Command::new(self.programs.join("psql"));
        command.args(["-X", "-A", "-t", "-F", "\t", "-h", "127.0.0.1", "-U", ACCOUNT]);
        command.args(["-p", &self.port.to_string(), "-d", ACCOUNT]);
        command
    }

    /// A way to ask it often: a new session each time it is called.
    pub(crate) fn sessions(&self) -> impl Fn() -> Option<Session> + Send + 'static {
        let (program, arguments) = {
            let psql = self.psql();
            let arguments: Vec<_> = psql.get_args().map(std::ffi::OsStr::to_owned).collect();
            (psql.get_program().to_owned(), arguments)
        };
        move || {
            let mut command = Command::new(&program);
            command.args(&arguments).args(["-q", "-v", "ON_ERROR_STOP=1"]);
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
            let mut child = command.spawn().ok()?;
            let (asks, answers) = (child.stdin.take()?, BufReader::new(child.stdout.take()?));
            Some(Session { child, asks, answers })
        }
    }

    /// As if its machine had lost the process; then starts it over its files.
    pub(crate) fn kill_and_start(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        self.server = serve(&self.programs, &self.folder, self.port, &self.log);
        self.wait();
    }

    /// Until it answers. Its first processes may refuse because orphans of the killed one still
    /// hold the memory they shared.
    fn wait(&mut self) {
        let started = Instant::now();
        let port = self.port.to_string();
        loop {
            let mut ask = Command::new(self.programs.join("pg_isready"));
            ask.args(["-q", "-h", "127.0.0.1", "-U", ACCOUNT, "-d", ACCOUNT, "-p", &port]);
            if ask.status().unwrap().success() {
                return;
            }
            let log = self.log.display();
            assert!(started.elapsed() < START, "PostgreSQL does not start: {log}");
            if self.server.try_wait().unwrap().is_some() {
                self.server = serve(&self.programs, &self.folder, self.port, &self.log);
            }
            std::thread::sleep(POLL);
        }
    }
}

/// A session that stays open, until the database goes away or a statement fails.
pub(crate) struct Session {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Session {
    /// The one line that `statement` answers with; `None` ends the session.
    pub(crate) fn line(&mut self, statement: &str) -> Option<String> {
        writeln!(self.asks, "{}", statement.replace('\n', " ")).ok()?;
        let mut line = String::new();
        let read = self.answers.read_line(&mut line).ok()?;
        (read > 0).then(|| line.trim().to_owned())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let pid = self.server.id().to_string();
        let _ = Command::new("sh").args(["-c", "kill -s INT \"$0\"", &pid]).status();
        let told = Instant::now();
        while matches!(self.server.try_wait(), Ok(None)) && told.elapsed() < STOP {
            std::thread::sleep(POLL);
        }
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn serve(programs: &Path, folder: &Path, port: u16, log: &Path) -> Child {
    let log: File = OpenOptions::new().create(true).append(true).open(log).unwrap();
    let mut command = as_account(&programs.join("postgres"));
    command.arg("-D").arg(folder.join("data")).arg("-k").arg(folder);
    command.args(["-h", "127.0.0.1", "-p", &port.to_string()]).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn().unwrap_or_else(|error| panic!("PostgreSQL: {error}; {INSTALL}"))
}

/// The newest PostgreSQL of this machine.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir(PROGRAMS).unwrap_or_else(|error| {
        panic!("{PROGRAMS}: {error}; {INSTALL}");
    });
    let folders = versions.filter_map(Result::ok).map(|entry| entry.path().join("bin"));
    let newest = folders.filter(|folder| folder.join("postgres").is_file()).max();
    newest.unwrap_or_else(|| panic!("no PostgreSQL in {PROGRAMS}; {INSTALL}"))
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout.trim_ascii() == b"0"
}

/// The program, as an account that it accepts. It is this very process: its id is the child's.
fn as_account(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    let (user, group) = (format!("--reuid={ACCOUNT}"), format!("--regid={ACCOUNT}"));
    command.args([&user, &group, "--clear-groups", "--"]).arg(program);
    command
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {error}");
}
