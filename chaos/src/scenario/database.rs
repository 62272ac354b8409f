//! The database server is stopped, and comes back.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep},
};

use super::away::judge;
use crate::{
    row::Row,
    trial::{Context, Load, under_load},
};

pub(super) async fn stopped(context: &Context) -> anyhow::Result<Row> {
    let fleet = context.fleet(&context.plan()).await?;
    let away_for = context.seconds(10, 3);
    let time = away_for + Duration::from_secs(context.pick(20, 9));
    let mut outage = None;
    let mut unready = Vec::new();
    let seen = under_load(&fleet, Load::usual(context, time), async || {
        let from = Instant::now();
        let cluster = Arc::clone(&context.cluster);
        spawn_blocking(move || cluster.kill()).await??;
        sleep(away_for).await;
        // An orchestrator would kill what is not ready, and that does not bring the database back.
        for replica in fleet.replicas() {
            if !replica.is_ready().await {
                unready.push(replica.name.clone());
            }
        }
        let cluster = Arc::clone(&context.cluster);
        spawn_blocking(move || cluster.start_again()).await??;
        outage = Some((from, Instant::now()));
        Ok(())
    })
    .await?;
    let mut row = seen.row("PostgreSQL stopped");
    if let Some(outage) = outage {
        judge(&mut row, "database", &seen.samples, outage, |_| true);
    }
    row.promise(
        unready.is_empty(),
        format!("not ready without a database: {unready:?}"),
    );
    for replica in fleet.replicas() {
        row.promise(
            replica.life_number() == 1,
            format!("{} was restarted", replica.name),
        );
        row.promise(
            replica.ended()?.is_none(),
            format!("{} has ended", replica.name),
        );
        let left = replica.count_in_log("a replica is ejected");
        row.notes
            .extend((left > 0).then(|| format!("{}: {left} ejections", replica.name)));
    }
    Ok(row)
}
