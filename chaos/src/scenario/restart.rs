//! A release: every replica is stopped in order and started again, one after the other.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{
    fleet::START_PATIENCE,
    replica::Role,
    row::Row,
    trial::{Context, Load, under_load},
};

pub(super) async fn rolling(context: &Context) -> anyhow::Result<Row> {
    let fleet = context.fleet(&context.plan()).await?;
    let time = context.seconds(180, 20);
    let mut restarts = 0;
    let seen = under_load(&fleet, Load::usual(context, time), async || {
        let ends = Instant::now() + time - Duration::from_secs(4);
        let rounds = Role::ALL.into_iter().cycle().flat_map(|role| {
            // When time is short, one replica stands for all of its service.
            fleet.all(role).take(context.pick(usize::MAX, 1))
        });
        for replica in rounds {
            if Instant::now() + Duration::from_secs(4) > ends {
                break;
            }
            replica.stop(Duration::from_secs(12)).await?;
            replica.start()?;
            replica.ready(START_PATIENCE).await?;
            restarts += 1;
            // As an orchestrator does: a new replica is given a moment before the next one goes.
            sleep(context.pick(Duration::from_secs(2), Duration::from_secs(1))).await;
        }
        Ok(())
    })
    .await?;
    let mut row = seen.row("rolling restart");
    row.notes.push(format!("{restarts} restarts"));
    row.bar_failed(0);
    Ok(row)
}
