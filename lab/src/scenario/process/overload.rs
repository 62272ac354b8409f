//! The load is five times the suite's capacity.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{
    probe::{Sample, during, percentile},
    run::{Context, Period, ScenarioLoad, under_load},
};
use crate::{
    fleet::{NetworkFault, Plan, Role},
    trial::ScenarioResult,
};

/// Maximum number of concurrent requests of the gateway. With the delay of each, they limit the capacity so
/// that the simulator on the same machine has enough processor time.
const REQUESTS_MAX: u32 = 8;
const DELAY: Duration = Duration::from_millis(20);

/// Share of the capacity that has to be served under overload.
const GOODPUT_MIN: f64 = 0.9;

/// Maximum response time of 99 % of the refusals.
const REFUSAL_P99_MAX: Duration = Duration::from_millis(10);

/// Time at the end of the load that is not judged.
const END_TIME: Duration = Duration::from_secs(3);

pub(super) async fn five_times(context: &Context) -> anyhow::Result<ScenarioResult> {
    let plan = Plan {
        counts: [
            (Role::User, 1),
            (Role::Follower, 1),
            (Role::Message, 2),
            (Role::Gateway, 1),
        ],
        edge: false,
        proxied: vec![Role::Follower, Role::Message],
        gateway_environment: vec![("REQUESTS_MAX", REQUESTS_MAX.to_string())],
        ..context.plan()
    };
    let suite = context.suite(&plan).await?;
    for role in &plan.proxied {
        for replica in suite.all(*role) {
            suite.proxy(replica.name())?.set(NetworkFault::Delay(DELAY));
        }
    }
    let capacity_time = context.seconds(10, 4);
    let capacity = context
        .capacity(&suite, REQUESTS_MAX, capacity_time)
        .await?;

    let time = context.seconds(60, 8);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive rate"
    )]
    let rate = (capacity * 5.0) as u32;
    let load = ScenarioLoad {
        rate,
        time,
        seed: context.seed + 1,
    };
    let (ready, unready) = (AtomicU32::new(0), AtomicU32::new(0));
    let mut end = Instant::now();
    let observed = under_load(&suite, context, load, async || {
        end = Instant::now() + time - END_TIME;
        while Instant::now() < end {
            for replica in suite.replicas() {
                let is_ready = replica.is_ready().await;
                let counter = if is_ready { &ready } else { &unready };
                counter.fetch_add(1, Ordering::Relaxed);
            }
            sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    })
    .await?;

    let mut result = observed.result();
    let goodput = observed.load.ok_per_second;
    let judged = Period {
        from: end + END_TIME - time,
        until: end,
    };
    let mut refusals = during(&observed.samples, judged);
    refusals.retain(|sample| sample.status == Some(503));
    let is_silent = |sample: &&Sample| !sample.has_retry_after;
    let silent = refusals.iter().filter(is_silent).count();
    let (p50, p99) = (percentile(&refusals, 50), percentile(&refusals, 99));
    let (ready, unready) = (ready.into_inner(), unready.into_inner());
    let percent = 100.0 * goodput / capacity;
    result.facts.push(format!(
        "capacity {capacity:.0}/s, load {rate}/s, succeeded {goodput:.0}/s ({percent:.0} %)"
    ));
    result.facts.push(format!(
        "{} refusals observed, p50 {p50:.1?}, p99 {p99:.1?}; {ready} times ready, {unready} times not",
        refusals.len()
    ));
    result.threshold(
        goodput >= GOODPUT_MIN * capacity,
        format!("only {percent:.0} % of the capacity succeeded, at least 90 % have to"),
    );
    result.threshold(!refusals.is_empty(), "no request was refused");
    result.threshold(
        p99 < REFUSAL_P99_MAX,
        format!("p99 of the refusals {p99:.1?}, at most {REFUSAL_P99_MAX:?}"),
    );
    result.promise(
        silent == 0,
        format!("{silent} refusals without Retry-After"),
    );
    result.promise(
        unready == 0,
        format!("{unready} times not ready under overload"),
    );
    Ok(result)
}
