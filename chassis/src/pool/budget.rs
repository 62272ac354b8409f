//! How many extra attempts a pool may make: a share of its calls and a little more.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// A bucket of permits for extra attempts.
///
/// Each call pays in a share of a permit and time pays in some more, up to `burst`; each extra
/// attempt takes a whole one. So however much fails, the servers see at most that share of
/// additional calls: retries cannot turn an overload into an avalanche.
#[derive(Debug)]
pub(super) struct Budget {
    per_call: f64,
    per_second: f64,
    burst: f64,
    purse: Mutex<Purse>,
}

#[derive(Debug)]
struct Purse {
    permits: f64,
    counted: Instant,
}

impl Budget {
    /// A budget that begins with `permits` of its `burst`.
    pub(super) fn new(per_call: f64, per_second: f64, burst: f64, permits: f64) -> Self {
        let counted = Instant::now();
        Self {
            per_call,
            per_second,
            burst,
            purse: Mutex::new(Purse { permits, counted }),
        }
    }

    /// Pays in for one call.
    pub(super) fn deposit(&self) {
        let mut purse = self.purse.lock().unwrap_or_else(PoisonError::into_inner);
        purse.permits = (purse.permits + self.per_call).min(self.burst);
    }

    /// Takes a permit if there is one.
    pub(super) fn withdraw(&self) -> bool {
        self.settle(1.0)
    }

    /// Whether a permit could be taken.
    pub(super) fn has_permit(&self) -> bool {
        self.settle(0.0)
    }

    fn settle(&self, taken: f64) -> bool {
        let mut purse = self.purse.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let earned = (now - purse.counted).as_secs_f64() * self.per_second;
        purse.permits = (purse.permits + earned).min(self.burst);
        purse.counted = now;
        let granted = purse.permits >= 1.0;
        if granted {
            purse.permits -= taken;
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
    async fn calls_pay_in_their_share() {
        let budget = Budget::new(0.125, 0.0, 10.0, 0.0);
        assert!(!budget.has_permit());
        (0..40).for_each(|_| budget.deposit());
        assert!(budget.has_permit());
        assert_eq!(withdrawn(&budget), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn time_pays_in_up_to_the_burst() {
        let budget = Budget::new(0.0, 3.0, 7.0, 0.0);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(withdrawn(&budget), 3);
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(withdrawn(&budget), 7);
        assert!(!budget.withdraw());
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_purse_earns_nothing_while_it_waits() {
        let budget = Budget::new(0.0, 1.0, 5.0, 5.0);
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(withdrawn(&budget), 5);
    }
}
