//! Images that an update must not get through with.

use std::time::Duration;

use crate::swarm::{
    image::{CRASHING, UNHEALTHY},
    stage::Stage,
    trial::Trial,
};

/// How soon what runs must be what ran before.
const ROLLED_BACK_WITHIN: Duration = Duration::from_mins(1);

pub(super) fn unhealthy(stage: &mut Stage) -> anyhow::Result<Trial> {
    reject(stage, UNHEALTHY, "unhealthy")
}

pub(super) fn crashing(stage: &mut Stage) -> anyhow::Result<Trial> {
    reject(stage, CRASHING, "exit")
}

/// Deploys an image that does not work; `reason` is a word that the deployment must say.
fn reject(stage: &mut Stage, image: &str, reason: &str) -> anyhow::Result<Trial> {
    let (deployment, measured) = stage.measure(|stage, _| {
        let deployment = stage.stack.update("message", image)?;
        stage.stack.wait_until_calm()?;
        Ok(deployment)
    })?;
    println!("{}", deployment.said.trim_end());
    let version = stage.runs_version("message")?;
    let seconds = deployment.time.as_secs_f32();
    let says_why = deployment
        .said
        .lines()
        .any(|line| line.contains("rolled back"))
        && deployment.said.contains(reason);
    Ok(Trial::new(measured)
        .fact(format!("rolled back after {seconds:.0} s"))
        .promise(!deployment.succeeded, "`deploy` says that it went well")
        .promise(says_why, format!("`deploy` says nothing of {reason:?}"))
        .promise(
            deployment.time <= ROLLED_BACK_WITHIN,
            format!("it took {seconds:.0} s"),
        )
        .promise(
            !image.ends_with(&format!(":{version}")),
            format!("{image} still runs"),
        )
        .no_failure())
}
