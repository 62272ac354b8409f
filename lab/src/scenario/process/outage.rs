//! All replicas of a service are unavailable for a while.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    probe::{Kind, Sample, during},
    run::{Context, Period, under_load},
};
use crate::{fleet::Role, trial::ScenarioResult};

/// Maximum start time of the first replica after the outage.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// Time from the start of an outage after which refusals are checked.
const SETTLING_TIME: Duration = Duration::from_millis(500);

/// Maximum time from the end of an outage to the last failure.
const RECOVERY_TIME_MAX: Duration = Duration::from_secs(2);

/// Time after an outage in which its failures are counted.
const RECOVERY_OBSERVED: Duration = Duration::from_secs(4);

pub(super) async fn whole_service(context: &Context) -> anyhow::Result<ScenarioResult> {
    let suite = context.suite(&context.plan()).await?;
    let outage_time = context.seconds(10, 3);
    let roles = [Role::Message, Role::Follower, Role::User];
    let count = u32::try_from(roles.len())?;
    let time = (outage_time + RECOVERY_OBSERVED) * count + Duration::from_secs(3);
    let mut outages = Vec::new();
    let observed = under_load(&suite, context, context.load(time), async || {
        for role in roles {
            let from = Instant::now();
            for replica in suite.all(role) {
                replica.process.kill()?;
            }
            sleep(outage_time).await;
            let first = suite.first(role)?;
            first.process.start()?;
            first.ready(START_TIMEOUT).await?;
            let until = Instant::now();
            outages.push((role, Period { from, until }));
            for replica in suite.all(role).skip(1) {
                replica.process.start()?;
            }
            sleep(RECOVERY_OBSERVED).await;
        }
        Ok(())
    })
    .await?;
    let mut result = observed.result();
    for (role, outage) in outages {
        let is_affected = |kind| is_affected(role, kind);
        judge(
            &mut result,
            role.name(),
            &observed.samples,
            outage,
            is_affected,
        );
    }
    Ok(result)
}

/// Whether a kind of request needs a service. Known names need no user service.
fn is_affected(role: Role, kind: Kind) -> bool {
    match role {
        Role::Message => !kind.needs_follower(),
        Role::Follower => kind.needs_follower(),
        Role::User | Role::Gateway => false,
    }
}

/// Judges an outage.
///
/// Requests that do not need the unavailable part succeed. The other requests are refused in time, and two
/// seconds after the end all requests succeed. An outage that refused nothing was not effective and
/// therefore proves nothing.
pub(super) fn judge(
    result: &mut ScenarioResult,
    name: &str,
    samples: &[Sample],
    outage: Period,
    is_affected: impl Fn(Kind) -> bool,
) {
    let settled = Period {
        from: outage.from + SETTLING_TIME,
        ..outage
    };
    let (affected, unaffected): (Vec<_>, Vec<_>) = during(samples, settled)
        .into_iter()
        .partition(|sample| is_affected(sample.kind));
    let refused: Vec<_> = affected.iter().filter(|sample| !sample.is_ok()).collect();
    let is_unclean = |sample: &&&Sample| !sample.is_clean_refusal();
    let unclean = refused.iter().filter(is_unclean).count();
    let failed = unaffected.iter().filter(|sample| !sample.is_ok()).count();
    let slowest = refused.iter().map(|sample| sample.response_time).max();
    let slowest = slowest.unwrap_or_default();
    let after = Period {
        from: outage.until,
        until: outage.until + RECOVERY_OBSERVED,
    };
    let after = during(samples, after);
    let failures_after = after.iter().filter(|sample| !sample.is_ok());
    let recovered = failures_after
        .map(|sample| sample.sent_at - outage.until)
        .max();
    let recovered = recovered.unwrap_or_default();
    result.facts.push(format!(
        "{name}: {} refused, the slowest after {slowest:.0?}, {unclean} of them not cleanly; {failed} of \
         {} unaffected requests failed; recovered {recovered:.1?} after the end",
        refused.len(),
        unaffected.len(),
    ));
    result.promise(
        affected.is_empty() || !refused.is_empty(),
        format!("{name}: the outage refused no request"),
    );
    result.threshold(
        unclean == 0,
        format!("{name}: {unclean} refusals were late or not a 503 or 504"),
    );
    result.threshold(
        failed == 0,
        format!("{name}: {failed} requests failed that do not need this part"),
    );
    result.threshold(
        recovered <= RECOVERY_TIME_MAX,
        format!("{name}: recovered only after {recovered:.1?}"),
    );
}
