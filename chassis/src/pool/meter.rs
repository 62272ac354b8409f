//! What a pool counts, with every handle looked up once.

use std::{
    array,
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use metrics::{Counter, Gauge, Histogram};
use tonic::Code;

use super::{config::PoolConfig, latency::Latency, replica::ReplicaState};
use crate::grpc::code_name;

/// A service has a handful of methods; a caller that makes names up shares one entry.
const METHODS_MAX: usize = 64;

/// The codes of gRPC, 0 to 16.
const CODES: usize = 17;

/// The counters and gauges of one pool.
#[derive(Debug)]
pub(super) struct Meter {
    service: &'static str,
    hedgeable: fn(&str) -> bool,
    methods: RwLock<Vec<Arc<Method>>>,
    replicas: [Gauge; ReplicaState::ALL.len()],
    pub(super) hedges: Counter,
    pub(super) budget_exhausted: Counter,
    retries: [Counter; Reason::ALL.len()],
    ejections: [Counter; Reason::ALL.len()],
}

/// Why a call was repeated or a replica ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The connection or the stream broke.
    Transport,
    /// An attempt ran out of time.
    Timeout,
    /// The server said `UNAVAILABLE`.
    Unavailable,
    /// The health probe ran out of time.
    Probe,
}

impl Reason {
    const ALL: [Self; 4] = [
        Self::Transport,
        Self::Timeout,
        Self::Unavailable,
        Self::Probe,
    ];

    /// As labels and logs have it.
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
    /// Registers everything, so that it is there at zero.
    pub(super) fn new(config: &PoolConfig) -> Self {
        let service = config.short_name();
        let by_reason = |metric: &'static str| {
            Reason::ALL.map(
                |reason| metrics::counter!(metric, "service" => service, "reason" => reason.name()),
            )
        };
        Self {
            service,
            hedgeable: config.hedgeable,
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

    /// Counts a repeated call.
    pub(super) fn retried(&self, reason: Reason) {
        self.retries[reason as usize].increment(1);
    }

    /// Counts a replica that was taken out of use.
    pub(super) fn ejected(&self, reason: Reason) {
        self.ejections[reason as usize].increment(1);
    }

    /// Shows how many replicas are in each state.
    pub(super) fn show(&self, states: impl Iterator<Item = ReplicaState>) {
        let mut counts = [0_u32; ReplicaState::ALL.len()];
        states.for_each(|state| counts[state as usize] += 1);
        for (gauge, count) in self.replicas.iter().zip(counts) {
            gauge.set(count);
        }
    }

    /// What is kept for the method of a request, by its path.
    pub(super) fn method(&self, path: &str) -> Arc<Method> {
        let name = path.strip_prefix('/').unwrap_or(path);
        let known = self.methods.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(method) = find(&known, name) {
            return method;
        }
        drop(known);
        let mut known = self.methods.write().unwrap_or_else(PoisonError::into_inner);
        let name = if known.len() < METHODS_MAX {
            name
        } else {
            "other"
        };
        find(&known, name).unwrap_or_else(|| {
            let method = Arc::new(Method::new(name, self.hedgeable));
            known.push(Arc::clone(&method));
            method
        })
    }
}

fn find(known: &[Arc<Method>], name: &str) -> Option<Arc<Method>> {
    known.iter().find(|method| method.name == name).cloned()
}

/// What is kept for one method of the service.
#[derive(Debug)]
pub(super) struct Method {
    /// `minitwit.message.v1.MessageService/ListTimelines`.
    pub(super) name: String,
    /// Whether it may be sent twice at once.
    pub(super) hedged: bool,
    /// How long its answers take. One method's: next to a fast one, each call of a slow one would
    /// look late.
    pub(super) latency: Latency,
    seconds: [OnceLock<Histogram>; CODES],
}

impl Method {
    fn new(name: &str, hedgeable: fn(&str) -> bool) -> Self {
        Self {
            name: name.to_owned(),
            hedged: hedgeable(name.rsplit('/').next().unwrap_or(name)),
            latency: Latency::new(),
            seconds: array::from_fn(|_| OnceLock::new()),
        }
    }

    /// Counts one call, all its attempts together.
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
