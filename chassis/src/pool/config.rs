//! What a pool is told.

use std::{sync::Arc, time::Duration};

use super::net::{Connect, Resolve, SystemResolver, TcpConnector};

/// The settings of a pool. [`PoolConfig::new`] has the defaults; only tests and simulations should
/// need others.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// The full gRPC name, `minitwit.message.v1.MessageService`: a replica is used only once its
    /// health service vouches for this name.
    pub service: &'static str,
    /// Where to look: `host:port`, each name standing for all its addresses.
    pub targets: Vec<String>,
    /// Looks the names up.
    pub resolver: Arc<dyn Resolve>,
    /// Opens the connections.
    pub connector: Arc<dyn Connect>,

    /// What a call without a `grpc-timeout` is given: 2 s.
    pub timeout_default: Duration,
    /// How often a call is sent at most, hedges not counted: 3.
    pub attempts_max: u32,
    /// The share of the remaining time that an attempt gets while another may follow: 0.4.
    pub attempt_share: f64,
    /// The least an attempt gets, if there is so much left: 10 ms. Less answers nothing.
    pub attempt_min: Duration,

    /// Retries paid in per call: 0.1.
    pub retries_per_call: f64,
    /// Retries paid in per second: 3.
    pub retries_per_second: f64,
    /// Retries saved up at most, and there from the start: 100. Enough for the calls in flight on a
    /// connection that breaks.
    pub retries_burst: f64,
    /// Hedges paid in per call: 0.05.
    pub hedges_per_call: f64,
    /// Hedges saved up at most: 10.
    pub hedges_burst: f64,
    /// No hedge goes out earlier than this: 2 ms, far above a healthy call's time on one machine.
    pub hedge_delay_min: Duration,
    /// Which methods (`ListTimelines`) may be hedged: [`is_read`].
    pub hedgeable: fn(&str) -> bool,

    /// How many attempts in a row that run out of time eject a replica: 2.
    pub timeouts_to_eject: u32,
    /// An attempt that had less than this says nothing about its replica: 50 ms.
    pub timeout_to_count: Duration,

    /// How long a call waits for a replica when there is none: 1 s, or 90 % of what it has left.
    pub empty_wait: Duration,
    /// How many calls wait so at once: 4096. The others fail at once.
    pub waiters_max: usize,

    /// How long a connection may take to open: 1 s.
    pub connect_timeout: Duration,
    /// The longest first pause between connection attempts: 10 ms. It doubles each time; the pause
    /// taken is random, up to that.
    pub backoff_min: Duration,
    /// The longest pause between connection attempts: 1 s.
    pub backoff_max: Duration,
    /// HTTP/2 pings, also while idle: 10 s.
    pub keep_alive_interval: Duration,
    /// A ping unanswered for so long ends the connection: 3 s.
    pub keep_alive_timeout: Duration,

    /// How often a replica's health is asked for, give or take a fifth: 1 s.
    pub probe_interval: Duration,
    /// How long the answer may take: 1 s.
    pub probe_timeout: Duration,
    /// How often the names are looked up: 1 s.
    pub resolve_interval: Duration,
    /// When an address that no name lists any more and that is dead is forgotten: 30 s.
    pub forget_after: Duration,

    /// Where chance begins, so that a simulation can be replayed; `None`: anywhere.
    pub seed: Option<u64>,
}

impl PoolConfig {
    /// The defaults for one service at its targets, each `host:port`.
    pub fn new<T: Into<String>>(
        service: &'static str,
        targets: impl IntoIterator<Item = T>,
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
            hedgeable: is_read,
            timeouts_to_eject: 2,
            timeout_to_count: Duration::from_millis(50),
            empty_wait: Duration::from_secs(1),
            waiters_max: 4096,
            connect_timeout: Duration::from_secs(1),
            backoff_min: Duration::from_millis(10),
            backoff_max: Duration::from_secs(1),
            keep_alive_interval: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(3),
            probe_interval: Duration::from_secs(1),
            probe_timeout: Duration::from_secs(1),
            resolve_interval: Duration::from_secs(1),
            forget_after: Duration::from_secs(30),
            seed: None,
        }
    }

    /// The service's name without its package, for labels and messages.
    pub(super) fn short_name(&self) -> &'static str {
        self.service.rsplit('.').next().unwrap_or(self.service)
    }
}

/// Whether a method only reads, by its name.
pub fn is_read(method: &str) -> bool {
    ["Get", "List", "Lookup", "Check", "Count"]
        .iter()
        .any(|verb| method.starts_with(verb))
}
