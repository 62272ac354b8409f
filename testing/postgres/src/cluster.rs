//! One private server: its data, its port, its life.

use std::{
    fs,
    io::ErrorKind,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, bail};

use crate::{installation::Installation, port::free_port};

/// Waits for the end of its input, which comes when the owner drops it or dies, whatever of: so no
/// server outlives its tests.
const WATCHDOG: &str = r#"
cat >/dev/null
"$1" stop --silent --pgdata "$2/data" --mode immediate
rm -rf -- "$2"
"#;

/// The part of the configuration that changes while a server runs.
const MODE_FILE: &str = "mode.conf";

/// How often another port is tried when somebody was quicker.
const PORT_ATTEMPTS: u32 = 5;

/// What a [`Cluster`] is tuned for.
#[derive(Clone, Copy, Debug)]
pub struct ClusterOptions {
    /// Whether a commit survives a power cut. Off, many small databases come and go quicker; what
    /// was committed survives [`Cluster::kill`] either way.
    pub durable: bool,
    /// How many connections the server takes.
    pub connections_max: u16,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            durable: true,
            connections_max: 200,
        }
    }
}

/// A PostgreSQL server on 127.0.0.1, with a data folder of its own.
///
/// It is stopped and its folder removed when this is dropped and when this process ends, even by
/// SIGKILL. All its methods block until the server has done what they say.
#[derive(Debug)]
pub struct Cluster {
    installation: Installation,
    folder: PathBuf,
    port: u16,
    watchdog: Child,
}

impl Cluster {
    /// Creates an empty server and starts it.
    ///
    /// # Errors
    ///
    /// PostgreSQL is not installed, or does not start: the error holds its log.
    pub fn start(options: ClusterOptions) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("minitwit-postgres-")
            .tempdir()
            .context("cannot create a folder for PostgreSQL")?;
        let installation = Installation::find(folder.path())?;
        let watchdog = watch(&installation, folder.path())?;
        // From here on the watchdog removes the folder.
        let mut cluster = Self {
            installation,
            folder: folder.keep(),
            port: 0,
            watchdog,
        };
        cluster.create(options)?;
        for _ in 0..PORT_ATTEMPTS {
            cluster.port = free_port()?;
            match cluster.start_again() {
                Err(error) if format!("{error:#}").contains("Address already in use") => {}
                result => return result.map(|()| cluster),
            }
        }
        bail!("no free port found for PostgreSQL");
    }

    /// The URL of one of its databases; `postgres` is always there.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Starts it again after a stop, on the same port and with the same data.
    ///
    /// # Errors
    ///
    /// It does not start: the error holds its log.
    pub fn start_again(&self) -> anyhow::Result<()> {
        let log = self.folder.join("log");
        // What earlier starts wrote would hide why this one failed.
        if let Err(error) = fs::remove_file(&log)
            && error.kind() != ErrorKind::NotFound
        {
            return Err(error).context("cannot remove PostgreSQL's old log");
        }
        let mut command = self.control("start");
        command
            .arg("--log")
            .arg(&log)
            .args(["--options", &format!("-p {}", self.port)]);
        run(&mut command).with_context(|| fs::read_to_string(&log).unwrap_or_default())
    }

    /// Stops it in order: connections are cut, transactions rolled back, a checkpoint written.
    ///
    /// # Errors
    ///
    /// It is not running.
    pub fn stop_fast(&self) -> anyhow::Result<()> {
        run(self.control("stop").args(["--mode", "fast"]))
    }

    /// Stops it like a crash: nothing is written, the next start recovers from the log.
    ///
    /// # Errors
    ///
    /// It is not running.
    pub fn kill(&self) -> anyhow::Result<()> {
        run(self.control("stop").args(["--mode", "immediate"]))
    }

    /// Refuses writes, like a primary that a fail-over has demoted, or takes them again.
    ///
    /// Open connections are kept and follow with their next statement or shortly after: wait for
    /// it instead of relying on it.
    ///
    /// # Errors
    ///
    /// It is not running.
    pub fn set_read_only(&self, read_only: bool) -> anyhow::Result<()> {
        let setting = format!("default_transaction_read_only = {read_only}\n");
        fs::write(self.data().join(MODE_FILE), setting)
            .context("cannot write PostgreSQL's configuration")?;
        run(&mut self.control("reload"))
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn create(&self, options: ClusterOptions) -> anyhow::Result<()> {
        let data = self.data();
        let mut initdb = self
            .installation
            .command(self.installation.program("initdb"));
        // Trust: it listens on the loopback only, and holds nothing but what tests made up.
        initdb.args([
            "--username",
            "postgres",
            "--auth",
            "trust",
            "--encoding",
            "UTF8",
        ]);
        run(initdb
            .args(["--no-locale", "--no-sync", "--pgdata"])
            .arg(&data))?;

        // An ordinary user's own server might have the usual socket.
        let durable = if options.durable { "on" } else { "off" };
        let settings = format!(
            "listen_addresses = '127.0.0.1'\n\
             unix_socket_directories = ''\n\
             max_connections = {}\n\
             fsync = {durable}\n\
             full_page_writes = {durable}\n\
             include_if_exists = '{MODE_FILE}'\n",
            options.connections_max
        );
        let path = data.join("postgresql.conf");
        fs::read_to_string(&path)
            .and_then(|defaults| fs::write(&path, defaults + &settings))
            .context("cannot write PostgreSQL's configuration")
    }

    fn control(&self, action: &str) -> Command {
        let mut command = self
            .installation
            .command(self.installation.program("pg_ctl"));
        command
            .args([action, "--silent", "--pgdata"])
            .arg(self.data());
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        // Nothing is left to be done about a watchdog that cannot be waited for.
        let _ = self.watchdog.wait();
    }
}

fn watch(installation: &Installation, folder: &Path) -> anyhow::Result<Child> {
    installation
        .command("/bin/sh")
        .args(["-c", WATCHDOG, "watchdog"])
        .args([&installation.program("pg_ctl"), folder])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C and a test runner's time-out kill the whole group: it has to survive them.
        .process_group(0)
        .spawn()
        .context("cannot start PostgreSQL's watchdog")
}

/// Runs a command to its end; an error says what the command wrote.
fn run(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().to_owned();
    let name = program.to_string_lossy();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        bail!(
            "{name} failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}
