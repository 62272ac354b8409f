//! First the network of the follower service is slow, then its database.

use std::{fs, time::Duration};

use anyhow::Context as _;
use sqlx::{Connection, PgConnection};
use test_sink::Sink;
use tokio::time::{Instant, sleep};

use super::{
    outage,
    probe::Kind,
    run::{Context, Period, under_load},
    trace::SlowRequestTrace,
};
use crate::{
    chart,
    fleet::{NetworkFault, Plan, Role, Suite},
    trial::ScenarioResult,
    wait::wait_until,
};

/// Delay of the slow network, in each direction.
const DELAY: Duration = Duration::from_secs(2);

/// Time limit of a statement, and as much again for a busy machine.
const STATEMENT_AGE_MAX: Duration = Duration::from_millis(440);

/// Route of the requests whose traces lead to a statement.
const ROUTE: &str = "/fllws/{username}";

/// Least time of a statement that waited for the lock.
const STATEMENT_TIME_MIN: Duration = Duration::from_millis(50);

/// Maximum time until the last spans arrive, because they are exported every few seconds.
const SPANS_TIMEOUT: Duration = Duration::from_secs(20);

pub(super) async fn follower(context: &Context) -> anyhow::Result<ScenarioResult> {
    let sink = Sink::start();
    let plan = Plan {
        proxied: vec![Role::Follower],
        collector: Some(sink.endpoint.clone()),
        ..context.plan()
    };
    let suite = context.suite(&plan).await?;
    let slow_time = context.seconds(10, 4);
    let time = slow_time * 2 + Duration::from_secs(11);
    let mut outages = Vec::new();
    let mut oldest = Duration::ZERO;
    let observed = under_load(&suite, context, context.load(time), async || {
        let from = Instant::now();
        set_all(&suite, NetworkFault::Delay(DELAY))?;
        sleep(slow_time).await;
        set_all(&suite, NetworkFault::None)?;
        let until = Instant::now();
        outages.push(("network", Period { from, until }));
        sleep(Duration::from_secs(4)).await;

        let from = Instant::now();
        oldest = lock_table(&suite, slow_time).await?;
        let until = Instant::now();
        outages.push(("table locked", Period { from, until }));
        Ok(())
    })
    .await?;
    let mut result = observed.result();
    for (name, outage) in outages {
        let is_affected = Kind::needs_follower;
        outage::judge(&mut result, name, &observed.samples, outage, is_affected);
    }
    let cancelled = "canceling statement due to statement timeout";
    let followers = suite.all(Role::Follower);
    let cancelled: usize = followers
        .map(|replica| replica.process.count_in_log(cancelled))
        .sum();
    result.facts.push(format!(
        "the database cancelled {cancelled} statements; the oldest observed statement was {oldest:.0?} old"
    ));
    result.promise(cancelled > 0, "the database cancelled no statement");
    result.threshold(
        oldest < STATEMENT_AGE_MAX,
        format!("a statement ran for {oldest:.0?}, at most {STATEMENT_AGE_MAX:?}"),
    );
    match slow_request(&suite, &sink).await {
        Ok(trace) => draw(context, &trace)?,
        Err(_) => result.promise(false, "no trace of a slow request leads to its statement"),
    }
    Ok(result)
}

/// Finds a slow request whose log line leads to its trace, and the trace to the statement that waited.
async fn slow_request(suite: &Suite, sink: &Sink) -> anyhow::Result<SlowRequestTrace> {
    wait_until(SPANS_TIMEOUT, Duration::from_millis(200), async || {
        let gateways = suite.all(Role::Gateway);
        let traces = gateways
            .flat_map(|gateway| SlowRequestTrace::find(&gateway.process.log(), ROUTE, sink));
        let longest = traces.max_by_key(SlowRequestTrace::statement_time);
        Ok(longest.filter(|trace| trace.statement_time() >= Some(STATEMENT_TIME_MIN)))
    })
    .await
}

fn draw(context: &Context, trace: &SlowRequestTrace) -> anyhow::Result<()> {
    if let Some(folder) = &context.pictures {
        fs::create_dir_all(folder)?;
        let picture = chart::trace::svg(&trace.line, &trace.spans, &trace.critical_path);
        fs::write(folder.join("slow-request.svg"), picture)?;
    }
    Ok(())
}

fn set_all(suite: &Suite, fault: NetworkFault) -> anyhow::Result<()> {
    for replica in suite.all(Role::Follower) {
        suite.proxy(replica.name())?.set(fault);
    }
    Ok(())
}

/// Blocks every statement of the service for a while, and returns the age of the oldest statement.
async fn lock_table(suite: &Suite, time: Duration) -> anyhow::Result<Duration> {
    const OLDEST: &str = "SELECT COALESCE(MAX(EXTRACT(EPOCH FROM clock_timestamp() - query_start)), \
                          0)::float8 FROM pg_stat_activity WHERE datname = current_database() AND \
                          state = 'active' AND pid <> pg_backend_pid()";
    let url = suite.databases.get(&Role::Follower);
    let url = url.context("the follower service has a database")?;
    let mut locking = PgConnection::connect(url).await?;
    let mut watching = PgConnection::connect(url).await?;
    let mut transaction = locking.begin().await?;
    sqlx::query("LOCK TABLE follow IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *transaction)
        .await?;
    let until = Instant::now() + time;
    let mut oldest: f64 = 0.0;
    while Instant::now() < until {
        let age: f64 = sqlx::query_scalar(OLDEST).fetch_one(&mut watching).await?;
        oldest = oldest.max(age);
        sleep(Duration::from_millis(50)).await;
    }
    transaction.rollback().await?;
    Ok(Duration::from_secs_f64(oldest))
}
