//! A run of the simulator against the whole suite in one process, as users start both.

use std::{process::ExitCode, time::Duration};

use crate::fleet::{Build, Fleet, Single};

const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Arguments of the simulator.
const SIMULATOR: &str = "--actions=2000 --concurrency=8 --seed=1 --timeout=2s";

/// Starts the suite on SQLite, runs the simulator, which verifies the content, and stops the suite.
pub(crate) async fn run(build: &Build) -> anyhow::Result<ExitCode> {
    // Programs without full optimisation are slow, and this test is not about time.
    let programs = build
        .programs("dev")?
        .with_env(&[("API_BUDGET_MS", "2000")]);
    let fleet = Fleet::new()?;
    let data = fleet.folder().join("data");
    let suite = Single::start(&fleet, &programs, "minitwit", &data).await?;
    let mut simulator = programs.minitwit();
    simulator.args(["simulate", &format!("http://{}", suite.api)]);
    let simulated = xtask::run(simulator.args(SIMULATOR.split(' ')));
    let stopped = suite.process.stop(STOP_TIMEOUT).await;
    if simulated.is_err() || stopped.is_err() {
        println!("{}", suite.process.log());
    }
    stopped.and(simulated).map(|()| ExitCode::SUCCESS)
}
