//! What others see of a database handle: its connections, who waits for one, and whether the
//! database answers at all.

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

/// How often the gauges are renewed.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long the database may take to answer nothing at all: far more than it does when it is well.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a handle and its clones count.
#[derive(Clone, Debug)]
pub struct DbMeter(Arc<Meters>);

#[derive(Debug)]
struct Meters {
    /// How many statements are under way or wait for a connection.
    statements: AtomicUsize,
    idle: Gauge,
    used: Gauge,
    most: Gauge,
    waiting: Gauge,
    timeouts: Counter,
    reachable: Gauge,
}

impl DbMeter {
    /// A meter under the database's own name.
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
            most: gauge("db_client_connection_max"),
            waiting: gauge("db_client_connection_pending_requests"),
            timeouts: metrics::counter!("db_client_connection_timeouts_total", POOL => name.clone()),
            reachable: gauge("minitwit_database_reachable"),
        }))
    }

    /// Counts a statement until it is dropped.
    pub(crate) fn statement(&self) -> InFlight<'_> {
        self.0.statements.fetch_add(1, Relaxed);
        InFlight(&self.0.statements)
    }

    /// Counts a statement that waited in vain for a connection.
    pub(crate) fn timed_out(&self) {
        self.0.timeouts.increment(1);
    }

    #[expect(clippy::cast_precision_loss, reason = "connections are few")]
    fn show(&self, db: &Db) {
        let (open, idle) = db.connections();
        let used = (open as usize).saturating_sub(idle);
        let statements = self.0.statements.load(Relaxed);
        self.0.idle.set(idle as f64);
        self.0.used.set(used as f64);
        self.0.most.set(db.connections_max());
        self.0.waiting.set(statements.saturating_sub(used) as f64);
    }
}

/// A statement's place in the count.
pub(crate) struct InFlight<'a>(&'a AtomicUsize);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Renews the gauges until the handle is closed.
pub(crate) async fn watch(db: Db) {
    let meter = db.meter().clone();
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if db.is_closed() {
            return;
        }
        meter.show(&db);
        let answer = timeout(PATIENCE, db.ping()).await;
        match answer {
            Ok(Ok(())) => meter.0.reachable.set(1),
            // All connections are busy, which is another matter, and a metric of its own.
            Ok(Err(sqlx::Error::PoolTimedOut)) if meter.0.statements.load(Relaxed) > 0 => {}
            _ => meter.0.reachable.set(0),
        }
    }
}
