//! Tasks that die.

use std::time::Instant;

use anyhow::Context as _;

use crate::{
    scenario::swarm::{stack::Task, stage::Stage},
    trial::ScenarioResult,
};

/// Kills a task of the message service and, after its replacement, a task of the gateway.
pub(super) fn kill(stage: &mut Stage) -> anyhow::Result<ScenarioResult> {
    let (times, report) = stage.measure(|stage, _| {
        let mut times = Vec::new();
        for service in ["message", "gateway"] {
            let start = Instant::now();
            let task = stage.stack.tasks(service)?.pop();
            let task = task.with_context(|| format!("no replica of {service} runs"))?;
            kill_one(stage, service, &task)?;
            stage.wait_until_replaced(service, &task)?;
            let seconds = start.elapsed().as_secs_f32();
            times.push(format!("{service} replaced after {seconds:.1} s"));
        }
        Ok(times)
    })?;
    let fact = times.join(", ");
    Ok(ScenarioResult::new(report).fact(fact).no_failure())
}

/// Kills a task without a signal that it could handle, as the kernel does when memory is exhausted.
fn kill_one(stage: &Stage, service: &str, task: &Task) -> anyhow::Result<()> {
    let engine = stage.machines.node(&task.node)?.engine();
    let filter = format!("label=com.docker.swarm.task.id={}", task.id);
    let container = engine.docker(["ps", "--quiet", "--filter", &filter])?;
    println!("killing a replica of {service} on {}", task.node);
    engine.docker(["kill", "--signal", "KILL", &container])?;
    Ok(())
}
