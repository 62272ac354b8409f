//! Random replicas are killed one after the other, and started again a second later.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::{Instant, sleep, sleep_until};

use super::run::{Context, under_load};
use crate::{fleet::START_TIMEOUT, trial::ScenarioResult};

/// Maximum percentage of the calls that the gateways may repeat.
const RETRIES_PERCENT_MAX: f64 = 10.0;

pub(super) async fn at_random(context: &Context) -> anyhow::Result<ScenarioResult> {
    let suite = context.suite(&context.plan()).await?;
    let (kills, interval) = (context.pick(60, 5), context.seconds(5, 3));
    let time = interval * kills + Duration::from_secs(4);
    let mut random = StdRng::seed_from_u64(context.seed);
    let mut killed = Vec::new();
    let observed = under_load(&suite, context, context.load(time), async || {
        let start = Instant::now();
        for kill in 0..kills {
            sleep_until(start + interval * kill).await;
            let replica = &suite.replicas()[random.random_range(0..suite.replicas().len())];
            killed.push(replica.name());
            replica.process.kill()?;
            sleep(Duration::from_secs(1)).await;
            replica.process.start()?;
            replica.ready(START_TIMEOUT).await?;
        }
        Ok(())
    })
    .await?;
    let killed = killed.join(" ");
    let mut result = observed.result().fact(format!("killed: {killed}"));
    // 99.99 % succeed. In a short run a single request may fail.
    result.failed_at_most((result.load.sent() / 10_000).max(1));
    let retries = observed.calls.retries_percent();
    result.threshold(
        retries <= RETRIES_PERCENT_MAX,
        format!("{retries:.1} % of the calls were repeated"),
    );
    Ok(result)
}
