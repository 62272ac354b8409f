//! Import of a large old database while the suite serves (`cargo xtask import`).

mod compare;
mod file;

use std::{
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use minitwit_postgres::{Cluster, ClusterOptions};

use self::{compare::compare, file::Scale};
use crate::{
    fleet::{Build, ChildGuard, Fleet, Plan, Programs, Role, Suite, create_databases},
    load::{Load, LoadOptions, LoadReport},
    psql,
    wait::{pause, wait_for},
};

/// Maximum time of an import.
const IMPORT_TIMEOUT: Duration = Duration::from_mins(30);

/// Interval at which the imported messages are counted.
const COUNT_INTERVAL: Duration = Duration::from_millis(100);

/// Maximum number of lines of each log that are shown when requests failed.
const LOG_LINES_SHOWN_MAX: usize = 8;

/// Maximum number of times that the message service is killed.
const SERVICE_KILLS_MAX: u32 = 3;

/// Import a large old database while the simulator is served, and compare every row.
///
/// Creates a file of the old system, starts a private PostgreSQL, the services and a gateway, runs the
/// simulator and imports the file. Afterwards SQL on the file and SQL on the services' databases must list
/// every message, in order, with its time and author, and every follow, once each. Needs
/// postgresql and sqlite3. Exit code 0 when everything is equal and the simulator had no error. Errors are
/// expected with --kills.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    scale: Scale,
    /// Requests a second of the simulator during the import
    #[arg(long, default_value_t = 50, value_name = "PER_SECOND")]
    rate: u32,
    /// Number of times to kill the importer with SIGKILL, and the message service the first three
    /// times
    #[arg(long, default_value_t = 0, value_name = "N")]
    kills: u32,
    #[command(flatten)]
    build: Build,
}

/// Imports and compares.
pub(crate) async fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let programs = options.build.programs("dist")?;
    let folder = tempfile::tempdir().context("cannot create a folder")?;
    let old = folder.path().join("minitwit.db");
    println!("creating a file with {}", options.scale);
    file::create(&old, options.scale)?;
    let cluster = Cluster::start(ClusterOptions::default())?;
    let databases = create_databases(&cluster, &programs, "")?;
    let plan = Plan::with_replicas(1);
    let suite = Suite::start(&Fleet::new()?, &programs, databases, &plan).await?;
    suite.wait_until_serving().await?;

    let load = LoadOptions::per_second(format!("http://{}", suite.api()), options.rate);
    let load = Load::start(programs.minitwit(), &folder.path().join("load"), &load)?;
    load.run_margin();
    let start = Instant::now();
    let import = Import {
        programs,
        suite: &suite,
        cluster: &cluster,
        old: old.clone(),
    };
    import.run(options)?;
    println!("imported in {:.1} s", start.elapsed().as_secs_f64());
    let report = load.finish()?;
    for memory in suite.memory()? {
        println!("{}: at most {} MiB", memory.process, memory.peak_kib / 1024);
    }
    if report.failed() > 0 {
        print_logs(&suite);
    }
    compare(&old, &cluster)?;
    println!("every row of the file is stored once, in order");
    judge(&report, options)
}

fn print_logs(suite: &Suite) {
    for replica in suite.replicas() {
        for line in replica.process.log().lines().take(LOG_LINES_SHOWN_MAX) {
            println!("{}: {line}", replica.name());
        }
    }
}

fn judge(report: &LoadReport, options: &Options) -> anyhow::Result<ExitCode> {
    println!("simulator: {} failed of {}", report.failed(), report.sent());
    if let Some(latency) = report.total.latency {
        let [p50, p99, max] = [latency.p50, latency.p99, latency.max];
        println!("p50 {p50:.1}, p99 {p99:.1}, max {max:.1} ms");
    }
    if report.failed() > 0 {
        println!("{}", report.failures());
    }
    let found = report
        .verification
        .as_ref()
        .context("nothing was verified")?;
    let violations = found.violations.iter();
    let violations: Vec<String> = violations
        .map(|violation| format!("{}: {}", violation.kind, violation.detail))
        .collect();
    ensure!(violations.is_empty(), "{}", violations.join("\n"));
    let has_passed = report.failed() == 0 || options.kills > 0;
    Ok(if has_passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// An import into a running suite.
struct Import<'a> {
    programs: Programs,
    suite: &'a Suite,
    cluster: &'a Cluster,
    /// The file of the old system.
    old: PathBuf,
}

impl Import<'_> {
    /// Imports the file, and kills the import as often as wanted, each time after a further share of the
    /// messages.
    fn run(&self, options: &Options) -> anyhow::Result<()> {
        let mut import = self.start(&self.old)?;
        for kill in 0..options.kills {
            let share = u64::from(kill + 1) * options.scale.messages / u64::from(options.kills + 1);
            wait_for(IMPORT_TIMEOUT, || {
                ensure!(
                    import.0.try_wait()?.is_none(),
                    "the import ended before it was killed: use more --messages"
                );
                Ok((self.count_messages()? >= share).then_some(()))
            })?;
            import.0.kill()?;
            import.0.wait()?;
            println!("killed the import at {share} messages");
            import = self.start(&self.old)?;
            if kill < SERVICE_KILLS_MAX {
                pause(COUNT_INTERVAL);
                let service = self.suite.first(Role::Message)?;
                service.process.kill()?;
                service.process.start()?;
                println!("killed the message service and started it again");
            }
        }
        let status = wait_for(IMPORT_TIMEOUT, || Ok(import.0.try_wait()?))?;
        ensure!(status.success(), "the import failed, {status}");
        Ok(())
    }

    fn start(&self, old: &Path) -> anyhow::Result<ChildGuard> {
        let address = |role| anyhow::Ok(self.suite.first(role)?.address.to_string());
        let [user, follower, message] = Role::SERVICES.map(address);
        let process = self
            .programs
            .minitwit()
            .args(["import", "--suite"])
            .arg([user?, follower?, message?].join(","))
            .arg(old)
            .stdin(Stdio::null())
            .spawn()
            .context("cannot start the import")?;
        Ok(ChildGuard(process))
    }

    fn count_messages(&self) -> anyhow::Result<u64> {
        pause(COUNT_INTERVAL);
        let count = psql::query(self.cluster, "message", "SELECT count(*) FROM message")?;
        Ok(count.trim().parse()?)
    }
}
