//! `cargo xtask swarm`: the stack on a real Swarm of three machines, and what its users see of what
//! happens there.

mod engine;
mod image;
mod machine;
mod needs;
mod next;
mod rootfs;
mod scenario;
mod stack;
mod stage;
mod trial;
mod visitor;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use anyhow::{Context, bail, ensure};

use crate::{
    steps::Outcome,
    suite::Binaries,
    swarm::{
        machine::Machines,
        scenario::{SCENARIOS, Scenario},
        stage::Stage,
        trial::Table,
    },
};

/// Managers, as many as survive the loss of one.
const MACHINES: u8 = 3;

/// Deploy the stack on a real Swarm and see what its users notice of what happens there.
///
/// Three machines made of namespaces, with a Docker Engine each, become a Swarm; stack.yml is
/// deployed on it by `minitwit deploy`, and each scenario runs under `minitwit simulate`. The last
/// lines are a table of what was promised and what held. Nothing is left, however the run ends.
#[derive(Debug, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "options are independent of each other"
)]
pub(crate) struct Options {
    /// Only what shows that it works at all, in at most five minutes
    #[arg(long, conflicts_with = "only")]
    smoke: bool,
    /// Only these scenarios
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
    /// Tell which scenarios there are, and run none
    #[arg(long)]
    list: bool,
    /// Leave the Swarm up; the next run with --keep goes on with it
    #[arg(long)]
    keep: bool,
    /// Take down what an earlier run has left up, and run nothing
    #[arg(long, conflicts_with_all = ["keep", "only", "smoke"])]
    down: bool,
    /// The profile that the suite is built with: dist, release or dev
    #[arg(long, default_value = "release", value_name = "PROFILE")]
    profile: String,
    /// A folder with the suite's programs, instead of building them
    #[arg(long, value_name = "FOLDER", conflicts_with = "profile")]
    programs: Option<PathBuf>,
    /// Requests a second
    #[arg(long, default_value_t = 200, value_name = "PER_SECOND",
          value_parser = clap::value_parser!(u32).range(1..=5_000))]
    rate: u32,
    /// How many percent of the requests may fail where none should: for programs that are not
    /// optimised, on a machine that has other things to do
    #[arg(long, default_value_t = 0.0, value_name = "PERCENT")]
    allowed: f64,
}

/// Runs the scenarios asked for.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if options.list {
        for Scenario { name, about, .. } in SCENARIOS {
            println!("{name:<16} {about}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    if options.down {
        return machine::take_down_kept().map(|()| ExitCode::SUCCESS);
    }
    if let Some(missing) = needs::missing() {
        bail!("a Swarm cannot be made here: {missing}");
    }
    let chosen = choose(options)?;
    let programs = match &options.programs {
        Some(folder) => folder
            .canonicalize()
            .with_context(|| format!("no folder {}", folder.display()))?,
        None => Binaries::build(&options.profile)?.folder().to_owned(),
    };
    let table = perform(&chosen, options, &programs)?;
    println!("\n{table}");
    Ok(if table.has_held() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The short form, as a step of the tests, with the programs that lie beside this one.
pub(crate) fn smoke() -> anyhow::Result<Outcome> {
    if let Some(missing) = needs::missing() {
        return Ok(Outcome::Skipped(missing));
    }
    let programs = Binaries::beside()?;
    let options = Options {
        smoke: true,
        only: Vec::new(),
        list: false,
        keep: false,
        down: false,
        profile: "dev".to_owned(),
        programs: None,
        rate: 50,
        allowed: 1.0,
    };
    let table = perform(&choose(&options)?, &options, programs.folder())?;
    println!("\n{table}");
    // Times of unoptimised programs, on a machine that may be busy, are no measure; whatever does not
    // come up, or loses something, fails this step.
    ensure!(table.is_sound(), "a scenario failed, or lost something");
    if !table.has_held() {
        println!("not everything held, which counts in `cargo xtask swarm --smoke`");
    }
    Ok(Outcome::Passed)
}

fn choose(options: &Options) -> anyhow::Result<Vec<&'static Scenario>> {
    for name in &options.only {
        if !SCENARIOS.iter().any(|scenario| scenario.name == name) {
            bail!("there is no scenario {name:?}: see --list");
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

/// Sets the stage, performs the scenarios on it, and takes it down.
fn perform(
    scenarios: &[&'static Scenario],
    options: &Options,
    programs: &Path,
) -> anyhow::Result<Table> {
    let start = Instant::now();
    let kept = if options.keep {
        Machines::find(MACHINES)?
    } else {
        None
    };
    let mut stage = match kept {
        Some(machines) => Stage::again(machines, programs, options),
        None => Stage::set(Machines::start(MACHINES)?, programs, options)?,
    };
    let mut table = Table::default();
    for scenario in scenarios {
        println!("\n== {}: {}", scenario.name, scenario.about);
        let trial = (scenario.run)(&mut stage);
        table.add(scenario.name, trial);
    }
    println!("\n== {:.0} s in all", start.elapsed().as_secs_f32());
    stage.close(options.keep);
    Ok(table)
}
