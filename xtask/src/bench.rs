//! `cargo xtask bench`: the suite against a monolith, side by side on this machine.
//!
//! A machine has moods, so nothing is compared across time: the two sides are driven in turn, a few
//! seconds each, and what counts is the ratio within such a pair. Both are up all the while, over
//! one durable PostgreSQL, with the same rows.

mod chart;
mod data;
mod report;
mod side;
mod wrk;

use std::{
    fs,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context;

use crate::suite::Binaries;

use self::{
    data::{Databases, Scale},
    report::{Pair, Report, Row},
    side::{Against, Programs, Sides},
    wrk::{Kind, Load},
};

/// Measure the suite against a monolith, side by side, or against itself without telemetry.
///
/// Builds both, starts a private PostgreSQL with durable commits, loads the same rows into the
/// databases of both, and drives them in turn with wrk. Prints a table, and writes it, JSON and the
/// chart into a folder. With the defaults it takes some 25 minutes after the builds: other work on
/// the machine makes the numbers wrong. PostgreSQL's files are below TMPDIR: on a RAM disk commits
/// cost nothing, which flatters the monolith.
///
/// It needs wrk and postgresql, and sqlite3 with `--engine sqlite`:
/// `apt-get install wrk postgresql sqlite3` brings them.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// With how many connections at once
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "64,16,1",
        default_value_if("quick", "true", "64"),
        value_name = "LIST",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    connections: Vec<u32>,
    /// Which kinds of work
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "msgs,umsgs,post,fllws,fpost,mix",
        value_name = "LIST"
    )]
    kinds: Vec<Kind>,
    /// Whether requests bring a `latest`, as the simulator's do
    #[arg(
        long,
        value_enum,
        default_value_t = Latest::Both,
        default_value_if("quick", "true", "with"),
        value_name = "WHICH"
    )]
    latest: Latest,
    /// How long each side is driven in a pair
    #[arg(
        long,
        default_value_t = 5,
        default_value_if("quick", "true", "2"),
        value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    seconds: u64,
    /// How many pairs there are of each load
    #[arg(
        long,
        default_value_t = 3,
        default_value_if("quick", "true", "1"),
        value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    pairs: u64,
    /// How many seconds each side is driven before the first pair of a load
    #[arg(
        long,
        default_value_t = 2,
        default_value_if("quick", "true", "1"),
        value_name = "SECONDS"
    )]
    warm_up: u64,
    #[command(flatten)]
    scale: Scale,
    /// What the suite is measured against
    #[arg(long, value_enum, default_value_t = Against::Monolith, value_name = "WHAT")]
    against: Against,
    /// What the suite runs on; with SQLite it is one process
    #[arg(long, value_enum, default_value_t = Engine::Postgres, value_name = "ENGINE")]
    engine: Engine,
    /// Another monolith than the repository's own: a program that reads `DATABASE_URL`, `PORT` and `LATEST`
    #[arg(long, value_name = "PROGRAM")]
    opponent: Option<PathBuf>,
    /// Its tables and rows, for psql, if they are not those of bench/data/monolith.sql
    #[arg(long, requires = "opponent", value_name = "FILE")]
    opponent_data: Option<PathBuf>,
    /// The profile that the suite is built with
    #[arg(long, default_value = "dist", value_name = "PROFILE")]
    profile: String,
    /// Where the results go [default: bench/out]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Another place for the chart, besides the folder
    #[arg(long, value_name = "FILE")]
    chart: Option<PathBuf>,
    /// One short pair of each kind with 64 connections: does it work at all?
    #[arg(long)]
    quick: bool,
}

/// Whether requests bring a `latest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Latest {
    /// First with one, then without
    Both,
    /// Every request does: reads write as well
    With,
    /// None does: the monolith's reads write nothing
    Without,
}

/// What the suite runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Engine {
    /// A gateway and three services, each a process, on PostgreSQL
    Postgres,
    /// One process on SQLite
    Sqlite,
}

