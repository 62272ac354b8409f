//! Detection of an outage or failover of a PostgreSQL server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{sync::Mutex, time::Instant};

/// Time after a failed check during which statements fail without another check.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// A circuit breaker for a server. Clones share its state.
///
/// After a failover, a pooled connection stays connected to the demoted server. A ping on it succeeds,
/// but every write fails. So after one error that concerns the server, all connections that were opened
/// before the error are replaced.
///
/// While the server is unavailable, each statement that waits for a connection would try to open one
/// again and again. Many such statements can use all processors of a machine. So after an error that
/// concerns the server, the breaker is open. One statement checks whether the server is available, and
/// the other statements wait for its result.
#[derive(Clone, Debug)]
pub struct OutageGuard(Arc<State>);

#[derive(Debug)]
struct State {
    /// Start of the clock for `reported_millis`.
    origin: Instant,
    /// Time of the last reported outage, in milliseconds since `origin`. Zero before the first outage.
    reported_millis: AtomicU64,
    /// Whether an outage was reported and the server has not been reached since.
    is_open: AtomicBool,
    /// Time of the last failed check. The lock is locked during a check.
    last_failed_check: Mutex<Option<Instant>>,
}

impl Default for OutageGuard {
    fn default() -> Self {
        Self(Arc::new(State {
            origin: Instant::now(),
            reported_millis: AtomicU64::new(0),
            is_open: AtomicBool::new(false),
            last_failed_check: Mutex::default(),
        }))
    }
}

impl OutageGuard {
    fn now_millis(&self) -> u64 {
        u64::try_from(self.0.origin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Reports an error that concerns the server.
    pub(super) fn report(&self) {
        self.0
            .reported_millis
            .store(self.now_millis().max(1), Relaxed);
        self.0.is_open.store(true, Relaxed);
    }

    /// Whether a connection of this age was opened after the last reported outage.
    pub(super) fn is_opened_after_outage(&self, age: Duration) -> bool {
        let reported = self.0.reported_millis.load(Relaxed);
        if reported == 0 {
            return true;
        }
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        self.now_millis().saturating_sub(age) > reported
    }

    /// Checks that the server is available. Succeeds at once when no outage is reported. Otherwise one
    /// caller runs `connect`, and the callers that arrive meanwhile get its result. Callers that arrive
    /// within [`CHECK_INTERVAL`] after a failed check fail without a check.
    ///
    /// # Errors
    ///
    /// The error of `connect`, or `PoolTimedOut` when a check of another caller has failed.
    pub(super) async fn check_available(
        &self,
        connect: impl AsyncFnOnce() -> sqlx::Result<()>,
    ) -> sqlx::Result<()> {
        let state = &*self.0;
        if !state.is_open.load(Relaxed) {
            return Ok(());
        }
        let arrived = Instant::now();
        let mut last_failed_check = state.last_failed_check.lock().await;
        if !state.is_open.load(Relaxed) {
            return Ok(());
        }
        if last_failed_check.is_some_and(|at| arrived < at + CHECK_INTERVAL) {
            return Err(sqlx::Error::PoolTimedOut);
        }
        let result = connect().await;
        match result {
            Ok(()) => state.is_open.store(false, Relaxed),
            Err(_) => *last_failed_check = Some(Instant::now()),
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures_util::future::join_all;
    use tokio::time::sleep;

    use super::*;

    /// Makes ten calls at once. Returns how many of them succeed, and how many connect.
    async fn ten_calls(outage: &OutageGuard, is_available: bool) -> (usize, usize) {
        let connects = Cell::new(0);
        let connect = async || {
            connects.set(connects.get() + 1);
            sleep(Duration::from_millis(70)).await;
            if is_available {
                Ok(())
            } else {
                Err(sqlx::Error::PoolTimedOut)
            }
        };
        let results = join_all((0..10).map(|_| outage.check_available(connect))).await;
        let succeeded = results.iter().filter(|result| result.is_ok()).count();
        (succeeded, connects.get())
    }

    #[tokio::test(start_paused = true)]
    async fn one_statement_checks_the_server_and_the_other_statements_wait() {
        let outage = OutageGuard::default();
        assert_eq!(
            ten_calls(&outage, false).await,
            (10, 0),
            "no outage is reported"
        );
        outage.report();
        assert_eq!(ten_calls(&outage, false).await, (0, 1));
        assert_eq!(
            ten_calls(&outage, true).await,
            (0, 0),
            "the last check has just failed"
        );
        sleep(CHECK_INTERVAL).await;
        assert_eq!(ten_calls(&outage, true).await, (10, 1));
        assert_eq!(
            ten_calls(&outage, false).await,
            (10, 0),
            "the server is available"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn connections_opened_before_the_outage_are_not_used() {
        let outage = OutageGuard::default();
        sleep(Duration::from_secs(10)).await;
        assert!(outage.is_opened_after_outage(Duration::from_secs(9)));
        outage.report();
        sleep(Duration::from_secs(2)).await;
        assert!(!outage.is_opened_after_outage(Duration::from_secs(3)));
        assert!(outage.is_opened_after_outage(Duration::from_secs(1)));
    }
}
