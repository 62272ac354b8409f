//! Comparison of the suite with a monolith, with itself without telemetry, or with another build, side by
//! side on this machine (`cargo xtask bench`).
//!
//! The speed of a machine changes from minute to minute, so nothing is compared across time. The two sides
//! are driven in turn for a short time each, and the result is the ratio within such a pair. Both sides run
//! all the time, over one durable PostgreSQL with the same rows.

mod data;
mod estimate;
mod report;
mod side;
mod wrk;

use std::{
    fs,
    num::{NonZeroU32, NonZeroU64},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context;

use self::{
    data::{Databases, Scale},
    report::{Pair, Report, Row},
    side::{Against, Sides},
    wrk::{Kind, Load},
};
use crate::fleet::Build;

/// Driven time of each side after which the databases are reset, because written rows make later requests
/// slower.
const RESET_AFTER: Duration = Duration::from_secs(5);

/// Least ratio to another build that counts as equally fast.
const BUILD_THRESHOLD: f64 = 0.97;

/// Compare the suite with a monolith, with itself without telemetry, or with another build.
///
/// Builds both sides, starts a private PostgreSQL with durable commits, loads the same rows into the
/// databases of both, and drives them in turn with wrk. Prints a table with the median ratio of the pairs
/// and its 95 % interval, and writes the table, JSON and a chart into a folder. With the defaults it takes
/// some 40 minutes after the builds. Other work on the machine makes the results wrong. PostgreSQL's files
/// are in TMPDIR. On a RAM disk commits cost nothing, which favours the monolith.
///
/// It needs wrk and postgresql, and sqlite3 with `--engine sqlite`: `apt-get install wrk postgresql
/// sqlite3`. Exit code 1 when a request failed or when a threshold was missed.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Numbers of concurrent connections
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "64,16,1",
        default_value_if("quick", "true", "64"),
        value_name = "LIST"
    )]
    connections: Vec<NonZeroU32>,
    /// Kinds of work
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "msgs,umsgs,post,fllws,fpost,mix",
        value_name = "LIST"
    )]
    kinds: Vec<Kind>,
    /// Whether requests have a `latest`, as the simulator's have
    #[arg(
        long,
        value_enum,
        default_value_t = Latest::Both,
        default_value_if("quick", "true", "with"),
        value_name = "WHICH"
    )]
    latest: Latest,
    /// Seconds for which each side is driven in a pair
    #[arg(long, default_value = "1", value_name = "N")]
    seconds: NonZeroU64,
    /// Number of pairs of each load. From 6 pairs on the ratio has a 95 % interval
    #[arg(
        long,
        default_value = "21",
        default_value_if("quick", "true", "1"),
        value_name = "N"
    )]
    pairs: NonZeroU64,
    /// Seconds for which each side is driven before the first pair of a load
    #[arg(
        long,
        default_value_t = 2,
        default_value_if("quick", "true", "1"),
        value_name = "SECONDS"
    )]
    warm_up: u64,
    #[command(flatten)]
    scale: Scale,
    /// Opponent of the suite
    #[arg(long, value_enum, default_value_t = Against::Monolith, value_name = "WHAT")]
    against: Against,
    /// Compare with the suite's programs in this folder instead, over the same databases
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["against", "opponent"])]
    against_build: Option<PathBuf>,
    /// Least ratio of every kind, missed if the whole 95 % interval is below it [default: 0.97 with
    /// --against-build, otherwise none]
    #[arg(long, value_name = "RATIO")]
    threshold: Option<f64>,
    /// Database of the suite. With SQLite the suite is one process
    #[arg(long, value_enum, default_value_t = Engine::Postgres, value_name = "ENGINE")]
    engine: Engine,
    /// Program of another monolith than the repository's own, which reads `DATABASE_URL`, `PORT` and `LATEST`
    #[arg(long, value_name = "PROGRAM")]
    opponent: Option<PathBuf>,
    /// Tables and rows of that monolith, for psql, if they are not those of bench/data/monolith.sql
    #[arg(long, requires = "opponent", value_name = "FILE")]
    opponent_data: Option<PathBuf>,
    #[command(flatten)]
    build: Build,
    /// Folder for the results [default: bench/out]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Another file for the chart, besides the one in the folder
    #[arg(long, value_name = "FILE")]
    chart: Option<PathBuf>,
    /// One pair of each kind with 64 connections, to test that the bench works
    #[arg(long)]
    quick: bool,
}

/// Whether requests have a `latest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Latest {
    /// First all, then none
    Both,
    /// Every request has one, so that reads write as well
    With,
    /// No request has one, so that the monolith's reads write nothing
    Without,
}

/// Database of the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
enum Engine {
    /// A gateway and three services, each a process, on PostgreSQL
    Postgres,
    /// One process on SQLite
    Sqlite,
}

