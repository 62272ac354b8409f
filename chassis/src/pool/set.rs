//! The set of replicas of a pool, and the selection of a replica for a call.

use std::{
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{
    budget::Budget,
    config::PoolConfig,
    meter::{Meter, Reason},
    replica::{Lease, Replica, ReplicaState},
    shared_rng::SharedRng,
};

/// Maximum number of addresses in an error message.
const ADDRESSES_SHOWN_MAX: usize = 8;

/// State shared by the calls and the tasks of a pool.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: PoolConfig,
    pub(super) meter: Meter,
    pub(super) rng: SharedRng,
    pub(super) retries: Budget,
    pub(super) hedges: Budget,
    replicas: RwLock<Vec<Arc<Replica>>>,
    /// Wakes the calls that wait for a replica.
    replicas_changed: Notify,
    /// Number of calls that wait for a replica.
    waiting: AtomicUsize,
    stop: CancellationToken,
}

/// The replica selected for an attempt.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) lease: Lease,
    /// Number of ready replicas, including those already tried. At least 1.
    pub(super) usable: usize,
}

impl Shared {
    pub(super) fn new(config: PoolConfig, stop: CancellationToken) -> Self {
        Self {
            meter: Meter::new(&config),
            rng: SharedRng::new(config.seed),
            retries: Budget::new(
                config.retries_per_call,
                config.retries_per_second,
                config.retries_burst,
                config.retries_burst,
            ),
            hedges: Budget::new(config.hedges_per_call, 0.0, config.hedges_burst, 0.0),
            replicas: RwLock::default(),
            replicas_changed: Notify::new(),
            waiting: AtomicUsize::new(0),
            stop,
            config,
        }
    }

    /// The current replicas. The guard must not be held across an await.
    pub(super) fn replicas(&self) -> RwLockReadGuard<'_, Vec<Arc<Replica>>> {
        self.replicas.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Selects a replica for an attempt. If there is none, waits until `until` for one to become usable.
    ///
    /// # Errors
    ///
    /// `Unavailable` when no replica became usable in time, or when too many calls wait already.
    pub(super) async fn lease(
        &self,
        tried: &[Arc<Replica>],
        until: Instant,
    ) -> Result<Choice, Status> {
        if let Some(choice) = self.choose(tried) {
            return Ok(choice);
        }
        let _slot = WaitSlot::take(&self.waiting, self.config.waiters_max).ok_or_else(|| {
            let service = self.meter.service();
            Status::unavailable(format!("too many calls wait for a replica of {service}"))
        })?;
        loop {
            let mut changed = pin!(self.replicas_changed.notified());
            changed.as_mut().enable();
            if let Some(choice) = self.choose(tried) {
                return Ok(choice);
            }
            if timeout_at(until, changed).await.is_err() {
                return Err(self.no_replica_error());
            }
        }
    }

    /// Selects the less busy of two random replicas. The candidates are the ready replicas that were
    /// not tried, otherwise all ready replicas, otherwise the ejected replicas. Ejected replicas are
    /// used as a last resort because, when all replicas are slow, the cause is the network or the
    /// database. Waiting for a good health check would then make a slow service unavailable. (Envoy has
    /// a panic threshold for the same case.)
    fn choose(&self, tried: &[Arc<Replica>]) -> Option<Choice> {
        let replicas = self.replicas();
        let state = |wanted| move |replica: &Arc<Replica>| replica.state() == wanted;
        let ready = state(ReplicaState::Ready);
        let ejected = state(ReplicaState::Ejected);
        let untried = |replica: &Arc<Replica>| !contains(tried, replica);
        // A connection may be closed before the task that maintains it has noticed.
        for _ in 0..=replicas.len() {
            let lease = self
                .pick(&replicas, |replica| ready(replica) && untried(replica))
                .or_else(|| self.pick(&replicas, ready))
                .or_else(|| self.pick(&replicas, |replica| ejected(replica) && untried(replica)))
                .or_else(|| self.pick(&replicas, ejected))?;
            if lease.sender.is_closed() {
                self.disconnect_in(&replicas, &lease, Some(lease.generation));
                continue;
            }
            let usable = replicas.iter().filter(|replica| ready(replica)).count();
            return Some(Choice {
                lease,
                usable: usable.max(1),
            });
        }
        None
    }

    /// Selects a ready replica that is not in `tried`.
    pub(super) fn choose_untried(&self, tried: &[Arc<Replica>]) -> Option<Lease> {
        self.pick(&self.replicas(), |replica| {
            replica.state() == ReplicaState::Ready && !contains(tried, replica)
        })
    }

    /// Picks the less busy of two random replicas that satisfy `filter`.
    fn pick(
        &self,
        replicas: &[Arc<Replica>],
        filter: impl Fn(&Arc<Replica>) -> bool,
    ) -> Option<Lease> {
        let candidates = || replicas.iter().filter(|replica| filter(replica));
        let picked = match candidates().count() {
            0 => return None,
            1 => candidates().next()?,
            count => {
                let first = self.rng.below(count);
                let second = (first + 1 + self.rng.below(count - 1)) % count;
                let first = candidates().nth(first)?;
                let second = candidates().nth(second).unwrap_or(first);
                if second.in_flight() < first.in_flight() {
                    second
                } else {
                    first
                }
            }
        };
        picked.lease()
    }

