//! Faults of a suite that runs as many processes on one machine (`cargo xtask chaos`).

mod bad_address;
mod calls;
mod crash;
mod database;
mod freeze;
mod key;
mod outage;
mod overload;
mod probe;
mod restart;
mod run;
mod slow;
mod trace;

use std::{cell::Cell, future::Future, path::PathBuf, pin::Pin, process::ExitCode, sync::Arc};

use anyhow::ensure;
use minitwit_postgres::{Cluster, ClusterOptions};

use self::run::{Context, under_load};
use crate::{
    fleet::Build,
    load::{CAPACITY_USERS, bounded_rate},
    trial::{ResultTable, ScenarioResult, run_undisturbed},
};

/// Number of simulated worlds after the long form and after the short form.
const WORLDS: u32 = 1_000;
const WORLDS_SHORT: u32 = 50;

/// Kill, freeze, stop, slow down, cut off and overload replicas of the suite under load.
///
/// The suite runs as many processes on loopback addresses, built with optimisation. The load is a fifth of
/// the capacity that is measured at the start, but at most --rate. The last lines are a table of the
/// results. The long form takes about a quarter of an hour.
///
/// Exit code 0 when every promise was kept and every threshold met. A scenario that missed only thresholds
/// is repeated at most three times if the host took more than 2 % of the processor time meanwhile.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The same faults, but fewer of each, in at most three minutes
    #[arg(long)]
    short: bool,
    /// Only these scenarios
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<String>,
    /// Seed of all random choices, to repeat them [default: any]
    #[arg(long)]
    seed: Option<u64>,
    /// Maximum load in requests a second
    #[arg(long, default_value_t = 200, value_name = "PER_SECOND",
          value_parser = clap::value_parser!(u32).range(20..=5_000))]
    rate: u32,
    /// Draw the trace of a slow request into `slow-request.svg` in this folder
    #[arg(long, value_name = "FOLDER")]
    pictures: Option<PathBuf>,
    #[command(flatten)]
    build: Build,
}

/// A future of a scenario's result.
type Running<'a> = Pin<Box<dyn Future<Output = anyhow::Result<ScenarioResult>> + 'a>>;

/// A scenario with the name by which `--only` selects it.
struct Scenario {
    name: &'static str,
    /// Runs the scenario on a suite of its own.
    run: for<'a> fn(&'a Context) -> Running<'a>,
}

/// Lists scenarios by their names and functions.
macro_rules! scenarios {
    ($($name:literal => $function:path,)*) => {
        [$(Scenario { name: $name, run: |context| Box::pin($function(context)) },)*]
    };
}

/// All scenarios. `steady` is the first, because `restart` compares with its latency.
const SCENARIOS: &[Scenario] = &scenarios![
    "steady" => steady,
    "key" => key::repeated_requests,
    "restart" => restart::rolling,
    "crash" => crash::at_random,
    "freeze" => freeze::one_replica,
    "stranger" => bad_address::dead_and_foreign,
    "away" => outage::whole_service,
    "database" => database::stopped,
    "slow" => slow::follower,
    "overload" => overload::five_times,
];

/// Runs the scenarios, and the simulated worlds unless only some scenarios are wanted or the programs
/// are given.
pub(crate) async fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let is_known = |name: &&String| SCENARIOS.iter().any(|scenario| scenario.name == **name);
    let unknown: Vec<_> = options.only.iter().filter(|name| !is_known(name)).collect();
    ensure!(unknown.is_empty(), "no scenario has the name {unknown:?}");
    let context = context(options).await?;
    println!("seed {}", context.seed);
    let mut table = ResultTable::default();
    for scenario in SCENARIOS {
        if !options.only.is_empty() && !options.only.iter().any(|name| name == scenario.name) {
            continue;
        }
        println!("\n-- {}", scenario.name);
        let result = run_undisturbed(async || (scenario.run)(&context).await).await;
        table.add(scenario.name, result);
    }
    println!("\nseed {}", context.seed);
    table.print_summary();
    if !table.passed() {
        return Ok(ExitCode::FAILURE);
    }
    if options.only.is_empty() && options.build.programs.is_none() {
        simulate_worlds(options)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds the programs, starts a database server, and measures the capacity of the suite.
async fn context(options: &Options) -> anyhow::Result<Context> {
    let programs = options.build.programs("release")?;
    let programs = programs.with_env(&[("RUST_LOG", "info"), ("LOG_FORMAT", "text")]);
    // Committed data survives a crash of the server in both cases. Only a power failure differs.
    let server = ClusterOptions {
        durable: !options.short,
        connections_max: 300,
    };
    let mut context = Context {
        programs,
        cluster: Arc::new(Cluster::start(server)?),
        short: options.short,
        seed: options.seed.unwrap_or_else(|| rand::random::<u32>().into()),
        pictures: options.pictures.clone(),
        rate: options.rate,
        steady_p99_ms: Cell::new(None),
    };
    let suite = context.suite(&context.plan()).await?;
    let time = context.seconds(5, 3);
    let capacity = context.capacity(&suite, CAPACITY_USERS, time).await?;
    context.rate = bounded_rate(options.rate, capacity);
    Ok(context)
}

/// Runs the tests of the resilient channel in simulated worlds.
fn simulate_worlds(options: &Options) -> anyhow::Result<()> {
    let worlds = if options.short { WORLDS_SHORT } else { WORLDS };
    let mut command = xtask::cargo(["test", "--release", "--locked", "--package", "minitwit-lab"]);
    command.args(["--test", "simulation", "--", "--nocapture"]);
    command.env("MINITWIT_SIMULATED_WORLDS", worlds.to_string());
    if let Some(seed) = options.seed {
        command.env("MINITWIT_SIMULATED_SEED", seed.to_string());
    }
    xtask::run(&mut command)
}

/// No fault, as a reference for the machine.
async fn steady(context: &Context) -> anyhow::Result<ScenarioResult> {
    let suite = context.suite(&context.plan()).await?;
    let load = context.load(context.seconds(30, 6));
    let observed = under_load(&suite, context, load, async || Ok(())).await?;
    let mut result = observed.result();
    result.failed_at_most(0);
    let latency = result.load.total.latency;
    context
        .steady_p99_ms
        .set(latency.map(|latency| latency.p99));
    Ok(result)
}
