//! One replica of a service, with its state, its connection, and its calls in flight.

use std::{
    net::SocketAddr,
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicU8, AtomicU32, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

use bytes::Bytes;
use http::uri::Authority;
use http_body_util::Full;
use hyper::client::conn::http2::SendRequest;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::latency::Latency;

/// The sending half of an HTTP/2 connection to a replica.
pub(super) type Sender = SendRequest<Full<Bytes>>;

/// Maximum ejection time of a replica that is ejected repeatedly without an answer in between. (Envoy's
/// `max_ejection_time`.)
const EJECTION_TIME_MAX: Duration = Duration::from_secs(8);

/// State of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaState {
    /// Not connected, or connected without a successful health check so far.
    Connecting,
    /// Connected and healthy, so it gets calls.
    Ready,
    /// Connected, but its health service reports `NOT_SERVING`. It gets no new calls, and calls in flight
    /// may finish.
    Draining,
    /// Connected, but it does not answer in time. It gets calls only when no replica is ready.
    Ejected,
    /// Connected, but it serves a different service. It never gets calls.
    Foreign,
}

impl ReplicaState {
    pub(super) const ALL: [Self; 5] = [
        Self::Connecting,
        Self::Ready,
        Self::Draining,
        Self::Ejected,
        Self::Foreign,
    ];

    /// The state in metric labels, log lines and on the status page.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Ejected => "ejected",
            Self::Foreign => "foreign",
        }
    }
}

/// One replica, shared by the calls, the task that maintains its connection, and discovery.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) address: SocketAddr,
    /// The `:authority` of requests to the replica, which is its address.
    pub(super) authority: Authority,
    /// Ends the task that maintains the connection.
    pub(super) stop: CancellationToken,
    /// Latencies of its answers.
    pub(super) latency: Latency,
    /// A [`ReplicaState`]. Changes only under the lock of `details`.
    state: AtomicU8,
    in_flight: AtomicUsize,
    /// Number of timeouts since the last answer.
    consecutive_timeouts: AtomicU32,
    /// Number of ejections since the last answer.
    consecutive_ejections: AtomicU32,
    details: Mutex<Details>,
}

/// Data of a replica that changes rarely and needs a lock.
#[derive(Debug)]
struct Details {
    sender: Option<Sender>,
    /// Number of connections so far. Identifies the current connection.
    generation: u64,
    /// When the replica entered its state.
    state_since: Instant,
    /// End of the current ejection time.
    ejected_until: Instant,
    /// When the address was first missing from DNS. `None` while it is listed.
    unlisted_since: Option<Instant>,
    /// Version that the replica reported last.
    version: Option<String>,
}

impl Replica {
    pub(super) fn new(address: SocketAddr, stop: CancellationToken) -> Self {
        let now = Instant::now();
        Self {
            address,
            authority: Authority::try_from(address.to_string())
                .expect("a socket address is an authority"),
            stop,
            latency: Latency::new(),
            state: AtomicU8::new(ReplicaState::Connecting as u8),
            in_flight: AtomicUsize::new(0),
            consecutive_timeouts: AtomicU32::new(0),
            consecutive_ejections: AtomicU32::new(0),
            details: Mutex::new(Details {
                sender: None,
                generation: 0,
                state_since: now,
                ejected_until: now,
                unlisted_since: None,
                version: None,
            }),
        }
    }

