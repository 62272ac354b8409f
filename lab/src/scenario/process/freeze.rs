//! A replica freezes, so its connections stay open and no request is answered.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    probe::{Sample, during, percentile},
    run::{Context, Period, under_load},
};
use crate::{fleet::Role, trial::ScenarioResult};

/// Timeout of the simulator.
const LATE: Duration = Duration::from_millis(300);

/// Time from a replica's recovery to the next freeze.
const RECOVERY_TIME: Duration = Duration::from_secs(7);

const SECOND: Duration = Duration::from_secs(1);

pub(super) async fn one_replica(context: &Context) -> anyhow::Result<ScenarioResult> {
    let suite = context.suite(&context.plan()).await?;
    let frozen_time = context.seconds(20, 5);
    let roles = [Role::Message, Role::User, Role::Follower, Role::Gateway];
    let roles = &roles[..context.pick(4, 2)];
    let count = u32::try_from(roles.len())?;
    let time = (frozen_time + RECOVERY_TIME) * count + 3 * SECOND;
    let mut freezes = Vec::new();
    let observed = under_load(&suite, context, context.load(time), async || {
        for role in roles {
            let replica = suite.first(*role)?;
            let from = Instant::now();
            replica.process.freeze()?;
            sleep(frozen_time).await;
            replica.process.resume()?;
            let until = Instant::now();
            freezes.push((*role, Period { from, until }));
            sleep(RECOVERY_TIME).await;
        }
        Ok(())
    })
    .await?;

    let mut result = observed.result();
    let usual = freezes.first().map_or(Duration::ZERO, |(_, freeze)| {
        let before = Period {
            from: freeze.from - 2 * SECOND,
            until: freeze.from,
        };
        percentile(&during(&observed.samples, before), 99)
    });
    for (role, freeze) in freezes {
        judge(&mut result, &observed.samples, role, freeze, usual);
    }
    Ok(result)
}

/// Judges a freeze. After a second the frozen replica must not delay any request, and 5 s after its end the
/// response times must be as usual.
fn judge(
    result: &mut ScenarioResult,
    samples: &[Sample],
    role: Role,
    Period { from, until }: Period,
    usual: Duration,
) {
    let samples = |from, until| during(samples, Period { from, until });
    let first = samples(from, from + SECOND);
    let rest = samples(from + SECOND, until);
    let after = samples(until + 5 * SECOND, until + 7 * SECOND);
    let is_late = |sample: &&Sample| sample.response_time > LATE || !sample.is_ok();
    let (late_first, late_rest) = (
        first.iter().filter(is_late).count(),
        rest.iter().filter(is_late).count(),
    );
    let (name, p99_after) = (role.name(), percentile(&after, 99));
    result.facts.push(format!(
        "{name}: late or failed in the first second {late_first}/{}, then {late_rest}/{}; p99 before \
         {usual:.1?}, during {:.1?}, 5 s after {p99_after:.1?}",
        first.len(),
        rest.len(),
        percentile(&rest, 99),
    ));
    result.threshold(
        late_rest == 0,
        format!("{name}: {late_rest} requests late after the first second"),
    );
    let maximum = (usual * 2).max(Duration::from_millis(50));
    result.threshold(
        p99_after <= maximum,
        format!("{name}: p99 {p99_after:.1?} 5 s after the freeze, at most {maximum:.1?}"),
    );
}
