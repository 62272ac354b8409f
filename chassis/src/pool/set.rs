//! The replicas of a pool: which one a call gets, and how they come and go.

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
    chance::Chance,
    config::PoolConfig,
    link,
    meter::{Meter, Reason},
    replica::{Lease, Replica, ReplicaState},
};

/// So many addresses are named in an error at most.
const NAMED_MAX: usize = 8;

/// What the calls and the tasks of a pool share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: PoolConfig,
    pub(super) meter: Meter,
    pub(super) chance: Chance,
    pub(super) retries: Budget,
    pub(super) hedges: Budget,
    replicas: RwLock<Vec<Arc<Replica>>>,
    /// Wakes the calls that wait for a replica.
    usable: Notify,
    waiting: AtomicUsize,
    stop: CancellationToken,
}

/// What a call is given to work with.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) lease: Lease,
    /// How many replicas there were to choose from, whether tried before or not.
    pub(super) usable: usize,
}

impl Shared {
    pub(super) fn new(config: PoolConfig, stop: CancellationToken) -> Self {
        Self {
            meter: Meter::new(&config),
            chance: Chance::new(config.seed),
            retries: Budget::new(
                config.retries_per_call,
                config.retries_per_second,
                config.retries_burst,
                config.retries_burst,
            ),
            hedges: Budget::new(config.hedges_per_call, 0.0, config.hedges_burst, 0.0),
            replicas: RwLock::default(),
            usable: Notify::new(),
            waiting: AtomicUsize::new(0),
            stop,
            config,
        }
    }

    /// The replicas of this moment; not to be held across an await.
    pub(super) fn replicas(&self) -> RwLockReadGuard<'_, Vec<Arc<Replica>>> {
        self.replicas.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A replica for a call, at once if there is one; otherwise when one becomes usable before
    /// `until`.
    pub(super) async fn lease(
        &self,
        tried: &[Arc<Replica>],
        until: Instant,
    ) -> Result<Choice, Status> {
        if let Some(choice) = self.choose(tried) {
            return Ok(choice);
        }
        let _place = Place::take(&self.waiting, self.config.waiters_max).ok_or_else(|| {
            let service = self.meter.service();
            Status::unavailable(format!("too many calls wait for a replica of {service}"))
        })?;
        loop {
            let mut usable = pin!(self.usable.notified());
            usable.as_mut().enable();
            if let Some(choice) = self.choose(tried) {
                return Ok(choice);
            }
            if timeout_at(until, usable).await.is_err() {
                return Err(self.unreachable());
            }
        }
    }

