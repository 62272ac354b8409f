//! Five times as much is asked as can be done.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use minitwit_simulator::{SimulateArgs, simulate};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    fleet::{Fleet, Plan},
    probe::{between, percentile},
    proxy::Weather,
    replica::Role,
    row::Row,
    trial::{Context, Load, under_load},
};

/// So many requests at once, each of which takes its time: a capacity that leaves the load
/// generator room on the same machine.
const REQUESTS_MAX: u32 = 8;
const DELAY: Duration = Duration::from_millis(20);

pub(super) async fn five_times(context: &Context) -> anyhow::Result<Row> {
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
    let fleet = context.fleet(&plan).await?;
    for replica in fleet
        .replicas()
        .iter()
        .filter(|replica| plan.proxied.contains(&replica.role))
    {
        fleet.proxy(&replica.name)?.set(Weather::Slow(DELAY));
    }
    let peak = peak(context, &fleet).await?;

    let time = context.seconds(60, 8);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive rate"
    )]
    let rate = (peak * 5.0) as u32;
    let load = Load {
        rate,
        time,
        seed: context.seed + 1,
    };
    let (green, red) = (AtomicU32::new(0), AtomicU32::new(0));
    let mut ends = Instant::now();
    let seen = under_load(&fleet, load, async || {
        ends = Instant::now() + time - Duration::from_secs(3);
        while Instant::now() < ends {
            for replica in fleet.replicas() {
                let counter = if replica.is_ready().await {
                    &green
                } else {
                    &red
                };
                counter.fetch_add(1, Ordering::Relaxed);
            }
            sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    })
    .await?;

    let mut row = seen.row("five times the load");
    let goodput = seen.report.ok_per_second;
    let meanwhile = between(&seen.samples, ends + Duration::from_secs(3) - time, ends);
    let refusals: Vec<_> = meanwhile
        .iter()
        .filter(|sample| sample.status == Some(503))
        .copied()
        .collect();
    let silent = refusals.iter().filter(|sample| !sample.retry_after).count();
    let (p50, p99) = (percentile(&refusals, 50), percentile(&refusals, 99));
    let (green, red) = (green.into_inner(), red.into_inner());
    row.notes.push(format!(
        "peak {peak:.0}/s, offered {rate}/s, answered rightly {goodput:.0}/s ({:.0} %)",
        100.0 * goodput / peak
    ));
    row.notes.push(format!(
        "{} refusals seen, p50 {p50:.1?}, p99 {p99:.1?}; health green {green}, red {red}",
        refusals.len()
    ));
    row.bar(goodput >= 0.9 * peak, "goodput below 90 % of the peak");
    row.bar(!refusals.is_empty(), "nothing was refused");
    row.bar(
        p99 < Duration::from_millis(10),
        "refusals take longer than 10 ms",
    );
    row.promise(
        silent == 0,
        format!("{silent} refusals without Retry-After"),
    );
    row.promise(red == 0, format!("not ready under overload, {red} times"));
    Ok(row)
}

/// What the suite can do, with just as many askers as it takes.
async fn peak(context: &Context, fleet: &Fleet) -> anyhow::Result<f64> {
    let options = [
        format!("http://{}", fleet.api()),
        format!("--concurrency={REQUESTS_MAX}"),
        format!("--for={}s", context.pick(10, 4)),
        format!("--seed={}", context.seed),
        "--reads=30".to_owned(),
        "--allow-errors".to_owned(),
        "--no-verify".to_owned(),
        "--quiet".to_owned(),
    ];
    let arguments = SimulateArgs::parse_options(options)?;
    let report = simulate(&arguments, CancellationToken::new()).await?;
    Ok(report.ok_per_second)
}