/// Runs the bench and writes the results, also when requests failed.
pub(crate) async fn run(options: &Options) -> anyhow::Result<ExitCode> {
    wrk::program()?;
    let against = match &options.against_build {
        Some(_) => Against::Build,
        None => options.against,
    };
    let programs = options.build.programs("dist")?;
    let opponent = side::build(options, against)?;
    println!("loading the databases");
    let databases = Databases::load(
        &programs,
        options.scale,
        options.engine,
        options.opponent_data.clone(),
    )?;
    let sides = Sides::start(&programs, &opponent, &databases, options.engine).await?;
    let is_build = against == Against::Build;
    let report = Report {
        against,
        engine: options.engine,
        scale: options.scale,
        seconds: options.seconds.get(),
        threshold: options.threshold.or(is_build.then_some(BUILD_THRESHOLD)),
        rows: measure(options, &databases, &sides)?,
        memory: sides.memory()?,
    };
    println!("\n{}", report.markdown());
    write(options, &report)?;
    let problems = report.problems();
    for problem in &problems {
        println!("FAILED {problem}");
    }
    Ok(if problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl Options {
    /// All loads in the order of the table.
    fn loads(&self) -> Vec<Load> {
        let latest: &[bool] = match self.latest {
            Latest::Both => &[true, false],
            Latest::With => &[true],
            Latest::Without => &[false],
        };
        let mut loads = Vec::new();
        for &with_latest in latest {
            for &kind in &self.kinds {
                for connections in &self.connections {
                    loads.push(Load {
                        kind,
                        connections: connections.get(),
                        with_latest,
                        users: self.scale.users,
                    });
                }
            }
        }
        loads
    }
}

fn measure(options: &Options, databases: &Databases, sides: &Sides) -> anyhow::Result<Vec<Row>> {
    let loads = options.loads();
    let mut progress = Progress::new(loads.len(), options.pairs.get());
    let time = Duration::from_secs(options.seconds.get());
    let warm_up = Duration::from_secs(options.warm_up);
    let mut rows = Vec::with_capacity(loads.len());
    for load in loads {
        databases.reset().context("cannot reset the databases")?;
        if !warm_up.is_zero() {
            Pair::drive(sides, &load, warm_up, false)?;
        }
        let mut driven = warm_up;
        let mut pairs = Vec::new();
        for number in 0..options.pairs.get() {
            if driven + time > RESET_AFTER || number == 0 {
                databases.reset().context("cannot reset the databases")?;
                driven = Duration::ZERO;
            }
            // Neither side is always the first, because the second finds what the first has written.
            let pair = Pair::drive(sides, &load, time, number % 2 == 1)?;
            driven += time;
            sides.check()?;
            progress.report(&load, &pair);
            pairs.push(pair);
        }
        rows.push(Row { load, pairs });
    }
    Ok(rows)
}

impl Pair {
    /// Drives both sides in turn.
    fn drive(
        sides: &Sides,
        load: &Load,
        time: Duration,
        is_other_first: bool,
    ) -> anyhow::Result<Self> {
        let drive_suite = || wrk::drive(sides.suite.api(), load, time);
        let drive_other = || wrk::drive(sides.other.api(), load, time);
        let (suite, other) = if is_other_first {
            let other = drive_other()?;
            (drive_suite()?, other)
        } else {
            (drive_suite()?, drive_other()?)
        };
        Ok(Self { suite, other })
    }
}

fn write(options: &Options, report: &Report) -> anyhow::Result<()> {
    let default = || xtask::workspace().join("bench/out");
    let folder = options.out.clone().unwrap_or_else(default);
    fs::create_dir_all(&folder)
        .with_context(|| format!("cannot create the folder {}", folder.display()))?;
    let chart = report.chart().svg();
    let mut files = vec![
        (folder.join("bench.json"), format!("{:#}\n", report.json())),
        (folder.join("bench.md"), report.markdown()),
        (folder.join("bench.svg"), chart.clone()),
    ];
    files.extend(options.chart.clone().map(|path| (path, chart)));
    for (path, text) in files {
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("wrote {}", path.display());
    }
    Ok(())
}

/// Number of measured pairs and remaining time.
#[derive(Debug)]
struct Progress {
    start: Instant,
    done: u32,
    total: u32,
}

impl Progress {
    fn new(loads: usize, pairs: u64) -> Self {
        let total = u64::try_from(loads)
            .unwrap_or(u64::MAX)
            .saturating_mul(pairs);
        Self {
            start: Instant::now(),
            done: 0,
            total: u32::try_from(total).unwrap_or(u32::MAX),
        }
    }

    fn report(&mut self, load: &Load, pair: &Pair) {
        self.done += 1;
        let left = self.start.elapsed() / self.done * (self.total - self.done);
        let errors = match pair.suite.errors() + pair.other.errors() {
            0 => String::new(),
            errors => format!(", {errors} ERRORS"),
        };
        println!(
            "[{:>3}/{}] {load}: {:>6.0}/s to {:>6.0}/s, {:.2} ×{errors}; {} min {:02} s left",
            self.done,
            self.total,
            pair.suite.requests_per_second,
            pair.other.requests_per_second,
            pair.ratio(),
            left.as_secs() / 60,
            left.as_secs() % 60,
        );
    }
}
