//! Metrics of a database handle. They show its connections, the statements that wait for a connection,
//! and whether the database answers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use metrics::{Counter, Gauge};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::Db;

/// Time between two updates of the gauges.
const UPDATE_INTERVAL: Duration = Duration::from_secs(1);

/// Maximum time for the answer to a ping, far longer than a working database needs.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// Connection and reachability metrics of a handle and its clones. The names are those of
/// OpenTelemetry's semantic conventions for database clients.
#[derive(Clone, Debug)]
pub struct DbMetrics(Arc<Meters>);

#[derive(Debug)]
struct Meters {
    /// Number of statements that run or wait for a connection.
    statements: AtomicUsize,
    idle: Gauge,
    used: Gauge,
    max: Gauge,
    waiting: Gauge,
    timeouts: Counter,
    reachable: Gauge,
}

impl DbMetrics {
    /// Registers the metrics of the database called `name`.
    pub(super) fn new(name: &str) -> Self {
        const POOL: &str = "db_client_connection_pool_name";
        const STATE: &str = "db_client_connection_state";
        let name = name.to_owned();
        let gauge = |metric: &'static str| metrics::gauge!(metric, POOL => name.clone());
        let count = |state| metrics::gauge!("db_client_connection_count", POOL => name.clone(), STATE => state);
        Self(Arc::new(Meters {
            statements: AtomicUsize::new(0),
            idle: count("idle"),
            used: count("used"),
            max: gauge("db_client_connection_max"),
            waiting: gauge("db_client_connection_pending_requests"),
            timeouts: metrics::counter!("db_client_connection_timeouts_total", POOL => name.clone()),
            reachable: gauge("minitwit_database_reachable"),
        }))
    }

    /// Counts a statement as in flight until the returned guard is dropped.
    pub(crate) fn statement(&self) -> InFlight<'_> {
        self.0.statements.fetch_add(1, Relaxed);
        InFlight(&self.0.statements)
    }

    /// Counts a statement that got no connection in time.
    pub(crate) fn timed_out(&self) {
        self.0.timeouts.increment(1);
    }

    #[expect(clippy::cast_precision_loss, reason = "connections are few")]
    fn update(&self, db: &Db) {
        let (open, idle) = db.connections();
        let used = (open as usize).saturating_sub(idle);
        let statements = self.0.statements.load(Relaxed);
        self.0.idle.set(idle as f64);
        self.0.used.set(used as f64);
        self.0.max.set(db.connections_max());
        self.0.waiting.set(statements.saturating_sub(used) as f64);
    }
}

/// A statement in flight, counted until the guard is dropped.
pub(crate) struct InFlight<'a>(&'a AtomicUsize);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Updates the gauges every second until the handle is closed.
pub(crate) async fn update_metrics(db: Db) {
    let meter = db.meter().clone();
    let mut ticks = interval(UPDATE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if db.is_closed() {
            return;
        }
        meter.update(&db);
        let answer = timeout(PING_TIMEOUT, db.ping()).await;
        match answer {
            Ok(Ok(())) => meter.0.reachable.set(1),
            // All connections are busy. This does not mean that the database is unreachable, and other
            // metrics show it.
            Ok(Err(sqlx::Error::PoolTimedOut)) if meter.0.statements.load(Relaxed) > 0 => {}
            _ => meter.0.reachable.set(0),
        }
    }
}
