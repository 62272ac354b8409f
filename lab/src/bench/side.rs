//! The two sides of a bench and their processes.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Context as _;
use xtask::{cargo, target_folder, workspace};

use super::{Engine, Options, data::Databases};
use crate::fleet::{
    ChildGuard, Fleet, Memory, Plan, Programs, Single, Suite, free_address, wait_until_serving,
};

/// Opponent of the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Against {
    /// The monolith with a row of `latest` for each connection, so that commits run concurrently
    Monolith,
    /// The monolith with one row of `latest`, as a first version has it
    MonolithOneRow,
    /// The suite without metrics and traces, compared with the suite that traces one request in a hundred
    NoTelemetry,
    /// Another build of the suite.
    #[value(skip)]
    Build,
}

impl Against {
    /// Name in a sentence.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Monolith => "the monolith",
            Self::MonolithOneRow => "the monolith with `latest` in one row",
            Self::NoTelemetry => "the suite without telemetry",
            Self::Build => "another build of the suite",
        }
    }

    /// Name in the header of a column.
    pub(super) fn short_name(self) -> &'static str {
        match self {
            Self::Monolith | Self::MonolithOneRow => "monolith",
            Self::NoTelemetry => "suite without telemetry",
            Self::Build => "other build",
        }
    }

    /// Whether the opponent is the suite itself.
    pub(super) fn is_suite(self) -> bool {
        matches!(self, Self::NoTelemetry | Self::Build)
    }
}

/// Programs of the opponent.
#[derive(Debug)]
pub(super) enum Opponent {
    /// A monolith, and its way to store `latest`, which is durable before the response as the suite's.
    Monolith(PathBuf, &'static str),
    /// The suite without telemetry. The collector receives the traces of the suite with telemetry.
    NoTelemetry { collector: PathBuf },
    /// Another build of the suite.
    Build(Programs),
}

/// Builds the opponent of the suite.
pub(super) fn build(options: &Options, against: Against) -> anyhow::Result<Opponent> {
    let monolith = || {
        let program = options.opponent.clone();
        program.map_or_else(build_monolith, Ok)
    };
    Ok(match (&options.against_build, against) {
        (Some(folder), _) => Opponent::Build(Programs::in_folder(folder)?),
        (None, Against::MonolithOneRow) => Opponent::Monolith(monolith()?, "row"),
        (None, Against::NoTelemetry) => Opponent::NoTelemetry {
            collector: build_collector()?,
        },
        (None, Against::Monolith | Against::Build) => Opponent::Monolith(monolith()?, "db"),
    })
}

/// Both sides, which run at the same time over the same PostgreSQL.
#[derive(Debug)]
pub(super) struct Sides {
    pub(super) suite: Side,
    pub(super) other: Side,
    /// Receiver of the suite's traces, if there are traces.
    _collector: Option<Collector>,
}

/// The processes of a side.
#[derive(Debug)]
pub(super) enum Side {
    Suite(Suite),
    /// The suite in one process, or a monolith.
    Single(Single),
}

impl Side {
    /// Address of the simulator API.
    pub(super) fn api(&self) -> SocketAddr {
        match self {
            Self::Suite(suite) => suite.api(),
            Self::Single(single) => single.api,
        }
    }

    fn check(&self) -> anyhow::Result<()> {
        match self {
            Self::Suite(suite) => suite.check(),
            Self::Single(single) => single.process.check(),
        }
    }

