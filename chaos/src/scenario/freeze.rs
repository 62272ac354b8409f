//! A replica freezes: its connections stay open, and nothing is answered.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{
    probe::{between, percentile},
    replica::Role,
    row::Row,
    trial::{Context, Load, under_load},
};

/// What the simulator waits.
const LATE: Duration = Duration::from_millis(300);

pub(super) async fn one_replica(context: &Context) -> anyhow::Result<Row> {
    let fleet = context.fleet(&context.plan()).await?;
    let frozen_for = context.seconds(20, 5);
    let roles = [Role::Message, Role::User, Role::Follower, Role::Gateway];
    let roles = &roles[..context.pick(4, 2)];
    let count = u32::try_from(roles.len())?;
    let time = (frozen_for + Duration::from_secs(7)) * count + Duration::from_secs(3);
    let mut freezes = Vec::new();
    let seen = under_load(&fleet, Load::usual(context, time), async || {
        for role in roles {
            let replica = fleet.first(*role)?;
            let from = Instant::now();
            replica.freeze()?;
            sleep(frozen_for).await;
            replica.thaw()?;
            freezes.push((*role, from, Instant::now()));
            sleep(Duration::from_secs(7)).await;
        }
        Ok(())
    })
    .await?;

    let mut row = seen.row("one replica frozen");
    let before = freezes
        .first()
        .map_or_else(Instant::now, |(_, from, _)| *from);
    let usual = percentile(
        &between(&seen.samples, before - Duration::from_secs(2), before),
        99,
    );
    let second = Duration::from_secs(1);
    for (role, from, until) in &freezes {
        let first = between(&seen.samples, *from, *from + second);
        let rest = between(&seen.samples, *from + second, *until);
        let after = between(&seen.samples, *until + 5 * second, *until + 7 * second);
        let late = |samples: &[_]| {
            samples
                .iter()
                .filter(|s: &&crate::probe::Sample| s.took > LATE || !s.is_ok())
                .count()
        };
        let (late_first, late_rest) = (late(&first), late(&rest));
        let p99 = percentile(&after, 99);
        row.notes.push(format!(
            "{}: late or failed in the first second {late_first}/{}, then {late_rest}/{}; \
             p99 before {usual:.1?}, meanwhile {:.1?}, 5 s after {p99:.1?}",
            role.name(),
            first.len(),
            rest.len(),
            percentile(&rest, 99),
        ));
        row.bar(
            late_rest == 0,
            format!("{}: late after the first second", role.name()),
        );
        let calm = (usual * 2).max(Duration::from_millis(50));
        row.bar(
            p99 <= calm,
            format!("{}: still slow 5 s later", role.name()),
        );
    }
    Ok(row)
}
