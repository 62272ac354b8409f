//! Events of the stack on a real Swarm of three machines (`cargo xtask swarm`).

mod engine;
mod image;
mod machine;
mod needs;
mod next_version;
mod rootfs;
mod scenarios;
mod stack;
mod stage;
mod visitor;

use std::{path::Path, process::ExitCode, time::Instant};

use anyhow::bail;

use self::{
    machine::Machines,
    scenarios::{SCENARIOS, Scenario},
    stage::Stage,
};
use crate::{
    fleet::Build,
    trial::{ResultTable, run_undisturbed},
};

/// Number of machines, which are all managers. The Swarm survives the loss of one manager.
const MACHINES: u8 = 3;

/// Profile of the suite's programs, unless an option chooses another profile.
const PROFILE: &str = "release";

/// Deploy the stack on a real Swarm and judge what its users notice of updates and failures.
///
/// Three machines made of namespaces, with a Docker Engine each, become a Swarm. `minitwit deploy` deploys
/// stack.yml on it, and each scenario runs under the load of `minitwit simulate`. The load is a fifth of the
/// capacity that is measured at the start, but at most --rate. The last lines are a table of the results.
/// The Swarm is taken down at the end in any case.
///
/// Exit code 0 when every promise was kept and every threshold met. A scenario that missed only thresholds
/// is repeated at most three times if the host took more than 2 % of the processor time meanwhile.
#[derive(Debug, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "options are independent of each other"
)]
pub(crate) struct Options {
    /// Only the scenarios of the short form, in at most five minutes
    #[arg(long, conflicts_with = "only")]
    smoke: bool,
    /// Only these scenarios
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
    /// List the scenarios, and run none
    #[arg(long)]
    list: bool,
    /// Print what is missing for a Swarm on this machine, and run nothing
    #[arg(long, hide = true)]
    needs: bool,
    /// Leave the Swarm up, so that the next run with --keep uses it
    #[arg(long)]
    keep: bool,
    /// Take down the Swarm that an earlier run has left up, and run nothing
    #[arg(long, conflicts_with_all = ["keep", "only", "smoke"])]
    down: bool,
    #[command(flatten)]
    build: Build,
    /// Maximum load in requests a second
    #[arg(long, default_value_t = 200, value_name = "PER_SECOND",
          value_parser = clap::value_parser!(u32).range(1..=5_000))]
    rate: u32,
    /// Percentage of the requests that may fail where no request should fail, for programs without full
    /// optimisation on a busy machine
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT")]
    allowed: f64,
}

impl Options {
    /// Profile of the suite's programs.
    fn profile(&self) -> &str {
        self.build.profile.as_deref().unwrap_or(PROFILE)
    }
}

/// Runs the chosen scenarios.
pub(crate) async fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if options.list {
        for Scenario { name, about, .. } in SCENARIOS {
            println!("{name:<16} {about}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    if options.down {
        return machine::take_down_kept().map(|()| ExitCode::SUCCESS);
    }
    let missing = needs::missing();
    if options.needs {
        println!("{}", missing.unwrap_or_default());
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(missing) = missing {
        bail!("a Swarm cannot be created here: {missing}");
    }
    let chosen = choose(options)?;
    let programs = options.build.programs(PROFILE)?;
    let table = run_scenarios(&chosen, options, programs.folder()).await?;
    table.print_summary();
    Ok(if table.passed() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn choose(options: &Options) -> anyhow::Result<Vec<&'static Scenario>> {
    for name in &options.only {
        if !SCENARIOS.iter().any(|scenario| scenario.name == name) {
            bail!("no scenario has the name {name:?}: see --list");
        }
    }
    let is_chosen = |scenario: &&Scenario| {
        if options.smoke {
            return scenario.in_smoke;
        }
        if options.only.is_empty() {
            return scenario.in_table;
        }
        options.only.iter().any(|name| name == scenario.name)
    };
    Ok(SCENARIOS.iter().filter(is_chosen).collect())
}

/// Starts the machines, runs the scenarios, and takes the machines down.
async fn run_scenarios(
    scenarios: &[&'static Scenario],
    options: &Options,
    programs: &Path,
) -> anyhow::Result<ResultTable> {
    let start = Instant::now();
    let kept = if options.keep {
        Machines::find(MACHINES)?
    } else {
        None
    };
    let mut stage = match kept {
        Some(machines) => Stage::attach(machines, programs, options),
        None => Stage::deploy(Machines::start(MACHINES)?, programs, options)?,
    };
    stage.bound_load()?;
    let mut table = ResultTable::default();
    for scenario in scenarios {
        println!("\n== {}: {}", scenario.name, scenario.about);
        let result = run_undisturbed(async || (scenario.run)(&mut stage)).await;
        table.add(scenario.name, result);
    }
    println!("\n== {:.0} s in all", start.elapsed().as_secs_f32());
    stage.close(options.keep);
    Ok(table)
}
