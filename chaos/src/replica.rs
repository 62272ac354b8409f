//! One process of the suite: started, signalled and ended by its own id, and no other.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use crate::http;

/// Which program a replica is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// The user service.
    User,
    /// The follower service.
    Follower,
    /// The message service.
    Message,
    /// The gateway.
    Gateway,
}

impl Role {
    /// All of them, in the order in which they start.
    pub const ALL: [Self; 4] = [Self::User, Self::Follower, Self::Message, Self::Gateway];

    /// `user`, `follower`, `message` or `gateway`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Follower => "follower",
            Self::Message => "message",
            Self::Gateway => "gateway",
        }
    }

    /// The name of its program.
    pub fn program(self) -> String {
        format!("minitwit-{}", self.name())
    }
}

/// How often a condition is looked at that nobody announces.
const POLL: Duration = Duration::from_millis(20);

/// A process that can be started again and again at the same addresses.
#[derive(Debug)]
pub struct Replica {
    /// What it is.
    pub role: Role,
    /// `message-2`.
    pub name: String,
    /// Where it serves.
    pub address: SocketAddr,
    /// Where it tells of itself.
    pub admin: SocketAddr,
    /// The program.
    pub(crate) program: PathBuf,
    /// All that it is told.
    pub(crate) environment: Vec<(String, String)>,
    /// What it writes, all its lives together.
    pub(crate) log: PathBuf,
    pub(crate) life: Mutex<Life>,
}

/// The process of the moment.
#[derive(Debug, Default)]
pub(crate) struct Life {
    process: Option<Child>,
    number: u32,
}

impl Replica {
    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a process; it is not ready yet.
    pub fn start(&self) -> anyhow::Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let process = Command::new(&self.program)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        let mut life = self.life();
        life.process = Some(process);
        life.number += 1;
        Ok(())
    }

    /// Which of its lives this is, from 1.
    pub fn life_number(&self) -> u32 {
        self.life().number
    }

    /// Waits until `/readyz` says yes.
    pub async fn ready(&self, patience: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if let Some(status) = self.ended()? {
                bail!("{} ended early, {status}\n{}", self.name, self.log_tail());
            }
            if self.is_ready().await {
                return Ok(());
            }
            sleep(POLL).await;
        }
        bail!(
            "{} is not ready within {patience:?}\n{}",
            self.name,
            self.log_tail()
        );
    }

    /// Whether `/readyz` says yes within a moment.
    pub async fn is_ready(&self) -> bool {
        let asked = http::get(self.admin, "/readyz", Duration::from_millis(500)).await;
        asked.is_ok_and(|answer| answer.status == 200)
    }

    /// How the process ended, if it has.
    pub fn ended(&self) -> anyhow::Result<Option<ExitStatus>> {
        match &mut self.life().process {
            Some(process) => Ok(process.try_wait()?),
            None => Ok(None),
        }
    }

    /// Ends it as a crash does, and waits until its ports are free.
    pub fn kill(&self) -> anyhow::Result<()> {
        let mut life = self.life();
        if let Some(mut process) = life.process.take() {
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }

    /// Stops its clock: connections stay open, nothing is answered.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    pub fn thaw(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    /// Asks it to stop as an orchestrator does, and sees that it does so in order.
    pub async fn stop(&self, patience: Duration) -> anyhow::Result<()> {
        self.signal(Signal::TERM)?;
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.ended()? {
                self.life().process = None;
                if status.success() {
                    return Ok(());
                }
                bail!(
                    "{} did not stop in order, {status}\n{}",
                    self.name,
                    self.log_tail()
                );
            }
            if Instant::now() >= deadline {
                bail!("{} did not stop within {patience:?}", self.name);
            }
            sleep(POLL).await;
        }
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let life = self.life();
        let process = life.process.as_ref().context("the process has ended")?;
        kill_process(Pid::from_child(process), signal)
            .with_context(|| format!("cannot signal {}", self.name))
    }

    /// The last lines that it wrote.
    pub fn log_tail(&self) -> String {
        let text = self.log();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// All that it wrote.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How often a text occurs in what it wrote.
    pub fn count_in_log(&self, text: &str) -> usize {
        self.log().matches(text).count()
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        // SIGKILL ends a frozen process as well; one that has ended already is what is wanted.
        let _ = self.kill();
    }
}