    fn details(&self) -> MutexGuard<'_, Details> {
        self.details.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state(&self) -> ReplicaState {
        ReplicaState::ALL[usize::from(self.state.load(Acquire))]
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    /// Time since the replica entered its state.
    pub(super) fn state_age(&self) -> Duration {
        self.details().state_since.elapsed()
    }

    /// Whether a target still resolves to the address.
    pub(super) fn is_listed(&self) -> bool {
        self.details().unlisted_since.is_none()
    }

    /// Version that the replica reported. `None` before the first health check.
    pub(super) fn version(&self) -> Option<String> {
        self.details().version.clone()
    }

    /// Stores the version that the replica reported.
    pub(super) fn set_version(&self, version: &str) {
        let mut details = self.details();
        if details.version.as_deref() != Some(version) {
            details.version = Some(version.to_owned());
        }
    }

    /// Changes the state to `to`, unless the replica is in that state or `from` rejects the old state.
    /// Returns the old state if the state has changed.
    pub(super) fn transition(
        &self,
        to: ReplicaState,
        from: impl FnOnce(ReplicaState) -> bool,
    ) -> Option<ReplicaState> {
        let mut details = self.details();
        let old = self.state();
        if old == to || !from(old) {
            return None;
        }
        self.state.store(to as u8, Release);
        details.state_since = Instant::now();
        Some(old)
    }

    /// Stores a new connection. Calls use it only when the state allows.
    pub(super) fn attach(&self, sender: Sender) {
        let mut details = self.details();
        details.sender = Some(sender);
        details.generation += 1;
    }

    /// Drops the connection, or only a connection of the given `generation`. Calls on it continue.
    /// Returns whether the replica has no connection after that.
    pub(super) fn detach(&self, generation: Option<u64>) -> bool {
        let mut details = self.details();
        if generation.is_some_and(|generation| generation != details.generation) {
            return false;
        }
        details.sender = None;
        true
    }

    /// Takes a lease for one attempt. Returns `None` when the replica has no connection.
    pub(super) fn lease(self: &Arc<Self>) -> Option<Lease> {
        let details = self.details();
        let (sender, generation) = (details.sender.clone()?, details.generation);
        drop(details);
        self.in_flight.fetch_add(1, AcqRel);
        Some(Lease {
            replica: Arc::clone(self),
            sender,
            generation,
        })
    }

    /// Records an answer, whatever its status.
    pub(super) fn record_answer(&self) {
        // Loads come first, because a store on every call would move the cache line between threads.
        if self.consecutive_timeouts.load(Relaxed) != 0 {
            self.consecutive_timeouts.store(0, Relaxed);
        }
        if self.consecutive_ejections.load(Relaxed) != 0 {
            self.consecutive_ejections.store(0, Relaxed);
        }
    }

    /// Records a timeout. Returns the number of timeouts since the last answer.
    pub(super) fn record_timeout(&self) -> u32 {
        self.consecutive_timeouts.fetch_add(1, Relaxed) + 1
    }

    /// Starts an ejection. The first ejection ends with the next successful health check. Each further
    /// ejection without an answer in between lasts longer, because the health check has succeeded
    /// although calls fail.
    pub(super) fn start_ejection(&self) {
        self.consecutive_timeouts.store(0, Relaxed);
        let before = self.consecutive_ejections.fetch_add(1, Relaxed);
        let time = Duration::from_secs((1 << before.min(4)) - 1).min(EJECTION_TIME_MAX);
        self.details().ejected_until = Instant::now() + time;
    }

    /// Whether the replica is ejected and its ejection time is not over.
    pub(super) fn must_stay_ejected(&self) -> bool {
        self.state() == ReplicaState::Ejected && Instant::now() < self.details().ejected_until
    }

    /// Stores whether a target resolves to the address. Returns `None` if so. Otherwise returns the time
    /// during which the address was not listed and the state did not change.
    pub(super) fn set_listed(&self, listed: bool) -> Option<Duration> {
        let mut details = self.details();
        if listed {
            details.unlisted_since = None;
            return None;
        }
        let unlisted_since = *details.unlisted_since.get_or_insert_with(Instant::now);
        Some(unlisted_since.max(details.state_since).elapsed())
    }
}

/// The right of one attempt to use a replica's connection. Counts as in flight until it is dropped.
#[derive(Debug)]
pub(super) struct Lease {
    replica: Arc<Replica>,
    pub(super) sender: Sender,
    pub(super) generation: u64,
}

impl Lease {
    pub(super) fn replica(&self) -> &Arc<Replica> {
        &self.replica
    }
}

impl Deref for Lease {
    type Target = Replica;

    fn deref(&self) -> &Replica {
        &self.replica
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.replica.in_flight.fetch_sub(1, AcqRel);
    }
}
