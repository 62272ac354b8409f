//! The two sides: what is driven, and how each is started.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Context as _;

use crate::{
    cargo::{cargo, workspace},
    process::{Fleet, Running},
    steps,
    suite::{Binaries, SERVICES, free_address, target_folder, wait_until_serving},
};

use super::{Engine, data::Databases};

/// What the suite is measured against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Against {
    /// The monolith; `latest` has a row for each connection, so that commits do not wait for one another
    Monolith,
    /// The monolith; `latest` is one row, as one writes it first
    MonolithOneRow,
    /// The suite without metrics and traces; with them it traces one request in a hundred
    Untold,
}

impl Against {
    /// What it is called in a sentence.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Monolith => "the monolith",
            Self::MonolithOneRow => "the monolith with `latest` in one row",
            Self::Untold => "the suite without telemetry",
        }
    }

    /// What it is called at the head of a column.
    pub(crate) fn short(self) -> &'static str {
        match self {
            Self::Monolith | Self::MonolithOneRow => "monolith",
            Self::Untold => "without telemetry",
        }
    }
}

/// The programs of both sides.
#[derive(Debug)]
pub(crate) struct Programs<'a> {
    suite: &'a Binaries,
    other: Other,
}

#[derive(Debug)]
enum Other {
    /// A monolith, and how it keeps `latest`: durable before the reply, as the suite.
    Monolith(PathBuf, &'static str),
    /// The suite itself, and a collector for the traces of the one that makes some.
    Suite { collector: PathBuf },
}

impl<'a> Programs<'a> {
    /// Builds what the suite is measured against.
    pub(crate) fn build(
        suite: &'a Binaries,
        against: Against,
        opponent: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let monolith = || opponent.map_or_else(build_monolith, |program| Ok(program.to_owned()));
        let other = match against {
            Against::Monolith => Other::Monolith(monolith()?, "db"),
            Against::MonolithOneRow => Other::Monolith(monolith()?, "row"),
            Against::Untold => Other::Suite {
                collector: build_collector()?,
            },
        };
        Ok(Self { suite, other })
    }
}

/// Both sides, up at the same time, over the same PostgreSQL.
#[derive(Debug)]
pub(crate) struct Sides {
    pub(crate) fleet: Fleet,
    pub(crate) suite: SocketAddr,
    pub(crate) other: SocketAddr,
    /// Where the suite's traces go, if anywhere.
    _collector: Option<Collector>,
}

impl Sides {
    pub(crate) fn start(
        programs: &Programs,
        databases: &Databases,
        engine: Engine,
    ) -> anyhow::Result<Self> {
        let mut fleet = Fleet::new()?;
        let binaries = programs.suite;
        let mut start_suite = |binaries: &Binaries, label: &str| match engine {
            Engine::Postgres => start_services(&mut fleet, binaries, databases, label),
            Engine::Sqlite => start_one_process(&mut fleet, binaries, databases, label),
        };
        let (suite, other, collector) = match &programs.other {
            Other::Monolith(program, latest) => {
                let suite = start_suite(binaries, "")?;
                let address = free_address()?;
                let mut command = Command::new(program);
                command
                    .env("DATABASE_URL", databases.monolith_url())
                    .env("PORT", address.port().to_string())
                    .env("LATEST", latest);
                fleet.start("monolith", &mut command)?;
                (suite, address, None)
            }
            Other::Suite { collector } => {
                let collector = Collector::start(collector)?;
                let traced = [
                    ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint.as_str()),
                    ("OTEL_TRACES_SAMPLER_ARG", "0.01"),
                ];
                let suite = start_suite(&binaries.told(&traced), "")?;
                let untold = binaries.told(&[("OTEL_SDK_DISABLED", "true")]);
                let other = start_suite(&untold, " without telemetry")?;
                (suite, other, Some(collector))
            }
        };
        wait_until_serving(&mut fleet, suite)?;
        wait_until_serving(&mut fleet, other)?;
        Ok(Self {
            fleet,
            suite,
            other,
            _collector: collector,
        })
    }
}

/// A collector that runs until it is dropped.
#[derive(Debug)]
struct Collector {
    _process: Running,
    endpoint: String,
}

impl Collector {
    fn start(program: &Path) -> anyhow::Result<Self> {
        let mut process = Command::new(program)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the collector")?;
        let mut output = BufReader::new(process.stdout.take().context("its output is piped")?);
        let mut endpoint = String::new();
        output.read_line(&mut endpoint)?;
        // What else it says would fill the pipe.
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        Ok(Self {
            _process: Running(process),
            endpoint: endpoint.trim().to_owned(),
        })
    }
}

/// Builds the collector that counts spans and forgets them.
fn build_collector() -> anyhow::Result<PathBuf> {
    let mut build = cargo(["build", "--locked", "--release", "--package", "test-sink"]);
    build.args(["--example", "collector"]);
    steps::run(&mut build)?;
    Ok(target_folder()?.join("release/examples/collector"))
}

/// Builds the repository's own monolith.
fn build_monolith() -> anyhow::Result<PathBuf> {
    let manifest = workspace().join("bench/monolith/Cargo.toml");
    let folder = target_folder()?.join("monolith");
    let mut build = cargo(["build", "--locked", "--release"]);
    build
        .arg("--manifest-path")
        .arg(manifest)
        .arg("--target-dir")
        .arg(&folder);
    steps::run(&mut build)?;
    Ok(folder.join("release/monolith"))
}

fn start_services(
    fleet: &mut Fleet,
    binaries: &Binaries,
    databases: &Databases,
    label: &str,
) -> anyhow::Result<SocketAddr> {
    let replicas = SERVICES
        .map(|name| {
            let called = format!("{name}{label}");
            binaries.start_service(fleet, &called, name, &databases.service_url(name))
        })
        .into_iter()
        .map(|address| Ok(vec![address?]))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let gateway = binaries.start_gateway(fleet, &format!("gateway{label}"), &replicas)?;
    Ok(gateway.api)
}

fn start_one_process(
    fleet: &mut Fleet,
    binaries: &Binaries,
    databases: &Databases,
    label: &str,
) -> anyhow::Result<SocketAddr> {
    let api = free_address()?;
    let mut command = binaries.suite();
    command
        .env("DATA_DIR", databases.folder())
        .env("LISTEN_API", api.to_string());
    for name in ["PAGES", "ADMIN", "USER", "FOLLOWER", "MESSAGE"] {
        command.env(format!("LISTEN_{name}"), free_address()?.to_string());
    }
    fleet.start(&format!("minitwit{label}"), &mut command)?;
    Ok(api)
}
