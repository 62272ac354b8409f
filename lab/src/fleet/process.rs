//! A process of the fleet. Each signal goes to the process by its own id.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::Fleet;
use crate::wait::wait_until;

const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Maximum number of lines of a log that an error shows.
const LOG_LINES_SHOWN_MAX: usize = 20;

/// A program that can be started again and again with the same command. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) name: String,
    /// The output of all starts.
    log: PathBuf,
    state: Mutex<State>,
    fleet: Arc<Fleet>,
}

#[derive(Debug)]
struct State {
    command: Command,
    child: Option<Child>,
    starts: u32,
}

/// Memory of a process.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Memory {
    pub(crate) process: String,
    pub(crate) resident_kib: u64,
    pub(crate) peak_kib: u64,
}

impl Process {
    pub(super) fn new(fleet: Arc<Fleet>, name: &str, mut command: Command) -> anyhow::Result<Self> {
        let log = fleet.folder().join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log)?;
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        Ok(Self {
            name: name.to_owned(),
            log,
            state: Mutex::new(State {
                command,
                child: None,
                starts: 0,
            }),
            fleet,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the process. The process is not ready yet when this returns.
    pub(crate) fn start(&self) -> anyhow::Result<()> {
        let mut state = self.state();
        let child = state
            .command
            .spawn()
            .with_context(|| format!("cannot start {}", self.name))?;
        self.fleet.tell_watchdog("add", child.id())?;
        state.child = Some(child);
        state.starts += 1;
        Ok(())
    }

    /// Number of starts so far.
    pub(crate) fn starts(&self) -> u32 {
        self.state().starts
    }

    /// The exit status of a process that has ended by itself.
    pub(crate) fn exit_status(&self) -> anyhow::Result<Option<ExitStatus>> {
        match &mut self.state().child {
            Some(child) => Ok(child.try_wait()?),
            None => Ok(None),
        }
    }

    /// Fails if the process has ended by itself. The error shows the end of the log.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        match self.exit_status()? {
            Some(status) => bail!("{} ended early, {status}:\n{}", self.name, self.log_tail()),
            None => Ok(()),
        }
    }

    /// Ends the process as a crash does, and waits until its ports are free.
    pub(crate) fn kill(&self) -> anyhow::Result<()> {
        let child = self.state().child.take();
        let Some(mut child) = child else {
            return Ok(());
        };
        child.kill()?;
        child.wait()?;
        self.fleet.tell_watchdog("remove", child.id())
    }

    /// Freezes the process. Its connections stay open and nothing is answered.
    pub(crate) fn freeze(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Resumes a frozen process.
    pub(crate) fn resume(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    /// Stops the process as an orchestrator does, and fails unless the process ends orderly.
    pub(crate) async fn stop(&self, timeout: Duration) -> anyhow::Result<()> {
        self.signal(Signal::TERM)?;
        let status = wait_until(timeout, POLL_INTERVAL, async || self.exit_status())
            .await
            .with_context(|| format!("{} has not stopped", self.name))?;
        if !status.success() {
            bail!(
                "{} did not stop orderly, {status}:\n{}",
                self.name,
                self.log_tail()
            );
        }
        self.kill()
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let state = self.state();
        let child = state.child.as_ref().context("the process has ended")?;
        kill_process(Pid::from_child(child), signal)
            .with_context(|| format!("cannot signal {}", self.name))
    }

    /// Waits until `poll` returns a value, and fails as soon as the process has ended.
    pub(crate) async fn wait_for<T>(
        &self,
        timeout: Duration,
        mut poll: impl AsyncFnMut() -> Option<T>,
    ) -> anyhow::Result<T> {
        wait_until(timeout, POLL_INTERVAL, async || {
            self.check()?;
            Ok(poll().await)
        })
        .await
        .with_context(|| format!("{} is not ready:\n{}", self.name, self.log_tail()))
    }

    /// The whole log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The last lines of the log.
    pub(crate) fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN_MAX)..].join("\n")
    }

    /// Number of times that a text occurs in the log.
    pub(crate) fn count_in_log(&self, text: &str) -> usize {
        self.log().matches(text).count()
    }

    /// The present and the greatest memory of the process.
    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        let id = self.state().child.as_ref().map(Child::id);
        let id = id.with_context(|| format!("{} has ended", self.name))?;
        let status = fs::read_to_string(format!("/proc/{id}/status"))
            .with_context(|| format!("cannot read the memory of {}", self.name))?;
        Ok(Memory {
            process: self.name.clone(),
            resident_kib: kib(&status, "VmRSS:")?,
            peak_kib: kib(&status, "VmHWM:")?,
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails when the process has ended already.
        let _ = self.kill();
    }
}

/// Reads a line such as `VmRSS:     1234 kB`.
fn kib(status: &str, name: &str) -> anyhow::Result<u64> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .with_context(|| format!("no {name} in the status of a process"))
}

/// A child process that is killed when dropped.
#[derive(Debug)]
pub(crate) struct ChildGuard(pub(crate) Child);

impl Drop for ChildGuard {
    fn drop(&mut self) {
        // Both fail when the process has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_process_ends_when_it_is_dropped() {
        let fleet = Fleet::new().unwrap();
        let mut command = Command::new("sleep");
        command.arg("60");
        let process = fleet.start("sleeper", command).unwrap();
        process.check().unwrap();
        let memory = process.memory().unwrap();
        assert!(memory.peak_kib >= memory.resident_kib);
        let id = process.state().child.as_ref().map(Child::id).unwrap();
        let folder = format!("/proc/{id}");
        assert!(Path::new(&folder).exists());

        drop(process);
        assert!(!Path::new(&folder).exists());
    }

    #[tokio::test]
    async fn the_error_for_a_process_that_ended_early_shows_its_log() {
        let fleet = Fleet::new().unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo no database; exit 3"]);
        let process = fleet.start("failing", command).unwrap();

        let result = process.wait_for(Duration::from_secs(10), async || None::<()>);
        let text = format!("{:#}", result.await.unwrap_err());
        assert!(text.contains("failing ended early"), "{text}");
        assert!(text.contains("no database"), "{text}");
    }

    #[tokio::test]
    async fn a_killed_process_can_be_started_again() {
        let fleet = Fleet::new().unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo started; sleep 60"]);
        let process = fleet.start("restarted", command).unwrap();
        let is_started = async |starts| {
            let has_written = async || (process.count_in_log("started") == starts).then_some(());
            process.wait_for(Duration::from_secs(10), has_written).await
        };
        is_started(1).await.unwrap();
        process.kill().unwrap();
        process.start().unwrap();

        is_started(2).await.unwrap();
        assert_eq!(process.starts(), 2);
    }
}
