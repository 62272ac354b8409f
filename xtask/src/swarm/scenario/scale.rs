//! More replicas, and fewer again.

use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::{
    swarm::{
        engine::output, image::PROCESSES, machine::Node, stack::Stack, stage::Stage, trial::Trial,
    },
    wait::wait_for_swarm,
};

/// How soon a new replica must have traffic, counted from when it is healthy.
const TRAFFIC_WITHIN: Duration = Duration::from_secs(5);

/// How long a new replica may take to be healthy.
const START_PATIENCE: Duration = Duration::from_mins(1);

/// How long one that is no longer wanted may take to finish what it has begun and to be gone.
const STOP_PATIENCE: Duration = Duration::from_mins(1);

/// How long the load goes on after the last change.
const AFTERWARDS: Duration = Duration::from_secs(5);

/// Each service of the suite from two to four replicas and back, one after the other: the machines
/// are not large enough for all of it at once.
pub(super) fn up_and_down(stage: &mut Stage) -> anyhow::Result<Trial> {
    let (slowest, measured) = stage.measure(|stage, load| {
        let mut slowest: f32 = 0.0;
        for service in PROCESSES {
            scale(stage, service, 4)?;
            let seconds = wait_for_traffic(stage, service, 4);
            // Whatever came of it: the next scenario expects two.
            scale(stage, service, 2)?;
            wait_for_swarm(STOP_PATIENCE, || {
                Ok((containers(stage, service)?.len() == 2).then_some(()))
            })
            .with_context(|| format!("{service} has not come back to two replicas"))?;
            let seconds = seconds?;
            println!("all four of {service} serve {seconds:.1} s after they run");
            slowest = slowest.max(seconds);
        }
        load.run_until(load.elapsed() + AFTERWARDS);
        stage.stack.wait_until_calm()?;
        Ok(slowest)
    })?;
    Ok(Trial::new(measured)
        .fact(format!(
            "the last new replica had traffic {slowest:.1} s after its start"
        ))
        .promise(
            slowest <= TRAFFIC_WITHIN.as_secs_f32(),
            format!("a new replica was without traffic for {slowest:.1} s"),
        )
        .no_failure())
}

fn scale(stage: &Stage, service: &str, replicas: u32) -> anyhow::Result<()> {
    let to = format!("{}={replicas}", Stack::service(service));
    stage
        .stack
        .engine()
        .docker(["service", "scale", "--detach", &to])
        .map(drop)
}

/// How long it takes, from when so many replicas are healthy, until all of them have answered calls.
fn wait_for_traffic(stage: &Stage, service: &str, replicas: usize) -> anyhow::Result<f32> {
    wait_for_swarm(START_PATIENCE, || {
        Ok((stage.stack.tasks(service)?.len() == replicas).then_some(()))
    })
    .with_context(|| format!("not all replicas of {service} run"))?;
    let start = Instant::now();
    let mut waiting = containers(stage, service)?;
    wait_for_swarm(START_PATIENCE, || {
        let mut still = Vec::new();
        for (node, container) in waiting.drain(..) {
            let (port, counter) = match service {
                "user" => (5021, "rpc_server_call_duration_seconds_count"),
                "follower" => (5022, "rpc_server_call_duration_seconds_count"),
                "message" => (5023, "rpc_server_call_duration_seconds_count"),
                _ => (5009, "http_server_request_duration_seconds_count"),
            };
            let mut curl = node.in_network_of(&container, "curl")?;
            let url = format!("http://127.0.0.1:{port}/metrics");
            let metrics = output(curl.args(["--silent", "--max-time", "2", &url]))?;
            let served = metrics.lines().any(|line| {
                line.starts_with(counter) && !line.contains("Health") && !line.ends_with(" 0")
            });
            if !served {
                still.push((node, container));
            }
        }
        waiting = still;
        Ok(waiting.is_empty().then_some(()))
    })
    .with_context(|| format!("a replica of {service} has no traffic"))?;
    Ok(start.elapsed().as_secs_f32())
}

/// The running containers of a service, and where they are.
fn containers<'a>(stage: &'a Stage, service: &str) -> anyhow::Result<Vec<(&'a Node, String)>> {
    let mut found = Vec::new();
    for node in stage.machines.nodes() {
        let containers = node.engine().containers(&Stack::service(service))?;
        found.extend(containers.into_iter().map(|container| (node, container)));
    }
    Ok(found)
}
