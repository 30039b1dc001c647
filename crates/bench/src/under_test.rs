//! What is measured: this program or a command, started here and ended by its id, or a process
//! that somebody else runs.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use url::Url;

use crate::arguments::Plan;
use crate::config;
use crate::connection::Connection;
use crate::cores::Cores;
use crate::error::BenchError;
use crate::limits::{POLL, START};
use crate::process::Process;
use crate::requests::Target;
use crate::world::World;

/// What its end said last is shown up to so many bytes.
const SHOWN_BYTES: usize = 2000;
const SERVER_ERRORS: u16 = 500;

/// What is measured, and answers.
pub(crate) struct UnderTest {
    pub(crate) target: Target,
    pub(crate) process: Process,
    /// Where this program tells how it is.
    pub(crate) ops: Option<Target>,
    started: Option<Started>,
    pid: u32,
}

/// A process of ours; it does not outlive this.
struct Started {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl UnderTest {
    /// Starts it if it is ours to start, and waits until it answers.
    pub(crate) async fn start(
        plan: &Plan,
        world: &World,
        program: &Path,
        folder: &Path,
        cores: Option<&Cores>,
    ) -> Result<Self, BenchError> {
        let Some(url) = &plan.run.url else {
            return Self::start_own(plan, world, program, folder, cores).await;
        };
        let target = Target::of(url)?;
        let mut found = if let Some(pid) = plan.run.pid {
            tell_facts(plan, world)?;
            let process = Process::find(pid).ok_or(BenchError::NoProcess(pid))?;
            Self { target, process, ops: None, started: None, pid }
        } else {
            let mut words = plan.run.command.iter();
            let mut command = kept_on(cores, words.next().map_or(Path::new(""), Path::new));
            command.args(words).envs(world.facts.variables());
            Self::launch(target, command, folder, "what is measured")?
        };
        let probe = if plan.work.is_for_a_gate() {
            found.target.get(None)
        } else {
            found.target.get_below("supported")
        };
        let target = found.target.clone();
        found.answers(&target, &probe, url.as_str(), |status| status < SERVER_ERRORS).await?;
        Ok(found)
    }

    async fn start_own(
        plan: &Plan,
        world: &World,
        program: &Path,
        folder: &Path,
        cores: Option<&Cores>,
    ) -> Result<Self, BenchError> {
        const READY: u16 = 200;
        let written = config::write(plan, &world.facts, folder)?;
        let parsed = |text: &str| {
            Url::parse(text).map_err(|error| BenchError::Unexpected(error.to_string()))
        };
        let target = Target::of(&parsed(&written.url)?)?;
        let mut command = kept_on(cores, program);
        command.arg(written.role).arg("--config").arg(&written.file).current_dir(folder);
        // A variable overlays the configuration, and may name the ledger of a real deployment.
        command.env_clear();
        let name = format!("faregate {}", written.role);
        let mut found = Self::launch(target, command, folder, &name)?;
        let ops = Target::of(&parsed(&format!("http://{}/", written.ops))?)?;
        let probe = ops.get_below("readyz");
        found.answers(&ops, &probe, &name, |status| status == READY).await?;
        found.ops = Some(ops);
        Ok(found)
    }

    fn launch(
        target: Target,
        mut command: Command,
        folder: &Path,
        name: &str,
    ) -> Result<Self, BenchError> {
        let log = folder.join("under-test.log");
        let file = File::create(&log).map_err(BenchError::io("the log of what is measured"))?;
        let said = file.try_clone().map_err(BenchError::io("the log of what is measured"))?;
        command.stdin(Stdio::null()).stdout(said).stderr(file);
        let child = command.spawn().map_err(BenchError::io(format!("{name} did not start")))?;
        let pid = child.id();
        let started = Started { name: name.to_owned(), child, log };
        // It may have ended already, which the first look tells with its last words.
        Ok(Self { target, process: Process::of(pid), ops: None, started: Some(started), pid })
    }

    /// Asks until an answer is `good`.
    async fn answers(
        &mut self,
        target: &Target,
        probe: &[u8],
        what: &str,
        good: impl Fn(u16) -> bool,
    ) -> Result<(), BenchError> {
        let mut connection = Connection::to(target.address);
        let began = Instant::now();
        let mut last = "nobody listens".to_owned();
        while began.elapsed() < START {
            self.check()?;
            match connection.exchange(probe).await {
                Ok(answer) if good(answer.status) => return Ok(()),
                Ok(answer) => last = format!("the last answer had status {}", answer.status),
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(POLL).await;
        }
        Err(BenchError::Silent { what: what.to_owned(), last })
    }

    /// An error if it has ended.
    pub(crate) fn check(&mut self) -> Result<(), BenchError> {
        let Some(started) = &mut self.started else {
            return Process::find(self.pid).map(drop).ok_or(BenchError::NoProcess(self.pid));
        };
        match started.child.try_wait().map_err(BenchError::io(started.name.clone()))? {
            None => Ok(()),
            Some(status) => Err(BenchError::Ended {
                what: started.name.clone(),
                status: status.to_string(),
                said: started.last_words(),
            }),
        }
    }
}

impl Started {
    fn last_words(&self) -> String {
        let said = std::fs::read(&self.log).unwrap_or_default();
        let from = said.len().saturating_sub(SHOWN_BYTES);
        String::from_utf8_lossy(said.get(from..).unwrap_or_default()).trim().to_owned()
    }
}

/// The command, on its processors if it has some of its own.
fn kept_on(cores: Option<&Cores>, program: &Path) -> Command {
    let Some(cores) = cores else { return Command::new(program) };
    let [taskset, flag, list] = cores.prefix();
    let mut command = Command::new(taskset);
    command.args([flag, list]).arg(program);
    command
}

/// For whoever starts what is measured by hand.
fn tell_facts(plan: &Plan, world: &World) -> Result<(), BenchError> {
    use std::io::Write as _;
    let facts = &world.facts;
    let text = if plan.run.json {
        let facts = serde_json::to_string(facts);
        facts.map_err(|error| BenchError::Unexpected(error.to_string()))?
    } else {
        let key = facts.signer_keys.first().map(String::as_str).unwrap_or_default();
        format!(
            "chain      {}   id {}\ntoken      {}\npay to     {}\nsigner     {key}\nupstream   {}",
            facts.rpc, facts.chain_id, facts.token, facts.pay_to, facts.upstream
        )
    };
    let mut out = std::io::stdout().lock();
    // Nobody has to read it.
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    Ok(())
}
