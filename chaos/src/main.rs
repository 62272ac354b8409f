//! `cargo xtask chaos`: the suite as many processes, and what happens to them.
#![expect(
    clippy::print_stdout,
    reason = "a command-line tool talks to its terminal"
)]

use std::{env, path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::{Context as _, ensure};
use clap::Parser;
use minitwit_chaos::{
    replica::Role,
    row::Row,
    scenario::{ALL, Scenario},
    trial::Context,
};
use minitwit_postgres::{Cluster, ClusterOptions};
use tokio::signal::unix::{SignalKind, signal};

/// Kill, freeze, stop, slow down, cut off and overload replicas of the suite, and judge what its
/// users see of it.
///
/// Exit code 0 when every promise and every bar held. Something lost, doubled or undone is a
/// broken promise whatever the machine; a bar of time that is missed is tried once more, because
/// another program may have taken the machine's time. The short form tells of missed bars and does
/// not fail for them: it is one of the tests, whose programs are not optimised.
#[derive(Debug, Parser)]
#[command(name = "minitwit-chaos")]
struct Options {
    /// At most three minutes for everything: the same faults, but fewer of each.
    #[arg(long)]
    short: bool,
    /// Only these scenarios
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<String>,
    /// Where chance begins, to do the same again [default: any]
    #[arg(long)]
    seed: Option<u64>,
    /// Where the suite's programs are [default: beside this one]
    #[arg(long, value_name = "FOLDER")]
    binaries: Option<PathBuf>,
    /// Draw what the scenarios saw that have something to draw: `slow-request.svg`
    #[arg(long, value_name = "FOLDER")]
    pictures: Option<PathBuf>,
}

fn main() -> ExitCode {
    let done = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start the runtime")
        .and_then(|runtime| runtime.block_on(run(Options::parse())));
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> anyhow::Result<bool> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        passed = run_all(options) => passed,
        // What runs is dropped, and so every process is ended.
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        _ = terminated.recv() => anyhow::bail!("terminated"),
    }
}

async fn run_all(options: Options) -> anyhow::Result<bool> {
    let context = context(&options).await?;
    let unknown: Vec<_> = options
        .only
        .iter()
        .filter(|name| ALL.iter().all(|one| one.name != **name))
        .collect();
    ensure!(unknown.is_empty(), "no scenario is called {unknown:?}");
    println!("seed {}", context.seed);
    let mut rows = Vec::new();
    let mut steady_p99_ms = None;
    for scenario in ALL {
        if !options.only.is_empty() && !options.only.iter().any(|name| name == scenario.name) {
            continue;
        }
        println!("\n-- {}", scenario.name);
        let row = judged(scenario, &context, steady_p99_ms).await?;
        if scenario.name == "steady" {
            steady_p99_ms = row.latency.map(|latency| latency.p99_ms);
        }
        rows.push(row);
    }
    println!("\nseed {}", context.seed);
    for row in &rows {
        println!("{row}");
    }
    let held = |row: &Row| row.passed() || context.short && row.broken.is_empty();
    Ok(rows.iter().all(held))
}

/// Runs a scenario, and once more if only bars of time were missed.
async fn judged(
    scenario: &Scenario,
    context: &Context,
    steady_p99_ms: Option<f64>,
) -> anyhow::Result<Row> {
    let mut tries = 0;
    loop {
        tries += 1;
        let mut row = (scenario.run)(context).await?;
        if let (Some(steady), Some(latency)) = (steady_p99_ms, row.latency)
            && scenario.name == "restart"
        {
            let p99 = latency.p99_ms;
            row.bar(
                p99 < 2.0 * steady,
                format!("p99 {p99:.1} ms, steady {steady:.1} ms"),
            );
        }
        println!("{row}");
        if row.passed() || !row.broken.is_empty() || tries == 2 || context.short {
            return Ok(row);
        }
        println!("once more, because only time was missed");
    }
}

async fn context(options: &Options) -> anyhow::Result<Context> {
    let beside = || {
        let program = env::current_exe()?;
        Ok(program
            .parent()
            .context("a program is in a folder")?
            .to_owned())
    };
    let binaries = options.binaries.clone().map_or_else(beside, anyhow::Ok)?;
    for role in Role::ALL {
        let program = binaries.join(role.program());
        ensure!(
            program.is_file(),
            "there is no {}: build the workspace first",
            program.display()
        );
    }
    // What was committed survives a crash of the server either way; only a power cut would tell.
    let server = ClusterOptions {
        durable: !options.short,
        connections_max: 300,
    };
    let cluster = tokio::task::spawn_blocking(move || Cluster::start(server)).await??;
    Ok(Context {
        binaries,
        cluster: Arc::new(cluster),
        short: options.short,
        seed: options.seed.unwrap_or_else(|| rand::random::<u32>().into()),
        pictures: options.pictures.clone(),
    })
}
