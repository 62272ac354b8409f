//! A private PostgreSQL server, with its data folder and its port.

use std::{
    fs,
    io::ErrorKind,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, bail};

use crate::{installation::Installation, port::free_port};

/// A shell script that waits for the end of its input, and then stops the server and removes its folder.
/// The input ends when the owner closes it or dies for any reason, so no server outlives its tests.
const WATCHDOG: &str = r#"
cat >/dev/null
"$1" stop --silent --pgdata "$2/data" --mode immediate
rm -rf -- "$2"
"#;

/// Name of the configuration file that changes while a server runs.
const MODE_FILE: &str = "mode.conf";

/// Maximum number of ports to try when other processes occupy the port first.
const PORT_ATTEMPTS_MAX: u32 = 5;

/// Options of a [`Cluster`].
#[derive(Clone, Copy, Debug)]
pub struct ClusterOptions {
    /// Whether a commit survives a power failure (`fsync`). `false` makes creating and dropping many
    /// small databases faster. Commits survive [`Cluster::kill`] in both cases.
    pub durable: bool,
    /// Maximum number of connections to the server.
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
/// The server is stopped and its folder is removed when this is dropped and when this process ends,
/// even by SIGKILL. All methods block until the server has finished the operation.
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
    /// PostgreSQL is not installed, or does not start. If it does not start, the error contains its log.
    pub fn start(options: ClusterOptions) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("minitwit-postgres-")
            .tempdir()
            .context("cannot create a folder for PostgreSQL")?;
        let installation = Installation::find(folder.path())?;
        let watchdog = start_watchdog(&installation, folder.path())?;
        // From here on the watchdog removes the folder.
        let mut cluster = Self {
            installation,
            folder: folder.keep(),
            port: 0,
            watchdog,
        };
        cluster.create(options)?;
        for _ in 0..PORT_ATTEMPTS_MAX {
            cluster.port = free_port()?;
            match cluster.start_again() {
                Err(error) if format!("{error:#}").contains("Address already in use") => {}
                result => return result.map(|()| cluster),
            }
        }
        bail!("no free port found for PostgreSQL");
    }

    /// The URL of a database of the server. The database `postgres` always exists.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Starts the stopped server again, on the same port and with the same data.
    ///
    /// # Errors
    ///
    /// The server does not start. The error contains its log.
    pub fn start_again(&self) -> anyhow::Result<()> {
        let log = self.folder.join("log");
        // Lines of earlier starts in the log would hide the cause if this start fails.
        if let Err(error) = fs::remove_file(&log)
            && error.kind() != ErrorKind::NotFound
        {
            return Err(error).context("cannot remove the old log of PostgreSQL");
        }
        let mut command = self.pg_ctl("start");
        command
            .arg("--log")
            .arg(&log)
            .args(["--options", &format!("-p {}", self.port)]);
        run(&mut command).with_context(|| fs::read_to_string(&log).unwrap_or_default())
    }

    /// Stops the server with `pg_ctl`'s mode `fast`. Connections are closed, transactions are rolled
    /// back, and a checkpoint is written.
    ///
    /// # Errors
    ///
    /// The server is not running.
    pub fn stop_fast(&self) -> anyhow::Result<()> {
        run(self.pg_ctl("stop").args(["--mode", "fast"]))
    }

    /// Stops the server with `pg_ctl`'s mode `immediate`, like a crash. No checkpoint is written, and
    /// the next start recovers from the write-ahead log.
    ///
    /// # Errors
    ///
    /// The server is not running.
    pub fn kill(&self) -> anyhow::Result<()> {
        run(self.pg_ctl("stop").args(["--mode", "immediate"]))
    }

    /// Makes the server refuse writes, like a primary that a failover has demoted, or accept writes
    /// again.
    ///
    /// Open connections stay open. The setting reaches them with their next statement or shortly later,
    /// so a test must wait for its effect.
    ///
    /// # Errors
    ///
    /// The server is not running.
    pub fn set_read_only(&self, read_only: bool) -> anyhow::Result<()> {
        let setting = format!("default_transaction_read_only = {read_only}\n");
        fs::write(self.data().join(MODE_FILE), setting)
            .context("cannot write the configuration of PostgreSQL")?;
        run(&mut self.pg_ctl("reload"))
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Creates the data folder with `initdb`, and writes the configuration.
    fn create(&self, options: ClusterOptions) -> anyhow::Result<()> {
        let data = self.data();
        let mut initdb = self
            .installation
            .command(self.installation.program("initdb"));
        // No password is needed, because the server listens on 127.0.0.1 only and contains test data
        // only.
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

        // The server has no Unix socket, because another server of the user may use the default socket.
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
            .context("cannot write the configuration of PostgreSQL")
    }

    /// A `pg_ctl` command for the server.
    fn pg_ctl(&self, action: &str) -> Command {
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
        // If waiting for the watchdog fails, there is nothing else to do.
        let _ = self.watchdog.wait();
    }
}

/// Starts the watchdog process.
fn start_watchdog(installation: &Installation, folder: &Path) -> anyhow::Result<Child> {
    installation
        .command("/bin/sh")
        .args(["-c", WATCHDOG, "watchdog"])
        .args([&installation.program("pg_ctl"), folder])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C and the timeout of a test runner kill the whole process group, and the watchdog must
        // survive that.
        .process_group(0)
        .spawn()
        .context("cannot start the watchdog of PostgreSQL")
}

/// Runs a command to its end. If the command fails, the error contains its error output.
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
