//! Replicas are killed without a word, one after the other, and come back a second later.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    fleet::START_PATIENCE,
    row::Row,
    trial::{Context, Load, under_load},
};

pub(super) async fn at_random(context: &Context) -> anyhow::Result<Row> {
    let fleet = context.fleet(&context.plan()).await?;
    let (kills, every) = (context.pick(60, 5), context.seconds(5, 3));
    let time = every * kills + Duration::from_secs(4);
    let mut chance = StdRng::seed_from_u64(context.seed);
    let mut victims = Vec::new();
    let seen = under_load(&fleet, Load::usual(context, time), async || {
        let began = Instant::now();
        for kill in 0..kills {
            sleep_until(began + every * kill).await;
            let victim = &fleet.replicas()[chance.random_range(0..fleet.replicas().len())];
            victims.push(victim.name.clone());
            victim.kill()?;
            sleep(Duration::from_secs(1)).await;
            victim.start()?;
            victim.ready(START_PATIENCE).await?;
        }
        Ok(())
    })
    .await?;
    let mut row = seen.row("kill -9 at random");
    row.notes.push(format!("killed: {}", victims.join(" ")));
    // 99.99 % good; of few requests one may be bad.
    row.bar_failed((row.sent / 10_000).max(1));
    let retries = row.calls.retries_percent();
    row.bar(
        retries <= 10.0,
        format!("{retries:.1} % of the calls were repeated"),
    );
    Ok(row)
}
