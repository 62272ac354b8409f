//! More replicas of each service, and fewer again.

use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::{
    command::output,
    scenario::swarm::{image::PROCESSES, machine::Node, stack::Stack, stage::Stage},
    trial::ScenarioResult,
    wait::wait_for_swarm,
};

/// Maximum time from a new replica's first success of the health check to its first request.
const TRAFFIC_TIME_MAX: Duration = Duration::from_secs(5);

/// Maximum time until a new replica is healthy.
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// Maximum time until a replica has answered its last requests and has ended.
const STOP_TIMEOUT: Duration = Duration::from_mins(1);

/// Time of the load after the last change.
const TIME_AFTERWARDS: Duration = Duration::from_secs(5);

/// Scales each service from two to four replicas and back, one service after the other, because the machines
/// are too small for all services at once.
pub(super) fn up_and_down(stage: &mut Stage) -> anyhow::Result<ScenarioResult> {
    let (slowest, report) = stage.measure(|stage, load| {
        let mut slowest: f32 = 0.0;
        for service in PROCESSES {
            scale(stage, service, 4)?;
            let seconds = wait_for_traffic(stage, service, 4);
            // Also after an error, because the next scenario expects two replicas.
            scale(stage, service, 2)?;
            wait_for_swarm(STOP_TIMEOUT, || {
                Ok((containers(stage, service)?.len() == 2).then_some(()))
            })
            .with_context(|| format!("{service} does not return to two replicas"))?;
            let seconds = seconds?;
            println!("all four replicas of {service} serve {seconds:.1} s after they are healthy");
            slowest = slowest.max(seconds);
        }
        load.run_until(load.elapsed() + TIME_AFTERWARDS);
        stage.stack.wait_until_stable()?;
        Ok(slowest)
    })?;
    let fact = format!("the slowest new replica had traffic {slowest:.1} s after its start");
    let mut result = ScenarioResult::new(report).fact(fact);
    result.threshold(
        slowest <= TRAFFIC_TIME_MAX.as_secs_f32(),
        format!("a new replica was without traffic for {slowest:.1} s"),
    );
    Ok(result.no_failure())
}

fn scale(stage: &Stage, service: &str, replicas: u32) -> anyhow::Result<()> {
    let to = format!("{}={replicas}", Stack::service(service));
    stage
        .stack
        .engine()
        .docker(["service", "scale", "--detach", &to])
        .map(drop)
}

/// Measures the seconds from so many healthy replicas until all of them have answered requests.
fn wait_for_traffic(stage: &Stage, service: &str, replicas: usize) -> anyhow::Result<f32> {
    wait_for_swarm(START_TIMEOUT, || {
        Ok((stage.stack.tasks(service)?.len() == replicas).then_some(()))
    })
    .with_context(|| format!("not all replicas of {service} run"))?;
    let start = Instant::now();
    let mut waiting = containers(stage, service)?;
    wait_for_swarm(START_TIMEOUT, || {
        let mut still_waiting = Vec::new();
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
                still_waiting.push((node, container));
            }
        }
        waiting = still_waiting;
        Ok(waiting.is_empty().then_some(()))
    })
    .with_context(|| format!("a replica of {service} has no traffic"))?;
    Ok(start.elapsed().as_secs_f32())
}

/// Finds the running containers of a service with their machines.
fn containers<'a>(stage: &'a Stage, service: &str) -> anyhow::Result<Vec<(&'a Node, String)>> {
    let mut found = Vec::new();
    for node in stage.machines.nodes() {
        let containers = node.engine().containers(&Stack::service(service))?;
        found.extend(containers.into_iter().map(|container| (node, container)));
    }
    Ok(found)
}
