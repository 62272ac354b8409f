//! What a failure that speaks of the server means for the statements after it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{sync::Mutex, time::Instant};

/// How long nobody looks again for a server that could not be reached.
const PAUSE: Duration = Duration::from_millis(50);

/// Remembers since when connections are not to be trusted, and whether the server is there at all.
///
/// After a fail-over a pooled connection stays on the demoted server: a ping passes and every write
/// fails. So one failure that speaks of the server condemns every connection opened before.
///
/// And while the server is away, each statement that waits for a connection would try to make one,
/// again and again until its time is over: all of them together can keep a machine busy with nothing
/// else. So after such a failure one looks whether the server is back, and the others wait for what it
/// finds.
#[derive(Clone, Debug)]
pub struct OutageGuard(Arc<State>);

#[derive(Debug)]
struct State {
    origin: Instant,
    raised_millis: AtomicU64,
    /// Raised, and nobody has reached the server since.
    is_open: AtomicBool,
    /// Held by the one who looks: when the server was last looked for in vain.
    in_vain: Mutex<Option<Instant>>,
}

impl Default for OutageGuard {
    fn default() -> Self {
        Self(Arc::new(State {
            origin: Instant::now(),
            raised_millis: AtomicU64::new(0),
            is_open: AtomicBool::new(false),
            in_vain: Mutex::default(),
        }))
    }
}

impl OutageGuard {
    fn now_millis(&self) -> u64 {
        u64::try_from(self.0.origin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn raise(&self) {
        self.0
            .raised_millis
            .store(self.now_millis().max(1), Relaxed);
        self.0.is_open.store(true, Relaxed);
    }

    /// Whether a connection of this age was opened after the last outage.
    pub(super) fn is_younger(&self, age: Duration) -> bool {
        let raised = self.0.raised_millis.load(Relaxed);
        if raised == 0 {
            return true;
        }
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        self.now_millis().saturating_sub(age) > raised
    }

    /// Passes when nothing is suspected, or when `reach` finds the server. Whoever comes while
    /// somebody looks, or shortly after it was in vain, does not look as well.
    pub(super) async fn check_available(
        &self,
        reach: impl AsyncFnOnce() -> sqlx::Result<()>,
    ) -> sqlx::Result<()> {
        let state = &*self.0;
        if !state.is_open.load(Relaxed) {
            return Ok(());
        }
        let came = Instant::now();
        let mut in_vain = state.in_vain.lock().await;
        if !state.is_open.load(Relaxed) {
            return Ok(());
        }
        if in_vain.is_some_and(|at| came < at + PAUSE) {
            return Err(sqlx::Error::PoolTimedOut);
        }
        let found = reach().await;
        match found {
            Ok(()) => state.is_open.store(false, Relaxed),
            Err(_) => *in_vain = Some(Instant::now()),
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures_util::future::join_all;
    use tokio::time::sleep;

    use super::*;

    /// How many of ten who come at once pass, and how many of them look.
    async fn ten(outage: &OutageGuard, found: bool) -> (usize, usize) {
        let looked = Cell::new(0);
        let look = async || {
            looked.set(looked.get() + 1);
            sleep(Duration::from_millis(70)).await;
            if found {
                Ok(())
            } else {
                Err(sqlx::Error::PoolTimedOut)
            }
        };
        let all = join_all((0..10).map(|_| outage.check_available(look))).await;
        (all.iter().filter(|one| one.is_ok()).count(), looked.get())
    }

    #[tokio::test(start_paused = true)]
    async fn one_looks_for_the_server_and_the_others_wait_for_what_it_finds() {
        let outage = OutageGuard::default();
        assert_eq!(ten(&outage, false).await, (10, 0), "nothing is suspected");
        outage.raise();
        assert_eq!(ten(&outage, false).await, (0, 1));
        assert_eq!(ten(&outage, true).await, (0, 0), "just looked in vain");
        sleep(PAUSE).await;
        assert_eq!(ten(&outage, true).await, (10, 1));
        assert_eq!(ten(&outage, false).await, (10, 0), "it is found");
    }

    #[tokio::test(start_paused = true)]
    async fn connections_opened_before_the_suspicion_are_not_trusted() {
        let outage = OutageGuard::default();
        sleep(Duration::from_secs(10)).await;
        assert!(outage.is_younger(Duration::from_secs(9)));
        outage.raise();
        sleep(Duration::from_secs(2)).await;
        assert!(!outage.is_younger(Duration::from_secs(3)));
        assert!(outage.is_younger(Duration::from_secs(1)));
    }
}
