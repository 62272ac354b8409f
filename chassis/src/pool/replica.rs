//! One address of a service: its state, its connection, and how much is in flight on it.

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

/// The sending end of a replica's connection.
pub(super) type Sender = SendRequest<Full<Bytes>>;

/// A replica that is ejected again and again without one answer in between stays out for at most so
/// long.
const HOLD_MAX: Duration = Duration::from_secs(8);

/// Where a replica stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaState {
    /// No connection, or one whose other end has not said who it is.
    Connecting,
    /// In use.
    Ready,
    /// It asked for no new calls; those in flight finish.
    Draining,
    /// Connected but silent; used only when no replica is ready.
    Ejected,
    /// It answers for some other service; never used.
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

    /// As labels and the status page have it.
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

/// One replica, shared by the calls, the task that keeps it connected, and discovery.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) address: SocketAddr,
    /// What requests name as their host: the address itself, because the name says nothing more.
    pub(super) authority: Authority,
    /// Ends the task that keeps it connected.
    pub(super) stop: CancellationToken,
    /// How long its answers take.
    pub(super) latency: Latency,
    state: AtomicU8,
    in_flight: AtomicUsize,
    timeouts: AtomicU32,
    ejections: AtomicU32,
    link: Mutex<Link>,
}

#[derive(Debug)]
struct Link {
    sender: Option<Sender>,
    /// Tells this connection from the next one.
    generation: u64,
    changed: Instant,
    held_until: Instant,
    unlisted: Option<Instant>,
    /// What it last called itself.
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
            timeouts: AtomicU32::new(0),
            ejections: AtomicU32::new(0),
            link: Mutex::new(Link {
                sender: None,
                generation: 0,
                changed: now,
                held_until: now,
                unlisted: None,
                version: None,
            }),
        }
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state(&self) -> ReplicaState {
        ReplicaState::ALL[usize::from(self.state.load(Acquire))]
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    /// How long it has been in its state.
    pub(super) fn since(&self) -> Duration {
        self.link().changed.elapsed()
    }

    /// Whether a name still lists it.
    pub(super) fn is_listed(&self) -> bool {
        self.link().unlisted.is_none()
    }

    /// The version that it calls itself, once it has been asked.
    pub(super) fn version(&self) -> Option<String> {
        self.link().version.clone()
    }

    /// Notes the version that it calls itself.
    pub(super) fn is_version(&self, version: &str) {
        let mut link = self.link();
        if link.version.as_deref() != Some(version) {
            link.version = Some(version.to_owned());
        }
    }

    /// Changes the state, if it is another one now and `from` allows it; answers the old one.
    pub(super) fn change(
        &self,
        to: ReplicaState,
        from: impl FnOnce(ReplicaState) -> bool,
    ) -> Option<ReplicaState> {
        let mut link = self.link();
        let old = self.state();
        if old == to || !from(old) {
            return None;
        }
        self.state.store(to as u8, Release);
        link.changed = Instant::now();
        Some(old)
    }

    /// Takes a new connection into use; whether calls get it is the state's matter.
    pub(super) fn attach(&self, sender: Sender) {
        let mut link = self.link();
        link.sender = Some(sender);
        link.generation += 1;
    }

    /// Lets go of a connection, of any or only of this generation; the calls on it go on. Answers
    /// whether the replica is without one now.
    pub(super) fn detach(&self, generation: Option<u64>) -> bool {
        let mut link = self.link();
        if generation.is_some_and(|generation| generation != link.generation) {
            return false;
        }
        link.sender = None;
        true
    }

    /// A place on the connection, `None` when there is none.
    pub(super) fn lease(self: &Arc<Self>) -> Option<Lease> {
        let link = self.link();
        let (sender, generation) = (link.sender.clone()?, link.generation);
        drop(link);
        self.in_flight.fetch_add(1, AcqRel);
        Some(Lease {
            replica: Arc::clone(self),
            sender,
            generation,
        })
    }

    /// An answer came, whatever it said.
    pub(super) fn answered(&self) {
        // Read first: writing would move the cache line between the threads on every call.
        if self.timeouts.load(Relaxed) != 0 {
            self.timeouts.store(0, Relaxed);
        }
        if self.ejections.load(Relaxed) != 0 {
            self.ejections.store(0, Relaxed);
        }
    }

    /// An attempt ran out of time; answers how many have in a row.
    pub(super) fn timed_out(&self) -> u32 {
        self.timeouts.fetch_add(1, Relaxed) + 1
    }

    /// Begins an ejection. The first ends with the next good probe; each further one without an
    /// answer in between lasts longer, because a good probe has proved to mean little.
    pub(super) fn hold(&self) {
        self.timeouts.store(0, Relaxed);
        let before = self.ejections.fetch_add(1, Relaxed);
        let hold = Duration::from_secs((1 << before.min(4)) - 1).min(HOLD_MAX);
        self.link().held_until = Instant::now() + hold;
    }

    /// Whether an ejected replica may not come back yet.
    pub(super) fn is_held(&self) -> bool {
        self.state() == ReplicaState::Ejected && Instant::now() < self.link().held_until
    }

    /// Notes whether a name lists it; answers since when none does and nothing else has changed.
    pub(super) fn list(&self, listed: bool) -> Option<Duration> {
        let mut link = self.link();
        if listed {
            link.unlisted = None;
            return None;
        }
        let unlisted = *link.unlisted.get_or_insert_with(Instant::now);
        Some(unlisted.max(link.changed).elapsed())
    }
}

/// A call's place on a connection; counted as in flight until dropped.
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
