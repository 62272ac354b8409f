//! Rolling updates.

use crate::{
    scenario::swarm::{
        image::{PROCESSES, VERSIONS},
        stage::Stage,
    },
    trial::ScenarioResult,
};

/// Updates the message service.
pub(super) fn message(stage: &mut Stage) -> anyhow::Result<ScenarioResult> {
    update(stage, &["message"])
}

/// Updates all four programs one after the other.
pub(super) fn all(stage: &mut Stage) -> anyhow::Result<ScenarioResult> {
    update(stage, &PROCESSES)
}

fn update(stage: &mut Stage, services: &[&str]) -> anyhow::Result<ScenarioResult> {
    let (times, report) = stage.measure(|stage, load| {
        let mut times = Vec::new();
        for service in services {
            // The next version is the version that does not run.
            let next = if stage.version(service)? == VERSIONS[0] {
                VERSIONS[1]
            } else {
                VERSIONS[0]
            };
            println!("{service}: at {:.0} s", load.elapsed().as_secs_f32());
            let deployment = stage.update(service, next)?;
            times.push(format!("{service} {:.0} s", deployment.time.as_secs_f32()));
        }
        Ok(times)
    })?;
    let fact = times.join(", ");
    Ok(ScenarioResult::new(report).fact(fact).no_failure())
}
