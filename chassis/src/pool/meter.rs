//! Metrics of a pool. Every metric handle is looked up once.

use std::{
    array,
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use metrics::{Counter, Gauge, Histogram};
use tonic::Code;

use super::{config::PoolConfig, latency::Latency, replica::ReplicaState};
use crate::protocol::code_name;

/// Maximum number of methods with metrics of their own. A service has a handful of methods. Beyond the
/// limit, made-up method names share one entry.
const METHODS_MAX: usize = 64;

/// Number of gRPC status codes (0 to 16).
const CODES: usize = 17;

/// Counters, gauges and histograms of one pool.
#[derive(Debug)]
pub(super) struct Meter {
    service: &'static str,
    is_read: fn(&str) -> bool,
    methods: RwLock<Vec<Arc<Method>>>,
    replicas: [Gauge; ReplicaState::ALL.len()],
    pub(super) hedges: Counter,
    pub(super) budget_exhausted: Counter,
    retries: [Counter; Reason::ALL.len()],
    ejections: [Counter; Reason::ALL.len()],
}

/// Why a call was retried or a replica was ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The connection or the stream broke.
    Transport,
    /// An attempt was not answered in time.
    Timeout,
    /// The server answered `UNAVAILABLE`.
    Unavailable,
    /// The health check was not answered in time.
    Probe,
}

impl Reason {
    const ALL: [Self; 4] = [
        Self::Transport,
        Self::Timeout,
        Self::Unavailable,
        Self::Probe,
    ];

    /// The reason in metric labels and log lines.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Transport => "transport",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::Probe => "probe",
        }
    }
}

impl Meter {
    /// Registers all metrics of the pool, so that they exist with the value zero.
    pub(super) fn new(config: &PoolConfig) -> Self {
        let service = config.short_name();
        let by_reason = |metric: &'static str| {
            Reason::ALL.map(
                |reason| metrics::counter!(metric, "service" => service, "reason" => reason.name()),
            )
        };
        Self {
            service,
            is_read: config.is_read,
            methods: RwLock::default(),
            replicas: ReplicaState::ALL.map(|state| {
                metrics::gauge!(
                    "minitwit_pool_replicas", "service" => service, "state" => state.name(),
                )
            }),
            hedges: metrics::counter!("minitwit_pool_hedges_total", "service" => service),
            budget_exhausted: metrics::counter!(
                "minitwit_pool_retry_budget_exhausted_total", "service" => service,
            ),
            retries: by_reason("minitwit_pool_retries_total"),
            ejections: by_reason("minitwit_pool_ejections_total"),
        }
    }

    /// The service's name without its package.
    pub(super) fn service(&self) -> &'static str {
        self.service
    }

    /// Counts a retry.
    pub(super) fn count_retry(&self, reason: Reason) {
        self.retries[reason as usize].increment(1);
    }

    /// Counts an ejection.
    pub(super) fn count_ejection(&self, reason: Reason) {
        self.ejections[reason as usize].increment(1);
    }

    /// Sets the gauges of the number of replicas in each state.
    pub(super) fn set_replica_counts(&self, states: impl Iterator<Item = ReplicaState>) {
        let mut counts = [0_u32; ReplicaState::ALL.len()];
        states.for_each(|state| counts[state as usize] += 1);
        for (gauge, count) in self.replicas.iter().zip(counts) {
            gauge.set(count);
        }
    }

    /// Data of the method that a request's path names.
    pub(super) fn method(&self, path: &str) -> Arc<Method> {
        let name = path.strip_prefix('/').unwrap_or(path);
        let methods = self.methods.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(method) = find(&methods, name) {
            return method;
        }
        drop(methods);
        let mut methods = self.methods.write().unwrap_or_else(PoisonError::into_inner);
        let name = if methods.len() < METHODS_MAX {
            name
        } else {
            "other"
        };
        find(&methods, name).unwrap_or_else(|| {
            let method = Arc::new(Method::new(name, self.is_read));
            methods.push(Arc::clone(&method));
            method
        })
    }
}

fn find(methods: &[Arc<Method>], name: &str) -> Option<Arc<Method>> {
    methods.iter().find(|method| method.name == name).cloned()
}

/// Data of one method of the service.
#[derive(Debug)]
pub(super) struct Method {
    /// Full name, for example `minitwit.message.v1.MessageService/ListTimelines`.
    pub(super) name: String,
    /// Whether calls of the method may be hedged.
    pub(super) hedged: bool,
    /// Latencies of the method. Each method has its own, because compared with a fast method every call
    /// of a slow method would look late.
    pub(super) latency: Latency,
    seconds: [OnceLock<Histogram>; CODES],
}

impl Method {
    fn new(name: &str, is_read: fn(&str) -> bool) -> Self {
        Self {
            name: name.to_owned(),
            hedged: is_read(name),
            latency: Latency::new(),
            seconds: array::from_fn(|_| OnceLock::new()),
        }
    }

    /// Records the duration of one call, including all its attempts.
    pub(super) fn record(&self, code: Code, elapsed: Duration) {
        self.seconds[code as usize]
            .get_or_init(|| {
                metrics::histogram!(
                    "rpc_client_call_duration_seconds",
                    "rpc_method" => self.name.clone(),
                    "rpc_response_status_code" => code_name(code),
                )
            })
            .record(elapsed.as_secs_f64());
    }
}
