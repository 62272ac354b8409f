//! Single tasks that die.

use std::time::Instant;

use anyhow::Context as _;

use crate::swarm::{stack::Task, stage::Stage, trial::Trial};

/// Kills a task of the message service, and when it has been replaced, one of the gateway.
pub(super) fn kill(stage: &mut Stage) -> anyhow::Result<Trial> {
    let (times, measured) = stage.measure(|stage, _| {
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
    Ok(Trial::new(measured).fact(times.join(", ")).no_failure())
}

/// As if the kernel had taken its memory away: no signal that it could hear.
fn kill_one(stage: &Stage, service: &str, task: &Task) -> anyhow::Result<()> {
    let engine = stage.machines.node(&task.node)?.engine();
    let filter = format!("label=com.docker.swarm.task.id={}", task.id);
    let container = engine.docker(["ps", "--quiet", "--filter", &filter])?;
    println!("killing a replica of {service} on {}", task.node);
    engine.docker(["kill", "--signal", "KILL", &container])?;
    Ok(())
}