impl Engine {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Sqlite => "sqlite",
        }
    }
}

/// Runs all of it. An error on either side fails the bench, after the results are written.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    wrk::program()?;
    let binaries = Binaries::build(&options.profile)?;
    let programs = Programs::build(&binaries, options.against, options.opponent.as_deref())?;
    println!("loading the databases");
    let opponent_data = options.opponent_data.clone();
    let databases = Databases::load(&binaries, options.scale, options.engine, opponent_data)?;
    let mut sides = Sides::start(&programs, &databases, options.engine)?;
    let rows = measure(options, &databases, &mut sides)?;
    let report = Report {
        against: options.against,
        engine: options.engine,
        scale: options.scale,
        seconds: options.seconds,
        rows,
        memory: sides.fleet.memory()?,
    };
    println!("\n{}", report.markdown());
    write(options, &report)?;
    match report.errors() {
        0 => Ok(ExitCode::SUCCESS),
        errors => {
            println!("{errors} requests went wrong: the table says on which side");
            Ok(ExitCode::FAILURE)
        }
    }
}

impl Options {
    /// Every load that is to be driven, in the order of the table.
    fn loads(&self) -> Vec<Load> {
        let latest: &[bool] = match self.latest {
            Latest::Both => &[true, false],
            Latest::With => &[true],
            Latest::Without => &[false],
        };
        let mut loads = Vec::new();
        for &with_latest in latest {
            for &kind in &self.kinds {
                for &connections in &self.connections {
                    loads.push(Load {
                        kind,
                        connections,
                        with_latest,
                        users: self.scale.users,
                    });
                }
            }
        }
        loads
    }
}

fn measure(
    options: &Options,
    databases: &Databases,
    sides: &mut Sides,
) -> anyhow::Result<Vec<Row>> {
    let loads = options.loads();
    let mut progress = Progress::new(loads.len(), options.pairs);
    let mut rows = Vec::with_capacity(loads.len());
    for load in loads {
        let mut pairs = Vec::new();
        for number in 0..options.pairs {
            databases.reset().context("cannot put the data back")?;
            if number == 0 && options.warm_up > 0 {
                let time = Duration::from_secs(options.warm_up);
                wrk::drive(sides.suite, &load, time)?;
                wrk::drive(sides.other, &load, time)?;
                databases.reset().context("cannot put the data back")?;
            }
            let time = Duration::from_secs(options.seconds);
            let pair = Pair {
                suite: wrk::drive(sides.suite, &load, time)?,
                other: wrk::drive(sides.other, &load, time)?,
            };
            sides.fleet.check()?;
            progress.tell(&load, &pair);
            pairs.push(pair);
        }
        rows.push(Row { load, pairs });
    }
    Ok(rows)
}

fn write(options: &Options, report: &Report) -> anyhow::Result<()> {
    let default = || crate::cargo::workspace().join("bench/out");
    let folder = options.out.clone().unwrap_or_else(default);
    fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let chart = chart::svg(report);
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

/// What is done, and when the rest will be.
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

    fn tell(&mut self, load: &Load, pair: &Pair) {
        self.done += 1;
        let left = self.start.elapsed() / self.done * (self.total - self.done);
        let errors = match pair.suite.errors() + pair.other.errors() {
            0 => String::new(),
            errors => format!(", {errors} ERRORS"),
        };
        println!(
            "[{:>3}/{}] {:<5} {:>3} connections, {} latest: {:>6.0}/s to {:>6.0}/s, {:.2} ×{errors}; \
             {} min {:02} s left",
            self.done,
            self.total,
            load.kind.name(),
            load.connections,
            if load.with_latest { "with" } else { "without" },
            pair.suite.requests_per_second,
            pair.other.requests_per_second,
            pair.ratio(),
            left.as_secs() / 60,
            left.as_secs() % 60,
        );
    }
}
