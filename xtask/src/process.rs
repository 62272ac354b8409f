//! Programs that a task starts, watches, and takes away with it.

use std::{
    fs,
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::wait::pause;

/// Remembers process ids, and kills them when its input ends without a word: so nothing outlives a
/// task that is killed itself.
const WATCHDOG: &str = r#"
processes=
while read -r line; do
    [ "$line" = done ] && exit
    processes="$processes $line"
done
[ -z "$processes" ] || kill -KILL $processes
"#;

const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How much of a log an error shows.
const LOG_LINES_MAX: usize = 20;

/// Programs that run until this is dropped, or until this process ends, by whatever.
#[derive(Debug)]
pub(crate) struct Fleet {
    programs: Vec<Program>,
    watchdog: Child,
    folder: TempDir,
}

#[derive(Debug)]
struct Program {
    name: String,
    process: Running,
    log: PathBuf,
}

/// A process that ends with what holds this.
#[derive(Debug)]
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail when it has ended already, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a program holds in memory.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    pub(crate) name: String,
    pub(crate) resident_kib: u64,
    pub(crate) peak_kib: u64,
}

impl Fleet {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let watchdog = Command::new("/bin/sh")
            .args(["-c", WATCHDOG])
            .stdin(Stdio::piped())
            // Ctrl-C kills the whole group: it has to survive that.
            .process_group(0)
            .spawn()
            .context("cannot start the watchdog")?;
        Ok(Self {
            programs: Vec::new(),
            watchdog,
            folder: tempfile::tempdir().context("cannot create a folder for logs")?,
        })
    }

    /// Starts a program; what it writes is shown only if it ends early.
    pub(crate) fn start(&mut self, name: &str, command: &mut Command) -> anyhow::Result<()> {
        let log = self.folder.path().join(name);
        let output = fs::File::create(&log)?;
        let process = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let watchdog = self.watchdog.stdin.as_mut().expect("its input is piped");
        writeln!(watchdog, "{}", process.id()).context("the watchdog has gone")?;
        self.programs.push(Program {
            name: name.to_owned(),
            process: Running(process),
            log,
        });
        Ok(())
    }

    /// Kills the programs of this name.
    pub(crate) fn stop(&mut self, name: &str) -> anyhow::Result<()> {
        for program in &mut self.programs {
            if program.name == name {
                program.process.0.kill()?;
                program.process.0.wait()?;
            }
        }
        self.programs.retain(|program| program.name != name);
        Ok(())
    }

    /// Fails with the log of a program that has ended, if there is one.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        for program in &mut self.programs {
            if let Some(status) = program.process.0.try_wait()? {
                let log = fs::read_to_string(&program.log)?;
                let lines: Vec<&str> = log.lines().collect();
                let last = lines.len().saturating_sub(LOG_LINES_MAX);
                bail!(
                    "{} ended early, {status}:\n{}",
                    program.name,
                    lines[last..].join("\n")
                );
            }
        }
        Ok(())
    }

    /// Asks `poll` until it has an answer, as long as every program runs.
    pub(crate) fn wait_for<T>(
        &mut self,
        patience: Duration,
        mut poll: impl FnMut() -> Option<T>,
    ) -> anyhow::Result<T> {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            self.check()?;
            if let Some(answer) = poll() {
                return Ok(answer);
            }
            pause(POLL_INTERVAL);
        }
        bail!("nothing within {patience:?}");
    }

    /// The first lines that each program wrote, with its name.
    pub(crate) fn first_words(&self, lines_max: usize) -> anyhow::Result<Vec<String>> {
        let mut words = Vec::new();
        for program in &self.programs {
            let log = fs::read_to_string(&program.log)?;
            let lines = log.lines().take(lines_max);
            words.extend(lines.map(|line| format!("{}: {line}", program.name)));
        }
        Ok(words)
    }

    /// What each program holds in memory now, and has held at most.
    pub(crate) fn memory(&self) -> anyhow::Result<Vec<Memory>> {
        self.programs.iter().map(Program::memory).collect()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.programs.clear();
        if let Some(mut watchdog) = self.watchdog.stdin.take() {
            let _ = watchdog.write_all(b"done\n");
        }
        let _ = self.watchdog.wait();
    }
}

impl Program {
    fn memory(&self) -> anyhow::Result<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.0.id()))
            .with_context(|| format!("cannot read the memory of {}", self.name))?;
        Ok(Memory {
            name: self.name.clone(),
            resident_kib: kib(&status, "VmRSS:")?,
            peak_kib: kib(&status, "VmHWM:")?,
        })
    }
}

/// A line such as `VmRSS:     1234 kB`.
fn kib(status: &str, name: &str) -> anyhow::Result<u64> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .with_context(|| format!("no {name} in the status of a process"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_takes_its_programs_with_it() {
        let mut fleet = Fleet::new().unwrap();
        fleet
            .start("sleeper", Command::new("sleep").arg("60"))
            .unwrap();
        fleet.check().unwrap();
        let memory = fleet.memory().unwrap();
        assert!(memory[0].peak_kib >= memory[0].resident_kib);
        let process = PathBuf::from(format!("/proc/{}", fleet.programs[0].process.0.id()));
        assert!(process.exists());

        drop(fleet);
        assert!(!process.exists());
    }

    #[test]
    fn a_program_that_ends_early_is_named_with_its_log() {
        let mut fleet = Fleet::new().unwrap();
        let script = ["-c", "echo no database; exit 3"];
        fleet
            .start("failing", Command::new("/bin/sh").args(script))
            .unwrap();

        let error = fleet
            .wait_for(Duration::from_secs(10), || None::<()>)
            .unwrap_err();
        let text = error.to_string();
        assert!(text.contains("failing ended early"), "{text}");
        assert!(text.contains("no database"), "{text}");
    }
}
