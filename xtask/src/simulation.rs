//! A simulator run against the whole suite, as its users start both.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command},
    sync::mpsc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use minitwit_postgres::free_port;

use crate::{
    steps::{self, Outcome},
    suite::Binaries,
};

const START_TIMEOUT: Duration = Duration::from_secs(10);
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Starts the suite on SQLite, lets a crowd loose on it, verifies what it left, stops it.
pub(crate) fn run() -> anyhow::Result<Outcome> {
    let binary = Binaries::beside()?.program("minitwit");
    let folder = tempfile::tempdir().context("cannot create a folder for the suite")?;
    let mut suite = Suite::start(&binary, folder.path())?;
    let api = format!("http://{}", suite.api);
    let crowd = [
        "--actions",
        "2000",
        "--concurrency",
        "8",
        "--seed",
        "1",
        "--timeout",
        "2s",
    ];
    let simulated = steps::run(Command::new(&binary).args(["simulate", &api]).args(crowd));
    let stopped = suite.stop();
    if simulated.is_err() || stopped.is_err() {
        println!("{}", fs::read_to_string(folder.path().join("log"))?);
    }
    stopped.and(simulated)
}

/// A running suite; killed if it is dropped before it has stopped.
#[derive(Debug)]
struct Suite {
    process: Child,
    api: SocketAddr,
}

impl Suite {
    fn start(binary: &Path, folder: &Path) -> anyhow::Result<Self> {
        let address = || anyhow::Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?)));
        let api = address()?;
        let log = fs::File::create(folder.join("log"))?;
        let process = Command::new(binary)
            .env("LISTEN_PAGES", address()?.to_string())
            .env("LISTEN_API", api.to_string())
            .env("LISTEN_ADMIN", address()?.to_string())
            .env("LISTEN_USER", address()?.to_string())
            .env("LISTEN_FOLLOWER", address()?.to_string())
            .env("LISTEN_MESSAGE", address()?.to_string())
            // The programs of the tests are not optimised; what is asked is whether all is there.
            .env("API_BUDGET_MS", "2000")
            .env("DATA_DIR", folder.join("data"))
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let mut suite = Self { process, api };
        let listening = wait_for(START_TIMEOUT, || {
            if let Some(status) = suite.process.try_wait()? {
                bail!("the suite ended early, {status}");
            }
            Ok(TcpStream::connect(api).ok())
        });
        match listening.context("the suite does not start") {
            Ok(_) => Ok(suite),
            Err(error) => {
                println!("{}", fs::read_to_string(folder.join("log"))?);
                Err(error)
            }
        }
    }

    /// Asks it to stop as an orchestrator does, and sees that it does so in order.
    fn stop(&mut self) -> anyhow::Result<()> {
        steps::run(Command::new("kill").args(["-TERM", &self.process.id().to_string()]))?;
        let status = wait_for(STOP_TIMEOUT, || Ok(self.process.try_wait()?))
            .context("the suite does not stop")?;
        if !status.success() {
            bail!("the suite did not stop in order, {status}");
        }
        Ok(())
    }
}

impl Drop for Suite {
    fn drop(&mut self) {
        // Both fail when it has stopped already, which is what is wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Asks `poll` until it has an answer; `patience` is a bound, not a sleep.
fn wait_for<T>(
    patience: Duration,
    mut poll: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + patience;
    // Nothing is ever sent: a pause that no runtime thread could be blocked by mistake with.
    let (_sender, never) = mpsc::channel::<()>();
    while Instant::now() < deadline {
        if let Some(answer) = poll()? {
            return Ok(answer);
        }
        let _ = never.recv_timeout(POLL_INTERVAL);
    }
    bail!("nothing within {patience:?}");
}
