//! Budget for retries and hedges. It is a share of the pool's calls, plus a fixed rate.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// A token bucket of permits for extra attempts.
///
/// Each call adds `per_call` permits, and each second adds `per_second` permits, up to `burst`. Each
/// extra attempt takes one permit. So extra attempts stay a bounded share of the calls even if every
/// call fails, and retries cannot make an overload worse. The purpose is that of retry throttling in
/// gRFC A6. The deposits are those of Finagle's `RetryBudget`.
#[derive(Debug)]
pub(super) struct Budget {
    per_call: f64,
    per_second: f64,
    burst: f64,
    bucket: Mutex<Bucket>,
}

/// The permits at one moment.
#[derive(Debug)]
struct Bucket {
    permits: f64,
    refilled_at: Instant,
}

impl Budget {
    /// A budget that starts with `permits`.
    pub(super) fn new(per_call: f64, per_second: f64, burst: f64, permits: f64) -> Self {
        let refilled_at = Instant::now();
        Self {
            per_call,
            per_second,
            burst,
            bucket: Mutex::new(Bucket {
                permits,
                refilled_at,
            }),
        }
    }

    /// Adds the permits for one call.
    pub(super) fn deposit(&self) {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.permits = (bucket.permits + self.per_call).min(self.burst);
    }

    /// Takes one permit. Returns whether there was one.
    pub(super) fn withdraw(&self) -> bool {
        self.take(1.0)
    }

    /// Whether there is a permit to take.
    pub(super) fn has_permit(&self) -> bool {
        self.take(0.0)
    }

    /// Adds the permits for the elapsed time. Then takes `taken` permits if there is at least one.
    /// Returns whether there was one.
    fn take(&self, taken: f64) -> bool {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let earned = (now - bucket.refilled_at).as_secs_f64() * self.per_second;
        bucket.permits = (bucket.permits + earned).min(self.burst);
        bucket.refilled_at = now;
        let granted = bucket.permits >= 1.0;
        if granted {
            bucket.permits -= taken;
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn withdrawn(budget: &Budget) -> usize {
        std::iter::repeat_with(|| budget.withdraw())
            .take_while(|granted| *granted)
            .count()
    }

    #[tokio::test(start_paused = true)]
    async fn calls_add_permits() {
        let budget = Budget::new(0.125, 0.0, 10.0, 0.0);
        assert!(!budget.has_permit());
        (0..40).for_each(|_| budget.deposit());
        assert!(budget.has_permit());
        assert_eq!(withdrawn(&budget), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn time_adds_permits_up_to_the_burst() {
        let budget = Budget::new(0.0, 3.0, 7.0, 0.0);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(withdrawn(&budget), 3);
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(withdrawn(&budget), 7);
        assert!(!budget.withdraw());
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_bucket_gains_no_permits() {
        let budget = Budget::new(0.0, 1.0, 5.0, 5.0);
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(withdrawn(&budget), 5);
    }
}
