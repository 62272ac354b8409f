//! Configuration of a pool.

use std::{sync::Arc, time::Duration};

use super::net::{Connect, Resolve, SystemResolver, TcpConnector};

/// Settings of a pool. [`PoolConfig::new`] sets the defaults that each field's documentation names. Only
/// tests and simulations should need other values.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// Full gRPC name of the service, for example `minitwit.message.v1.MessageService`. A replica gets
    /// calls only after its health service has confirmed this name.
    pub service: &'static str,
    /// Targets of the form `host:port`. A host name stands for all its addresses.
    pub targets: Vec<String>,
    /// Resolves host names.
    pub resolver: Arc<dyn Resolve>,
    /// Opens the connections.
    pub connector: Arc<dyn Connect>,

    /// Timeout of a call without a `grpc-timeout` header. Default: 2 s.
    pub timeout_default: Duration,
    /// Maximum number of attempts of a call, without hedges. Default: 3.
    pub attempts_max: u32,
    /// Share of the remaining time that an attempt gets while another attempt may follow, from 0 to 1.
    /// Default: 0.4.
    pub attempt_share: f64,
    /// Minimum time of an attempt, if the call has that much time left. Shorter attempts are rarely
    /// answered. Default: 10 ms.
    pub attempt_min: Duration,

    /// Retry permits per call. Default: 0.1.
    pub retries_per_call: f64,
    /// Retry permits per second. Default: 3.
    pub retries_per_second: f64,
    /// Maximum number of saved retry permits, which is also their initial number. It is enough for the
    /// calls in flight on a connection that breaks. Default: 100.
    pub retries_burst: f64,
    /// Hedge permits per call. Default: 0.05.
    pub hedges_per_call: f64,
    /// Maximum number of saved hedge permits. Default: 10.
    pub hedges_burst: f64,
    /// Minimum time before a hedge is sent, far longer than a healthy call on one machine takes.
    /// Default: 2 ms.
    pub hedge_delay_min: Duration,
    /// Returns whether a method, given by its full name `package.Service/Method`, only reads. Such a
    /// method may be hedged.
    pub is_read: fn(&str) -> bool,

    /// Number of consecutive timeouts that eject a replica. Default: 2.
    pub timeouts_to_eject: u32,
    /// Minimum time of an attempt whose timeout counts against the replica. Default: 50 ms.
    pub timeout_counted_min: Duration,

    /// Maximum time that a call waits for a replica when there is none. Such a call waits at most 90 % of
    /// its remaining time. Default: 1 s.
    pub replica_wait_max: Duration,
    /// Maximum number of calls that wait for a replica. Further calls fail at once. Default: 4096.
    pub waiters_max: usize,

    /// Maximum time to open a connection, and maximum time to resolve a name. Default: 1 s.
    pub connect_timeout: Duration,
    /// Upper bound of the first pause between connection attempts. The bound doubles with each attempt,
    /// and the pause is random between zero and the bound. Default: 10 ms.
    pub backoff_min: Duration,
    /// Maximum upper bound of a pause between connection attempts. Default: 1 s.
    pub backoff_max: Duration,
    /// Time between HTTP/2 pings, also on an idle connection. Default: 10 s.
    pub keep_alive_interval: Duration,
    /// Maximum time for the answer to an HTTP/2 ping. Then the connection is closed. Default: 3 s.
    pub keep_alive_timeout: Duration,

    /// Time between two health checks of a replica, varied randomly by up to a fifth. Default: 1 s.
    pub probe_interval: Duration,
    /// Maximum time for the answer to a health check. Default: 1 s.
    pub probe_timeout: Duration,
    /// Time between two resolutions of the names. Default: 1 s.
    pub resolve_interval: Duration,
    /// Time after which a replica is removed when it is not listed and cannot be reached. Default: 30 s.
    pub remove_after: Duration,

    /// Seed of the random numbers, so that a simulation is reproducible. `None` selects a random seed,
    /// which is the default.
    pub seed: Option<u64>,
}

impl PoolConfig {
    /// The default settings for one service. Each target has the form `host:port`. `is_read` comes from
    /// the service's contract.
    pub fn new<T: Into<String>>(
        service: &'static str,
        targets: impl IntoIterator<Item = T>,
        is_read: fn(&str) -> bool,
    ) -> Self {
        Self {
            service,
            targets: targets.into_iter().map(Into::into).collect(),
            resolver: Arc::new(SystemResolver::default()),
            connector: Arc::new(TcpConnector),
            timeout_default: Duration::from_secs(2),
            attempts_max: 3,
            attempt_share: 0.4,
            attempt_min: Duration::from_millis(10),
            retries_per_call: 0.1,
            retries_per_second: 3.0,
            retries_burst: 100.0,
            hedges_per_call: 0.05,
            hedges_burst: 10.0,
            hedge_delay_min: Duration::from_millis(2),
            is_read,
            timeouts_to_eject: 2,
            timeout_counted_min: Duration::from_millis(50),
            replica_wait_max: Duration::from_secs(1),
            waiters_max: 4096,
            connect_timeout: Duration::from_secs(1),
            backoff_min: Duration::from_millis(10),
            backoff_max: Duration::from_secs(1),
            keep_alive_interval: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(3),
            probe_interval: Duration::from_secs(1),
            probe_timeout: Duration::from_secs(1),
            resolve_interval: Duration::from_secs(1),
            remove_after: Duration::from_secs(30),
            seed: None,
        }
    }

    /// Name of the service without its package, for metric labels and log lines.
    pub(super) fn short_name(&self) -> &'static str {
        self.service.rsplit('.').next().unwrap_or(self.service)
    }
}