    fn memory(&self) -> anyhow::Result<Vec<Memory>> {
        match self {
            Self::Suite(suite) => suite.memory(),
            Self::Single(single) => Ok(vec![single.process.memory()?]),
        }
    }
}

impl Sides {
    pub(super) async fn start(
        programs: &Programs,
        opponent: &Opponent,
        databases: &Databases,
        engine: Engine,
    ) -> anyhow::Result<Self> {
        let start = async |programs: &Programs, suffix| {
            start_suite(programs, databases, engine, suffix).await
        };
        let (suite, other, collector) = match opponent {
            Opponent::Monolith(program, latest) => {
                let suite = start(programs, "").await?;
                (
                    suite,
                    start_monolith(program, databases, latest).await?,
                    None,
                )
            }
            Opponent::NoTelemetry { collector } => {
                let collector = Collector::start(collector)?;
                let traced = programs.with_env(&[
                    ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint),
                    ("OTEL_TRACES_SAMPLER_ARG", "0.01"),
                ]);
                let disabled = programs.with_env(&[("OTEL_SDK_DISABLED", "true")]);
                let suite = start(&traced, "").await?;
                let other = start(&disabled, " without telemetry").await?;
                (suite, other, Some(collector))
            }
            Opponent::Build(other) => {
                let suite = start(programs, "").await?;
                (suite, start(other, " of the other build").await?, None)
            }
        };
        Ok(Self {
            suite,
            other,
            _collector: collector,
        })
    }

    /// Fails if a process has ended by itself.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        self.suite.check()?;
        self.other.check()
    }

    /// Memory of all processes.
    pub(super) fn memory(&self) -> anyhow::Result<Vec<Memory>> {
        Ok([self.suite.memory()?, self.other.memory()?].concat())
    }
}

async fn start_suite(
    programs: &Programs,
    databases: &Databases,
    engine: Engine,
    suffix: &'static str,
) -> anyhow::Result<Side> {
    let fleet = Fleet::new()?;
    if engine == Engine::Sqlite {
        let name = format!("minitwit{suffix}");
        let single = Single::start(&fleet, programs, &name, databases.folder()).await?;
        return Ok(Side::Single(single));
    }
    let plan = Plan {
        suffix,
        ..Plan::with_replicas(1)
    };
    let suite = Suite::start(&fleet, programs, databases.urls(), &plan).await?;
    suite.wait_until_serving().await?;
    Ok(Side::Suite(suite))
}

async fn start_monolith(
    program: &Path,
    databases: &Databases,
    latest: &str,
) -> anyhow::Result<Side> {
    let api = free_address()?;
    let mut command = Command::new(program);
    command
        .env("DATABASE_URL", databases.monolith_url())
        .env("PORT", api.port().to_string())
        .env("LATEST", latest);
    let process = Fleet::new()?.start("monolith", command)?;
    wait_until_serving(&process, api).await?;
    Ok(Side::Single(Single { process, api }))
}

/// A collector of traces, which ends when this is dropped.
#[derive(Debug)]
struct Collector {
    _process: ChildGuard,
    endpoint: String,
}

impl Collector {
    fn start(program: &Path) -> anyhow::Result<Self> {
        let mut process = Command::new(program)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the collector")?;
        let output = process.stdout.take();
        let mut output = BufReader::new(output.context("the collector's output is piped")?);
        let mut endpoint = String::new();
        output.read_line(&mut endpoint)?;
        // Further output would fill the pipe and block the collector.
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        Ok(Self {
            _process: ChildGuard(process),
            endpoint: endpoint.trim().to_owned(),
        })
    }
}

/// Builds the collector, which counts spans and stores none.
fn build_collector() -> anyhow::Result<PathBuf> {
    let mut build = cargo(["build", "--locked", "--release", "--package", "test-sink"]);
    xtask::run(build.args(["--example", "collector"]))?;
    Ok(target_folder()?.join("release/examples/collector"))
}

/// Builds the repository's own monolith.
fn build_monolith() -> anyhow::Result<PathBuf> {
    let folder = target_folder()?.join("monolith");
    let mut build = cargo(["build", "--locked", "--release"]);
    build
        .arg("--manifest-path")
        .arg(workspace().join("bench/monolith/Cargo.toml"))
        .arg("--target-dir")
        .arg(&folder);
    xtask::run(&mut build)?;
    Ok(folder.join("release/monolith"))
}
