//! All replicas of a service are gone for a while.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{
    probe::{Kind, Sample, between},
    replica::Role,
    row::Row,
    trial::{Context, Load, under_load},
};

pub(super) async fn whole_service(context: &Context) -> anyhow::Result<Row> {
    let fleet = context.fleet(&context.plan()).await?;
    let away_for = context.seconds(10, 3);
    let roles = [Role::Message, Role::Follower, Role::User];
    let count = u32::try_from(roles.len())?;
    let time = (away_for + Duration::from_secs(4)) * count + Duration::from_secs(3);
    let mut outages = Vec::new();
    let seen = under_load(&fleet, Load::usual(context, time), async || {
        for role in roles {
            let from = Instant::now();
            for replica in fleet.all(role) {
                replica.kill()?;
            }
            sleep(away_for).await;
            let first = fleet.first(role)?;
            first.start()?;
            first.ready(Duration::from_secs(10)).await?;
            outages.push((role, from, Instant::now()));
            for replica in fleet.all(role).skip(1) {
                replica.start()?;
            }
            sleep(Duration::from_secs(4)).await;
        }
        Ok(())
    })
    .await?;
    let mut row = seen.row("a service away");
    for (role, from, until) in outages {
        judge(
            &mut row,
            role.name(),
            &seen.samples,
            (from, until),
            |kind| touches(role, kind),
        );
    }
    Ok(row)
}

/// Whether a kind of request needs a service at all: known names need no user service.
fn touches(role: Role, kind: Kind) -> bool {
    match role {
        Role::Message => !kind.needs_follower(),
        Role::Follower => kind.needs_follower(),
        Role::User | Role::Gateway => false,
    }
}

/// What has to hold of an outage: who needs nothing of it sees nothing of it, who does is told so in
/// time, and two seconds after its end it is as if it had never been. An outage that refused nothing
/// was none, and shows nothing.
pub(super) fn judge(
    row: &mut Row,
    what: &str,
    samples: &[Sample],
    (from, until): (Instant, Instant),
    touched: impl Fn(Kind) -> bool,
) {
    let settled = Duration::from_millis(500);
    let during = between(samples, from + settled, until);
    let (touched, untouched): (Vec<_>, Vec<_>) =
        during.iter().partition(|sample| touched(sample.kind));
    let refused: Vec<_> = touched
        .iter()
        .filter(|sample: &&Sample| !sample.is_ok())
        .collect();
    let unclean = refused
        .iter()
        .filter(|sample| !sample.is_clean_refusal())
        .count();
    let spoilt = untouched
        .iter()
        .filter(|sample: &&Sample| !sample.is_ok())
        .count();
    let slowest = refused
        .iter()
        .map(|sample| sample.took)
        .max()
        .unwrap_or_default();
    let back = samples
        .iter()
        .filter(|sample| sample.at >= until && !sample.is_ok())
        .filter(|sample| sample.at < until + Duration::from_secs(4))
        .map(|sample| sample.at - until)
        .max()
        .unwrap_or_default();
    row.notes.push(format!(
        "{what}: {} refused, the slowest after {slowest:.0?}, {unclean} of them not in order; \
         {spoilt} of {} untouched ones failed; well again {back:.1?} after its return",
        refused.len(),
        untouched.len(),
    ));
    row.promise(
        touched.is_empty() || !refused.is_empty(),
        format!("{what}: nothing was refused"),
    );
    row.bar(
        unclean == 0,
        format!("{what}: refusals that are late or not clean"),
    );
    row.bar(
        spoilt == 0,
        format!("{what}: failures where it has no part"),
    );
    row.bar(
        back <= Duration::from_secs(2),
        format!("{what}: not back within 2 s"),
    );
}
