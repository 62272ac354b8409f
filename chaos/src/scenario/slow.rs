//! The follower service is slow: first its network, then its database.

use std::{fs, time::Duration};

use anyhow::Context as _;
use sqlx::{Connection, PgConnection};
use test_sink::Sink;
use tokio::time::{Instant, sleep};

use super::away::judge;
use crate::{
    fleet::{Fleet, Plan},
    picture,
    probe::Kind,
    proxy::Weather,
    replica::Role,
    row::Row,
    story::{self, Story},
    trial::{Context, Load, under_load},
};

/// The budget of a statement, and as long again for a busy machine.
const STATEMENT_MAX: Duration = Duration::from_millis(440);

/// The requests that are followed to their statement.
const ROUTE: &str = "/fllws/{username}";

/// A statement that took so long waited for the lock.
const HELD_UP: Duration = Duration::from_millis(50);

/// How long the last spans may be on their way: they are sent every few seconds.
const SPANS_PATIENCE: Duration = Duration::from_secs(20);

pub(super) async fn follower(context: &Context) -> anyhow::Result<Row> {
    let sink = Sink::start();
    let plan = Plan {
        proxied: vec![Role::Follower],
        traces: Some(sink.endpoint.clone()),
        ..context.plan()
    };
    let fleet = context.fleet(&plan).await?;
    let slow_for = context.seconds(10, 4);
    let time = slow_for * 2 + Duration::from_secs(11);
    let mut phases = Vec::new();
    let mut oldest = Duration::ZERO;
    let seen = under_load(&fleet, Load::usual(context, time), async || {
        let from = Instant::now();
        set_all(&fleet, Weather::Slow(Duration::from_secs(2)))?;
        sleep(slow_for).await;
        set_all(&fleet, Weather::Fair)?;
        phases.push(("network", from, Instant::now()));
        sleep(Duration::from_secs(4)).await;

        let from = Instant::now();
        oldest = lock_table(&fleet, slow_for).await?;
        phases.push(("table locked", from, Instant::now()));
        Ok(())
    })
    .await?;
    let mut row = seen.row("follower slowed");
    for (what, from, until) in phases {
        judge(
            &mut row,
            what,
            &seen.samples,
            (from, until),
            Kind::needs_follower,
        );
    }
    let cancelled: usize = fleet
        .all(Role::Follower)
        .map(|replica| replica.count_in_log("canceling statement due to statement timeout"))
        .sum();
    row.notes.push(format!(
        "the database cancelled {cancelled} statements; the oldest ever seen was {oldest:.0?}"
    ));
    row.promise(cancelled > 0, "no statement was cancelled in the database");
    row.bar(oldest < STATEMENT_MAX, "a statement outlived its budget");
    match slow_request(&fleet, &sink).await {
        Some(story) => draw(context, &story)?,
        None => row.promise(false, "no slow request's trace leads to its statement"),
    }
    Ok(row)
}

/// A slow request whose line leads to its trace, and that to the statement that was held up.
async fn slow_request(fleet: &Fleet, sink: &Sink) -> Option<Story> {
    let until = Instant::now() + SPANS_PATIENCE;
    while Instant::now() < until {
        let stories = fleet
            .all(Role::Gateway)
            .flat_map(|gateway| story::of_slow_requests(&gateway.log(), ROUTE, sink));
        let longest = stories.max_by_key(Story::statement_took);
        if let Some(story) = longest.filter(|story| story.statement_took() >= Some(HELD_UP)) {
            return Some(story);
        }
        sleep(Duration::from_millis(200)).await;
    }
    None
}

fn draw(context: &Context, story: &Story) -> anyhow::Result<()> {
    if let Some(folder) = &context.pictures {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("slow-request.svg"), picture::svg(story))?;
    }
    Ok(())
}

fn set_all(fleet: &Fleet, weather: Weather) -> anyhow::Result<()> {
    for replica in fleet.all(Role::Follower) {
        fleet.proxy(&replica.name)?.set(weather);
    }
    Ok(())
}

/// Holds up every statement of the service for a while; answers how old the oldest of them grew.
async fn lock_table(fleet: &Fleet, time: Duration) -> anyhow::Result<Duration> {
    const OLDEST: &str = "SELECT COALESCE(MAX(EXTRACT(EPOCH FROM clock_timestamp() - query_start)), \
                          0)::float8 FROM pg_stat_activity WHERE datname = current_database() AND \
                          state = 'active' AND pid <> pg_backend_pid()";
    let url = fleet
        .databases
        .get(&Role::Follower)
        .context("a follower has a database")?;
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
