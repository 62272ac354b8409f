//! `cargo xtask import`: a large old database brought over while the suite serves.

mod file;
mod verdict;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use minitwit_postgres::{Cluster, ClusterOptions};

use crate::{
    load::{Load, LoadOptions, Measured},
    process::{Fleet, Running},
    psql,
    suite::{Binaries, SERVICES, free_address, wait_until_serving},
    wait::{pause, wait_for},
};

use self::{file::Scale, verdict::compare};

/// How long everything may take.
const PATIENCE: Duration = Duration::from_mins(30);

/// How often it is looked how far the import has come.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How many lines of each program are shown when the simulator saw errors.
const LINES_SHOWN: usize = 8;

/// How often the message service is killed, where anything is.
const SERVICE_KILLS: u32 = 3;

/// Bring a large old database over while the simulator is served, and compare every row.
///
/// Makes a file of the old system, starts a private PostgreSQL, the services and a gateway, lets
/// the simulator loose on it and imports the file. Afterwards SQL on the file and SQL on the
/// services' databases must list the same: every message, in order, with its time and author, and
/// every follow, once each. Needs postgresql and sqlite3. Exit code 0 when all is the same and the
/// simulator saw no error; errors are expected where something is killed.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    scale: Scale,
    /// Requests a second of the simulator meanwhile
    #[arg(long, default_value_t = 50, value_name = "PER_SECOND")]
    rate: u32,
    /// Kill the importer so many times with -9, and the message service the first three times
    #[arg(long, default_value_t = 0, value_name = "N")]
    kills: u32,
    /// The profile that the suite is built with
    #[arg(long, default_value = "dist", value_name = "PROFILE")]
    profile: String,
    /// A folder with the suite's programs, instead of building them
    #[arg(long, value_name = "FOLDER")]
    programs: Option<PathBuf>,
}

/// Runs all of it.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let binaries = match &options.programs {
        Some(folder) => Binaries::in_folder(folder),
        None => Binaries::build(&options.profile)?,
    };
    let folder = tempfile::tempdir().context("cannot create a folder")?;
    let old = folder.path().join("minitwit.db");
    println!("making a file of {}", options.scale);
    file::make(&old, options.scale)?;
    let cluster = Cluster::start(ClusterOptions::default())?;
    let mut suite = Suite::start(&binaries, &cluster)?;

    let load = LoadOptions {
        url: format!("http://{}", suite.api),
        credentials: None,
        rate: options.rate,
        allowed_percent: 0.0,
    };
    let load = Load::start(binaries.suite(), &folder.path().join("load"), &load)?;
    load.run_alone();
    let began = Instant::now();
    suite.import(&old, options)?;
    println!("imported in {:.1} s", began.elapsed().as_secs_f64());
    let measured = load.finish()?;
    for memory in suite.fleet.memory()? {
        println!("{}: {} MiB at most", memory.name, memory.peak_kib / 1024);
    }
    if measured.failed > 0 {
        println!("{}", suite.fleet.first_words(LINES_SHOWN)?.join("\n"));
    }
    compare(&old, &cluster)?;
    println!("every row of the file is there once, in order");
    judge(&measured, options)
}

fn judge(measured: &Measured, options: &Options) -> anyhow::Result<ExitCode> {
    let [p50, p99, max] = measured.latency_ms;
    println!(
        "simulator: {} failed of {}; p50 {p50:.1}, p99 {p99:.1}, max {max:.1} ms",
        measured.failed, measured.sent
    );
    if measured.failed > 0 {
        println!("{}", measured.story());
    }
    ensure!(
        measured.violations.is_empty(),
        "{}",
        measured.violations.join("\n")
    );
    let is_good = measured.failed == 0 || options.kills > 0;
    Ok(if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A gateway and the services, each a process over its database.
struct Suite<'a> {
    binaries: &'a Binaries,
    cluster: &'a Cluster,
    fleet: Fleet,
    /// Where the [`SERVICES`] listen, in their order.
    services: [SocketAddr; 3],
    api: SocketAddr,
}

impl<'a> Suite<'a> {
    fn start(binaries: &'a Binaries, cluster: &'a Cluster) -> anyhow::Result<Self> {
        let services = [free_address()?, free_address()?, free_address()?];
        let mut fleet = Fleet::new()?;
        for (name, address) in SERVICES.into_iter().zip(services) {
            psql::create(cluster, name)?;
            let url = cluster.url(name);
            binaries.migrate(name, &url)?;
            binaries.start_service_at(&mut fleet, address, name, name, &url)?;
        }
        let replicas = services.map(|address| vec![address]);
        let api = binaries
            .start_gateway(&mut fleet, "gateway", &replicas)?
            .api;
        wait_until_serving(&mut fleet, api)?;
        Ok(Self {
            binaries,
            cluster,
            fleet,
            services,
            api,
        })
    }

    /// Kills the message service, and starts it where it was.
    fn replace_message_service(&mut self) -> anyhow::Result<()> {
        let ([.., address], name) = (self.services, "message");
        self.fleet.stop(name)?;
        let url = self.cluster.url(name);
        self.binaries
            .start_service_at(&mut self.fleet, address, name, name, &url)
    }

    /// Imports the file, with as many interruptions as are wanted, each when another part of the
    /// messages is there.
    fn import(&mut self, old: &Path, options: &Options) -> anyhow::Result<()> {
        let mut import = self.start_import(old)?;
        for kill in 0..options.kills {
            let share = u64::from(kill + 1) * options.scale.messages / u64::from(options.kills + 1);
            wait_for(PATIENCE, || {
                ensure!(
                    import.0.try_wait()?.is_none(),
                    "the import ended before it was to be killed: the file is too small"
                );
                Ok((self.count_messages()? >= share).then_some(()))
            })?;
            import.0.kill()?;
            import.0.wait()?;
            println!("killed the import at {share} messages");
            import = self.start_import(old)?;
            if kill < SERVICE_KILLS {
                pause(LOOK_EVERY);
                self.replace_message_service()?;
                println!("killed the message service, too");
            }
        }
        let status = wait_for(PATIENCE, || Ok(import.0.try_wait()?))?;
        ensure!(status.success(), "the import ended with {status}");
        Ok(())
    }

    fn start_import(&self, old: &Path) -> anyhow::Result<Running> {
        let [user, follower, message] = self.services;
        let process = self
            .binaries
            .suite()
            .args(["import", "--suite"])
            .arg(format!("{user},{follower},{message}"))
            .arg(old)
            .stdin(Stdio::null())
            .spawn()
            .context("cannot start the import")?;
        Ok(Running(process))
    }

    fn count_messages(&self) -> anyhow::Result<u64> {
        pause(LOOK_EVERY);
        let counted = psql::ask(self.cluster, "message", "SELECT count(*) FROM message")?;
        Ok(counted.trim().parse()?)
    }
}
