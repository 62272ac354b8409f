//! Rolling updates.

use crate::swarm::{
    image::{PROCESSES, VERSIONS},
    stage::Stage,
    trial::Trial,
};

/// The message service alone.
pub(super) fn message(stage: &mut Stage) -> anyhow::Result<Trial> {
    update(stage, &["message"])
}

/// All four processes, one after the other.
pub(super) fn all(stage: &mut Stage) -> anyhow::Result<Trial> {
    update(stage, &PROCESSES)
}

fn update(stage: &mut Stage, services: &[&str]) -> anyhow::Result<Trial> {
    let (times, measured) = stage.measure(|stage, load| {
        let mut times = Vec::new();
        for service in services {
            // To the version that does not run now.
            let next = if stage.runs_version(service)? == VERSIONS[0] {
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
    Ok(Trial::new(measured).fact(times.join(", ")).no_failure())
}
