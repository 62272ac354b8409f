//! Nodes that are taken out, die, or are cut off.

use std::time::{Duration, Instant};

use crate::{
    load::{Load, Measured, Window},
    swarm::{
        machine::{Cable, Node},
        stage::Stage,
        trial::Trial,
    },
};

/// How soon all must be good again.
const GOOD_WITHIN_SECONDS: f64 = 5.0;

/// In how much time failures are counted.
const MINUTE: Duration = Duration::from_mins(1);

/// Drains a node as before maintenance, and takes it back.
pub(super) fn drain(stage: &mut Stage) -> anyhow::Result<Trial> {
    stage.spread()?;
    let node = stage.victim()?;
    let (seconds, measured) = stage.measure(|stage, _| {
        let start = Instant::now();
        stage.set_availability(&node, "drain")?;
        node.wait_until_empty()?;
        stage.stack.wait_until_calm()?;
        let seconds = start.elapsed().as_secs_f32();
        stage.set_availability(&node, "active")?;
        stage.stack.wait_until_calm()?;
        Ok(seconds)
    })?;
    Ok(Trial::new(measured)
        .fact(format!("{} drained in {seconds:.0} s", node.name))
        .no_failure())
}

/// Kills a node's Engine and containers, and starts it again after a minute.
pub(super) fn killed(stage: &mut Stage) -> anyhow::Result<Trial> {
    lose(
        stage,
        |_, node| node.kill(),
        |stage, node| {
            stage.machines.start_node(node)?;
            node.wait_for_engine()
        },
    )
}

/// Cuts a node's cable for a minute.
pub(super) fn cut_off(stage: &mut Stage) -> anyhow::Result<Trial> {
    let set = |stage: &Stage, node: &Node, state| stage.machines.set_cable(node, state);
    lose(
        stage,
        |stage, node| set(stage, node, Cable::Cut),
        |stage, node| set(stage, node, Cable::Plugged),
    )
}

/// Loses a node for a minute; it is brought back whatever came of that.
fn lose(
    stage: &mut Stage,
    take: impl FnOnce(&Stage, &Node) -> anyhow::Result<()>,
    bring_back: impl Fn(&Stage, &Node) -> anyhow::Result<()>,
) -> anyhow::Result<Trial> {
    let node = stage.victim()?;
    let mut is_back = false;
    let lost = stage.measure(|stage, load| {
        let at = load.elapsed();
        take(stage, &node)?;
        stage.wait_for_node(&node, "down")?;
        stage.stack.wait_until_calm()?;
        load.run_until(at + MINUTE);
        is_back = true;
        bring_back(stage, &node)?;
        come_back(stage, load, &node)?;
        Ok(at)
    });
    if !is_back {
        bring_back(stage, &node)?;
        stage.wait_for_node(&node, "ready")?;
    }
    let (at, measured) = lost?;
    Ok(judge(stage, at, measured))
}

/// A node that returns must not be noticed either: what it still ran is stopped, elections are held.
fn come_back(stage: &Stage, load: &Load, node: &Node) -> anyhow::Result<()> {
    stage.wait_for_node(node, "ready")?;
    stage.stack.wait_until_calm()?;
    load.run_until(load.elapsed() + MINUTE / 3);
    stage.stack.wait_until_calm()
}

fn judge(stage: &Stage, at: Duration, measured: Measured) -> Trial {
    let at = at.as_secs_f64();
    let returned = at + MINUTE.as_secs_f64();
    let (lost, after): (Vec<_>, Vec<_>) = measured
        .windows
        .iter()
        .partition(|window| window.from < returned);
    let count = |windows: &[&Window]| -> u64 { windows.iter().map(|window| window.errors).sum() };
    let (failed, failed_after) = (count(&lost), count(&after));
    let bad_for = lost.iter().map(|window| window.to - at).fold(0.0, f64::max);
    let sent = u64::from(stage.load.rate) * MINUTE.as_secs();
    let causes = measured.story();
    Trial::new(measured)
        .fact(format!("bad for {bad_for:.1} s, {failed} failed"))
        .fact(format!("{failed_after} failed when it came back"))
        .promise(
            bad_for <= GOOD_WITHIN_SECONDS,
            format!("requests failed until {bad_for:.1} s after it: {causes}"),
        )
        .promise(
            failed * 1000 < sent,
            format!("{failed} of a minute's requests failed: {causes}"),
        )
        .promise(
            failed_after == 0,
            format!("{failed_after} requests failed when the node came back: {causes}"),
        )
}
