//! Processes that the lab starts and ends, and the suite as an orchestrator runs it.
//!
//! A [`Suite`] has several replicas of each program, each on a loopback address of its own. The lab signals
//! only processes that it has started. All of them end with the lab, even after a SIGKILL.

mod edge;
mod process;
mod programs;
mod proxy;
mod single;
mod suite;

use std::{
    collections::BTreeSet,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context;
use minitwit_postgres::free_port;
use tempfile::TempDir;

pub(crate) use self::{
    process::{ChildGuard, Memory, Process},
    programs::{Build, Programs, Role, profile_folder},
    proxy::NetworkFault,
    single::Single,
    suite::{
        BadAddress, DatabaseUrls, Drain, Plan, Replica, START_TIMEOUT, Suite, create_databases,
        wait_until_serving,
    },
};

/// A shell script that kills the processes on its list when its input ends without the line `done`.
const WATCHDOG: &str = r#"
processes=
while read -r verb process; do
    case $verb in
    add) processes="$processes $process " ;;
    remove) processes="${processes%% $process *} ${processes#* $process }" ;;
    done) exit ;;
    esac
done
for process in $processes; do kill -KILL "$process"; done
"#;

/// Starts processes and keeps their logs. The folder of the logs is removed with the last process.
#[derive(Debug)]
pub(crate) struct Fleet {
    folder: TempDir,
    watchdog: Mutex<Child>,
}

impl Fleet {
    pub(crate) fn new() -> anyhow::Result<Arc<Self>> {
        let watchdog = Command::new("/bin/sh")
            .args(["-c", WATCHDOG])
            .stdin(Stdio::piped())
            // Ctrl-C signals the whole process group, which the watchdog has to survive.
            .process_group(0)
            .spawn()
            .context("cannot start the watchdog")?;
        let folder = tempfile::Builder::new().prefix("minitwit-lab-").tempdir();
        Ok(Arc::new(Self {
            folder: folder.context("cannot create a folder for logs")?,
            watchdog: Mutex::new(watchdog),
        }))
    }

    /// Starts a process whose output goes to a log.
    pub(crate) fn start(self: &Arc<Self>, name: &str, command: Command) -> anyhow::Result<Process> {
        let process = Process::new(Arc::clone(self), name, command)?;
        process.start()?;
        Ok(process)
    }

    /// The folder of the logs and of other files that end with the processes.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn tell_watchdog(&self, verb: &str, process: u32) -> anyhow::Result<()> {
        let mut watchdog = self.watchdog.lock().unwrap_or_else(PoisonError::into_inner);
        let input = watchdog
            .stdin
            .as_mut()
            .context("the watchdog's input is closed")?;
        writeln!(input, "{verb} {process}").context("the watchdog has ended")
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let watchdog = self
            .watchdog
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(mut input) = watchdog.stdin.take() {
            // Fails when the watchdog has ended already.
            let _ = input.write_all(b"done\n");
        }
        let _ = watchdog.wait();
    }
}

/// Returns an address of this machine on which a server can listen.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    free_address_of(Ipv4Addr::LOCALHOST)
}

/// Returns an address of a loopback host on which a server can listen. No port is returned twice, because
/// the server of an earlier address may not listen yet.
fn free_address_of(host: Ipv4Addr) -> anyhow::Result<SocketAddr> {
    static USED_PORTS: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut used = USED_PORTS.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let port = free_port().context("no port is free")?;
        if used.insert(port) {
            return Ok((host, port).into());
        }
    }
}
