//! What the gateways count of their calls, over all their lives.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{fleet::Fleet, http, replica::Role};

/// The calls of the gateways so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Calls {
    /// Calls of services.
    pub calls: f64,
    /// Attempts after the first.
    pub retries: f64,
    /// Second copies of late reads.
    pub hedges: f64,
}

impl Calls {
    /// The share of calls that were repeated.
    pub fn retries_percent(self) -> f64 {
        100.0 * self.retries / self.calls.max(1.0)
    }

    /// The share of calls that were sent twice at once.
    pub fn hedges_percent(self) -> f64 {
        100.0 * self.hedges / self.calls.max(1.0)
    }
}

/// The last counts of each life of each gateway: a process that is killed takes its own with it.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Mutex<HashMap<(SocketAddr, u32), Calls>>>);

impl Meter {
    /// Reads every gateway that answers.
    pub async fn read(&self, fleet: &Fleet) {
        for gateway in fleet.all(Role::Gateway) {
            let life = (gateway.admin, gateway.life_number());
            let asked = http::get(gateway.admin, "/metrics", Duration::from_millis(300)).await;
            if let Ok(answer) = asked {
                let calls = parse(&String::from_utf8_lossy(&answer.body));
                self.0
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(life, calls);
            }
        }
    }

    /// All lives together.
    pub fn total(&self) -> Calls {
        let lives = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lives.values().fold(Calls::default(), |sum, life| Calls {
            calls: sum.calls + life.calls,
            retries: sum.retries + life.retries,
            hedges: sum.hedges + life.hedges,
        })
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
        calls: sum("rpc_client_call_duration_seconds_count"),
        retries: sum("minitwit_pool_retries_total"),
        hedges: sum("minitwit_pool_hedges_total"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_summed_over_their_labels() {
        let text = "# TYPE minitwit_pool_retries_total counter\n\
                    minitwit_pool_retries_total{service=\"U\",reason=\"timeout\"} 2\n\
                    minitwit_pool_retries_total{service=\"M\",reason=\"probe\"} 3\n\
                    rpc_client_call_duration_seconds_count{rpc_method=\"a b\"} 50\n\
                    rpc_client_call_duration_seconds_sum{rpc_method=\"a b\"} 7\n";
        let calls = parse(text);
        assert_eq!(
            calls,
            Calls {
                calls: 50.0,
                retries: 5.0,
                hedges: 0.0
            }
        );
        assert!((calls.retries_percent() - 10.0).abs() < f64::EPSILON);
    }
}
