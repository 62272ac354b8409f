//! The database server is stopped and started again.

use std::sync::Arc;

use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep},
};

use super::{
    outage,
    run::{Context, Period, under_load},
};
use crate::trial::ScenarioResult;

pub(super) async fn stopped(context: &Context) -> anyhow::Result<ScenarioResult> {
    let suite = context.suite(&context.plan()).await?;
    let outage_time = context.seconds(10, 3);
    let time = outage_time + context.seconds(20, 9);
    let mut outage = None;
    let mut unready = Vec::new();
    let observed = under_load(&suite, context, context.load(time), async || {
        let from = Instant::now();
        let cluster = Arc::clone(&context.cluster);
        spawn_blocking(move || cluster.kill()).await??;
        sleep(outage_time).await;
        // An orchestrator kills a replica that is not ready, which does not start the database.
        for replica in suite.replicas() {
            if !replica.is_ready().await {
                unready.push(replica.name());
            }
        }
        let cluster = Arc::clone(&context.cluster);
        spawn_blocking(move || cluster.start_again()).await??;
        let until = Instant::now();
        outage = Some(Period { from, until });
        Ok(())
    })
    .await?;
    let mut result = observed.result();
    if let Some(outage) = outage {
        outage::judge(&mut result, "database", &observed.samples, outage, |_| true);
    }
    result.promise(
        unready.is_empty(),
        format!("not ready without a database: {unready:?}"),
    );
    for replica in suite.replicas() {
        let (name, process) = (replica.name(), &replica.process);
        result.promise(process.starts() == 1, format!("{name} was restarted"));
        result.promise(
            process.exit_status()?.is_none(),
            format!("{name} has ended"),
        );
        let ejections = process.count_in_log("a replica is ejected");
        if ejections > 0 {
            result.facts.push(format!("{name}: {ejections} ejections"));
        }
    }
    Ok(result)
}