    /// The less busy of two replicas, drawn from those that are ready and not tried yet, or else
    /// from those that are ready, or else from those that are ejected: when all are late, the
    /// network or the database is, and waiting for a good probe would turn slow into dead.
    fn choose(&self, tried: &[Arc<Replica>]) -> Option<Choice> {
        let replicas = self.replicas();
        let state = |wanted| move |replica: &Arc<Replica>| replica.state() == wanted;
        let ready = state(ReplicaState::Ready);
        let ejected = state(ReplicaState::Ejected);
        let fresh = |replica: &Arc<Replica>| !is_in(tried, replica);
        // A connection may turn out to be closed before its own task has noticed.
        for _ in 0..=replicas.len() {
            let lease = self
                .draw(&replicas, |replica| ready(replica) && fresh(replica))
                .or_else(|| self.draw(&replicas, ready))
                .or_else(|| self.draw(&replicas, |replica| ejected(replica) && fresh(replica)))
                .or_else(|| self.draw(&replicas, ejected))?;
            if lease.sender.is_closed() {
                self.lose_locked(&replicas, &lease, Some(lease.generation));
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

    /// A ready replica that is not among those tried.
    pub(super) fn choose_other(&self, tried: &[Arc<Replica>]) -> Option<Lease> {
        self.draw(&self.replicas(), |replica| {
            replica.state() == ReplicaState::Ready && !is_in(tried, replica)
        })
    }

    fn draw(
        &self,
        replicas: &[Arc<Replica>],
        suits: impl Fn(&Arc<Replica>) -> bool,
    ) -> Option<Lease> {
        let suitable = || replicas.iter().filter(|replica| suits(replica));
        let one = match suitable().count() {
            0 => return None,
            1 => suitable().next()?,
            count => {
                let first = self.chance.below(count);
                let second = (first + 1 + self.chance.below(count - 1)) % count;
                let first = suitable().nth(first)?;
                let second = suitable().nth(second).unwrap_or(first);
                if second.in_flight() < first.in_flight() {
                    second
                } else {
                    first
                }
            }
        };
        one.lease()
    }

    fn unreachable(&self) -> Status {
        let addresses: Vec<_> = self
            .replicas()
            .iter()
            .take(NAMED_MAX)
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

    /// Makes the set that of `listed`, but for what only health may remove.
    pub(super) fn update(self: &Arc<Self>, listed: &[SocketAddr]) {
        let mut replicas = self
            .replicas
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        for address in listed {
            if !replicas.iter().any(|replica| replica.address == *address) {
                let replica = Arc::new(Replica::new(*address, self.stop.child_token()));
                tokio::spawn(link::maintain(Arc::clone(self), Arc::clone(&replica)));
                replicas.push(replica);
            }
        }
        replicas.retain(|replica| {
            let absent = replica.list(listed.contains(&replica.address));
            let Some(absent) = absent else { return true };
            let forget = match replica.state() {
                ReplicaState::Foreign => true,
                ReplicaState::Connecting => absent >= self.config.forget_after,
                ReplicaState::Ready | ReplicaState::Draining | ReplicaState::Ejected => false,
            };
            if forget {
                tracing::info!(
                    service = self.meter.service(), replica = %replica.address,
                    "a replica is forgotten: no name lists it and it is of no use",
                );
                replica.stop.cancel();
            }
            !forget
        });
        self.meter
            .show(replicas.iter().map(|replica| replica.state()));
    }

    /// Puts a replica into a state that its health calls for.
    pub(super) fn change(&self, replica: &Replica, to: ReplicaState) {
        if replica.change(to, |_| true).is_none() {
            return;
        }
        let (service, replica) = (self.meter.service(), replica.address);
        match to {
            ReplicaState::Ready => tracing::info!(service, %replica, "a replica is ready"),
            ReplicaState::Draining => {
                tracing::info!(service, %replica, "a replica asks for no calls");
            }
            ReplicaState::Foreign => {
                tracing::warn!(service, %replica, "an address answers for some other service");
            }
            ReplicaState::Connecting | ReplicaState::Ejected => {}
        }
        self.changed(&self.replicas());
    }

    /// Takes a silent replica out of use, unless it is the last.
    pub(super) fn eject(&self, replica: &Replica, reason: Reason) {
        let replicas = self.replicas();
        let others = replicas
            .iter()
            .any(|other| other.address != replica.address && other.state() == ReplicaState::Ready);
        let from_ready = |from| from == ReplicaState::Ready;
        if !others || replica.change(ReplicaState::Ejected, from_ready).is_none() {
            return;
        }
        if reason == Reason::Timeout {
            replica.hold();
        }
        self.meter.ejected(reason);
        tracing::warn!(
            service = self.meter.service(), replica = %replica.address, reason = reason.name(),
            "a replica is ejected",
        );
        self.changed(&replicas);
    }

    /// Takes a replica out of use whose connection is gone; `generation` says which, `None` any.
    pub(super) fn lose(&self, replica: &Replica, generation: Option<u64>) {
        self.lose_locked(&self.replicas(), replica, generation);
    }

    fn lose_locked(&self, all: &[Arc<Replica>], replica: &Replica, generation: Option<u64>) {
        if !replica.detach(generation) {
            return;
        }
        let Some(from) = replica.change(ReplicaState::Connecting, |_| true) else {
            return;
        };
        if replica.stop.is_cancelled() {
            return;
        }
        if from == ReplicaState::Ready {
            self.meter.ejected(Reason::Transport);
        }
        tracing::info!(
            service = self.meter.service(), replica = %replica.address, was = from.name(),
            "a replica's connection is gone",
        );
        self.changed(all);
    }

    fn changed(&self, replicas: &[Arc<Replica>]) {
        self.meter
            .show(replicas.iter().map(|replica| replica.state()));
        self.usable.notify_waiters();
    }
}

fn is_in(tried: &[Arc<Replica>], replica: &Arc<Replica>) -> bool {
    tried.iter().any(|other| Arc::ptr_eq(other, replica))
}

/// A place among those that wait.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize, max: usize) -> Option<Self> {
        let place = Self(waiting);
        (waiting.fetch_add(1, Relaxed) < max).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// How long a call may wait for a replica so that its caller still gets the answer.
pub(super) fn empty_wait(config: &PoolConfig, remaining: Duration) -> Duration {
    config.empty_wait.min(remaining.mul_f64(0.9))
}
