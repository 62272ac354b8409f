//! Updates to images that do not work.

use std::time::Duration;

use crate::{
    scenario::swarm::{
        image::{CRASHING, UNHEALTHY},
        stage::Stage,
    },
    trial::ScenarioResult,
};

/// Maximum time until the old image runs again.
const ROLLBACK_TIME_MAX: Duration = Duration::from_mins(1);

pub(super) fn unhealthy(stage: &mut Stage) -> anyhow::Result<ScenarioResult> {
    reject(stage, UNHEALTHY, "unhealthy")
}

pub(super) fn crashing(stage: &mut Stage) -> anyhow::Result<ScenarioResult> {
    reject(stage, CRASHING, "exit")
}

/// Deploys an image that does not work. `reason` is a word that the deployment's output must contain.
fn reject(stage: &mut Stage, image: &str, reason: &str) -> anyhow::Result<ScenarioResult> {
    let (deployment, report) = stage.measure(|stage, _| {
        let deployment = stage.stack.update("message", image)?;
        stage.stack.wait_until_stable()?;
        Ok(deployment)
    })?;
    println!("{}", deployment.output.trim_end());
    let version = stage.version("message")?;
    let seconds = deployment.time.as_secs_f32();
    let has_reason = deployment
        .output
        .lines()
        .any(|line| line.contains("rolled back"))
        && deployment.output.contains(reason);
    let fact = format!("rolled back after {seconds:.0} s");
    let mut result = ScenarioResult::new(report).fact(fact);
    result.promise(!deployment.succeeded, "`deploy` reports success");
    let message = format!("the output of `deploy` does not contain {reason:?}");
    result.promise(has_reason, message);
    let is_rolled_back = !image.ends_with(&format!(":{version}"));
    result.promise(is_rolled_back, format!("{image} still runs"));
    result.threshold(
        deployment.time <= ROLLBACK_TIME_MAX,
        format!("rolled back after {seconds:.0} s, at most {ROLLBACK_TIME_MAX:?}"),
    );
    Ok(result.no_failure())
}