    /// The error of a call for which no replica became usable.
    fn no_replica_error(&self) -> Status {
        let addresses: Vec<_> = self
            .replicas()
            .iter()
            .take(ADDRESSES_SHOWN_MAX)
            .map(|replica| replica.address.to_string())
            .collect();
        let tried = if addresses.is_empty() {
            &self.config.targets
        } else {
            &addresses
        };
        Status::unavailable(format!(
            "no replica of {} is reachable (tried {})",
            self.config.service,
            tried.join(", "),
        ))
    }

    /// Adds the replicas of new addresses in `listed`. Removes replicas that `listed` does not contain
    /// and that do not work. A replica that still works stays, because a name server may be wrong for a
    /// while.
    ///
    /// Returns the new replicas. The caller connects them.
    pub(super) fn update(&self, listed: &[SocketAddr]) -> Vec<Arc<Replica>> {
        let mut replicas = self
            .replicas
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let mut added = Vec::new();
        for address in listed {
            if !replicas.iter().any(|replica| replica.address == *address) {
                let replica = Arc::new(Replica::new(*address, self.stop.child_token()));
                added.push(Arc::clone(&replica));
                replicas.push(replica);
            }
        }
        replicas.retain(|replica| {
            let unlisted_for = replica.set_listed(listed.contains(&replica.address));
            let Some(unlisted_for) = unlisted_for else {
                return true;
            };
            let remove = match replica.state() {
                ReplicaState::Foreign => true,
                ReplicaState::Connecting => unlisted_for >= self.config.remove_after,
                ReplicaState::Ready | ReplicaState::Draining | ReplicaState::Ejected => false,
            };
            if remove {
                tracing::info!(
                    service = self.meter.service(), replica = %replica.address,
                    "a replica is removed: not in DNS and not reachable",
                );
                replica.stop.cancel();
            }
            !remove
        });
        self.meter
            .set_replica_counts(replicas.iter().map(|replica| replica.state()));
        added
    }

    /// Puts a replica into the state that a health check found.
    pub(super) fn transition(&self, replica: &Replica, to: ReplicaState) {
        if replica.transition(to, |_| true).is_none() {
            return;
        }
        let (service, replica) = (self.meter.service(), replica.address);
        match to {
            ReplicaState::Ready => tracing::info!(service, %replica, "a replica is ready"),
            ReplicaState::Draining => {
                tracing::info!(service, %replica, "a replica is draining");
            }
            ReplicaState::Foreign => {
                tracing::warn!(service, %replica, "an address belongs to a different service");
            }
            ReplicaState::Connecting | ReplicaState::Ejected => {}
        }
        self.publish_change(&self.replicas());
    }

    /// Ejects a replica that does not answer in time, unless it is the last ready replica. This is
    /// Envoy's outlier detection for consecutive local-origin failures.
    pub(super) fn eject(&self, replica: &Replica, reason: Reason) {
        let replicas = self.replicas();
        let has_other_ready = replicas
            .iter()
            .any(|other| other.address != replica.address && other.state() == ReplicaState::Ready);
        let from_ready = |from| from == ReplicaState::Ready;
        if !has_other_ready
            || replica
                .transition(ReplicaState::Ejected, from_ready)
                .is_none()
        {
            return;
        }
        if reason == Reason::Timeout {
            replica.start_ejection();
        }
        self.meter.count_ejection(reason);
        tracing::warn!(
            service = self.meter.service(), replica = %replica.address, reason = reason.name(),
            "a replica is ejected",
        );
        self.publish_change(&replicas);
    }

    /// Drops the closed connection of a replica, so the replica gets no calls until it is connected
    /// again. With a `generation`, drops only the connection of that generation, because the replica
    /// may already have a new connection.
    pub(super) fn disconnect(&self, replica: &Replica, generation: Option<u64>) {
        self.disconnect_in(&self.replicas(), replica, generation);
    }

    /// [`Self::disconnect`] for a caller that already holds the lock of the set.
    fn disconnect_in(&self, all: &[Arc<Replica>], replica: &Replica, generation: Option<u64>) {
        if !replica.detach(generation) {
            return;
        }
        let Some(from) = replica.transition(ReplicaState::Connecting, |_| true) else {
            return;
        };
        if replica.stop.is_cancelled() {
            return;
        }
        if from == ReplicaState::Ready {
            self.meter.count_ejection(Reason::Transport);
        }
        tracing::info!(
            service = self.meter.service(), replica = %replica.address, was = from.name(),
            "the connection to a replica is closed",
        );
        self.publish_change(all);
    }

    /// Updates the gauges, and wakes the calls that wait for a replica.
    fn publish_change(&self, replicas: &[Arc<Replica>]) {
        self.meter
            .set_replica_counts(replicas.iter().map(|replica| replica.state()));
        self.replicas_changed.notify_waiters();
    }
}

fn contains(tried: &[Arc<Replica>], replica: &Arc<Replica>) -> bool {
    tried.iter().any(|other| Arc::ptr_eq(other, replica))
}

/// A slot among the calls that wait for a replica. Dropping the slot frees it.
struct WaitSlot<'a>(&'a AtomicUsize);

impl<'a> WaitSlot<'a> {
    /// Takes a slot. Returns `None` when `max` slots are taken.
    fn take(waiting: &'a AtomicUsize, max: usize) -> Option<Self> {
        let slot = Self(waiting);
        (waiting.fetch_add(1, Relaxed) < max).then_some(slot)
    }
}

impl Drop for WaitSlot<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Maximum time that a call waits for a replica. It is shorter than the `remaining` time of the call,
/// so the error still reaches the caller before its deadline.
pub(super) fn replica_wait(config: &PoolConfig, remaining: Duration) -> Duration {
    config.replica_wait_max.min(remaining.mul_f64(0.9))
}
