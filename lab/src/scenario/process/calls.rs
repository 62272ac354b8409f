//! Counters of the gateways' calls of services, over all restarts of the gateways.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    fleet::{Role, Suite},
    http::Client,
};

const TIMEOUT: Duration = Duration::from_millis(300);

/// Calls of the gateways so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Calls {
    /// Calls of services.
    pub(super) total: f64,
    /// Attempts after the first.
    pub(super) retries: f64,
    /// Second attempts of slow reads, beside the first.
    pub(super) hedges: f64,
}

impl Calls {
    /// Percentage of the calls that were repeated.
    pub(super) fn retries_percent(self) -> f64 {
        100.0 * self.retries / self.total.max(1.0)
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (retries, hedges) = (
            self.retries_percent(),
            100.0 * self.hedges / self.total.max(1.0),
        );
        write!(formatter, "retries {retries:.2} %, hedges {hedges:.2} %")
    }
}

/// The last counters of each gateway and each of its starts, because a killed process takes its counters
/// with it.
#[derive(Debug, Default)]
pub(super) struct CallCounter(Mutex<HashMap<(String, u32), Calls>>);

impl CallCounter {
    /// Reads the counters of each gateway that answers.
    pub(super) async fn read(&self, suite: &Suite) {
        for gateway in suite.all(Role::Gateway) {
            let start = (gateway.name().to_owned(), gateway.process.starts());
            let response = Client::new(TIMEOUT).get(gateway.admin, "/metrics").await;
            if let Ok(response) = response {
                self.counters().insert(start, parse(&response.text()));
            }
        }
    }

    /// The sum of all gateways and all starts.
    pub(super) fn total(&self) -> Calls {
        let counters = self.counters();
        counters
            .values()
            .fold(Calls::default(), |sum, calls| Calls {
                total: sum.total + calls.total,
                retries: sum.retries + calls.retries,
                hedges: sum.hedges + calls.hedges,
            })
    }

    fn counters(&self) -> MutexGuard<'_, HashMap<(String, u32), Calls>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parse(text: &str) -> Calls {
    let sum = |metric: &str| -> f64 {
        text.lines()
            .filter_map(|line| line.strip_prefix(metric))
            .filter(|rest| rest.starts_with(['{', ' ']))
            .filter_map(|rest| rest.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    };
    Calls {
        total: sum("rpc_client_call_duration_seconds_count"),
        retries: sum("minitwit_pool_retries_total"),
        hedges: sum("minitwit_pool_hedges_total"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_summed_over_their_labels() {
        let text = "# TYPE minitwit_pool_retries_total counter\n\
                    minitwit_pool_retries_total{service=\"U\",reason=\"timeout\"} 2\n\
                    minitwit_pool_retries_total{service=\"M\",reason=\"probe\"} 3\n\
                    rpc_client_call_duration_seconds_count{rpc_method=\"a b\"} 50\n\
                    rpc_client_call_duration_seconds_sum{rpc_method=\"a b\"} 7\n";
        let calls = parse(text);
        let expected = Calls {
            total: 50.0,
            retries: 5.0,
            hedges: 0.0,
        };
        assert_eq!(calls, expected);
        assert!((calls.retries_percent() - 10.0).abs() < f64::EPSILON);
    }
}
