//! Nodes that are drained, die, or lose their network.

use std::time::{Duration, Instant};

use crate::{
    load::{Load, LoadReport, Window},
    scenario::swarm::{
        machine::{Cable, Node},
        stage::Stage,
    },
    trial::ScenarioResult,
};

/// Maximum time in seconds from the loss of a node to the last failure.
const RECOVERY_SECONDS_MAX: f64 = 5.0;

/// Time without the node, in which failures are counted.
const MINUTE: Duration = Duration::from_mins(1);

/// Drains a node as before maintenance, and makes it available again.
pub(super) fn drain(stage: &mut Stage) -> anyhow::Result<ScenarioResult> {
    stage.spread()?;
    let node = stage.victim()?;
    let (seconds, report) = stage.measure(|stage, _| {
        let start = Instant::now();
        stage.set_availability(&node, "drain")?;
        node.wait_until_empty()?;
        stage.stack.wait_until_stable()?;
        let seconds = start.elapsed().as_secs_f32();
        stage.set_availability(&node, "active")?;
        stage.stack.wait_until_stable()?;
        Ok(seconds)
    })?;
    let fact = format!("{} drained in {seconds:.0} s", node.name);
    Ok(ScenarioResult::new(report).fact(fact).no_failure())
}

/// Kills the Engine and the containers of a node, and starts the node again after a minute.
pub(super) fn killed(stage: &mut Stage) -> anyhow::Result<ScenarioResult> {
    lose(
        stage,
        |_, node| node.kill(),
        |stage, node| {
            stage.machines.start_node(node)?;
            node.wait_for_engine()
        },
    )
}

/// Disconnects a node's cable for a minute.
pub(super) fn cut_off(stage: &mut Stage) -> anyhow::Result<ScenarioResult> {
    let set = |stage: &Stage, node: &Node, state| stage.machines.set_cable(node, state);
    lose(
        stage,
        |stage, node| set(stage, node, Cable::Cut),
        |stage, node| set(stage, node, Cable::Connected),
    )
}

/// Loses a node for a minute. The node is restored also after an error.
fn lose(
    stage: &mut Stage,
    remove: impl FnOnce(&Stage, &Node) -> anyhow::Result<()>,
    restore: impl Fn(&Stage, &Node) -> anyhow::Result<()>,
) -> anyhow::Result<ScenarioResult> {
    let node = stage.victim()?;
    let mut is_restored = false;
    let lost = stage.measure(|stage, load| {
        let at = load.elapsed();
        remove(stage, &node)?;
        stage.wait_for_node(&node, "down")?;
        stage.stack.wait_until_stable()?;
        load.run_until(at + MINUTE);
        is_restored = true;
        restore(stage, &node)?;
        wait_after_return(stage, load, &node)?;
        Ok(at)
    });
    if !is_restored {
        restore(stage, &node)?;
        stage.wait_for_node(&node, "ready")?;
    }
    let (at, report) = lost?;
    Ok(judge(stage, at, report))
}

/// Waits while the load runs on after the return of a node, which stops outdated tasks and causes elections.
fn wait_after_return(stage: &Stage, load: &Load, node: &Node) -> anyhow::Result<()> {
    stage.wait_for_node(node, "ready")?;
    stage.stack.wait_until_stable()?;
    load.run_until(load.elapsed() + MINUTE / 3);
    stage.stack.wait_until_stable()
}

fn judge(stage: &Stage, at: Duration, report: LoadReport) -> ScenarioResult {
    let at = at.as_secs_f64();
    let returned = at + MINUTE.as_secs_f64();
    let (lost, after): (Vec<_>, Vec<_>) = report
        .error_windows
        .iter()
        .partition(|window| window.from < returned);
    let count = |windows: &[&Window]| -> u64 { windows.iter().map(|window| window.errors).sum() };
    let (failed, failed_after) = (count(&lost), count(&after));
    let failed_for = lost.iter().map(|window| window.to - at).fold(0.0, f64::max);
    let sent = u64::from(stage.rate) * MINUTE.as_secs();
    let causes = report.failures();
    let mut result = ScenarioResult::new(report)
        .fact(format!(
            "{failed} failed, the last {failed_for:.1} s after the loss"
        ))
        .fact(format!(
            "{failed_after} failed after the return of the node"
        ));
    result.threshold(
        failed_for <= RECOVERY_SECONDS_MAX,
        format!("requests failed until {failed_for:.1} s after the loss: {causes}"),
    );
    result.threshold(
        failed * 1000 < sent,
        format!("{failed} of a minute's {sent} requests failed: {causes}"),
    );
    result.threshold(
        failed_after == 0,
        format!("{failed_after} requests failed after the return of the node: {causes}"),
    );
    result
}
