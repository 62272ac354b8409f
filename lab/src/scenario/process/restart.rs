//! A release stops each replica orderly and starts it again, one replica after the other.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::run::{Context, under_load};
use crate::{
    fleet::{Role, START_TIMEOUT},
    trial::ScenarioResult,
};

/// Maximum time of an orderly stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(12);

pub(super) async fn rolling(context: &Context) -> anyhow::Result<ScenarioResult> {
    let suite = context.suite(&context.plan()).await?;
    let time = context.seconds(180, 20);
    let mut restarts = 0;
    let observed = under_load(&suite, context, context.load(time), async || {
        let end = Instant::now() + time - Duration::from_secs(4);
        // In the short form, one replica represents its service.
        let replicas = |role| suite.all(role).take(context.pick(usize::MAX, 1));
        for replica in Role::ALL.into_iter().cycle().flat_map(replicas) {
            if Instant::now() + Duration::from_secs(4) > end {
                break;
            }
            replica.process.stop(STOP_TIMEOUT).await?;
            replica.process.start()?;
            replica.ready(START_TIMEOUT).await?;
            restarts += 1;
            // An orchestrator also waits between a new replica and the next stop.
            sleep(context.seconds(2, 1)).await;
        }
        Ok(())
    })
    .await?;
    let mut result = observed.result().fact(format!("{restarts} restarts"));
    result.failed_at_most(0);
    if let (Some(steady), Some(latency)) =
        (context.steady_p99_ms.get(), observed.load.total.latency)
    {
        result.threshold(
            latency.p99 < 2.0 * steady,
            format!("p99 {:.1} ms, steady {steady:.1} ms", latency.p99),
        );
    }
    Ok(result)
}
