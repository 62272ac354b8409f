//! `latest`, the id of the last action of each API client.
//!
//! A value is stored concurrently with the action, and the response waits for both. If the user service
//! is unavailable, the action alone decides the response. The newest value of the client is then
//! deferred, and stored as soon as the user service is available. A deferred `latest` is the only value
//! that is acknowledged before it is durable.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chassis::{deadline::Deadline, pool::Pool, stamp::Clock};
use metrics::{Counter, Gauge, counter, gauge};
use minitwit_client::{
    latest::{LatestValue, StoredLatest},
    stamped::retry_superseded,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use uuid::Uuid;

/// Share of a request's remaining time that its response waits for `latest`. The rest suffices to send
/// the result of the action in time.
const WAIT_SHARE: f64 = 0.72;

/// Timeout of one attempt to store a deferred value.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(500);

/// Pause after a failed attempt to store a deferred value.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// Values of `latest` of all API clients. Clones share the deferred values.
#[derive(Clone)]
pub(crate) struct Latest(Arc<Inner>);

struct Inner {
    stored: StoredLatest,
    clock: Arc<Clock>,
    deferred: Mutex<Deferred>,
    /// Wakes the task that stores deferred values.
    deferral: Notify,
    deferred_total: Counter,
    lost_total: Counter,
    newest: Gauge,
}

/// Deferred values, at most one per API client.
#[derive(Default)]
struct Deferred {
    by_client: HashMap<String, DeferredValue>,
    /// Whether the gateway has stopped storing deferred values.
    closed: bool,
}

#[derive(Clone, Copy)]
struct DeferredValue {
    stamp: Uuid,
    latest: i64,
}

impl Latest {
    pub(super) fn new(pool: Pool, clock: Arc<Clock>) -> Self {
        Self(Arc::new(Inner {
            stored: StoredLatest::new(pool),
            clock,
            deferred: Mutex::default(),
            deferral: Notify::new(),
            deferred_total: counter!("minitwit_latest_deferred_total"),
            lost_total: counter!("minitwit_latest_lost_total"),
            newest: gauge!("minitwit_latest"),
        }))
    }

    /// Stores the `latest` of an API client, or defers it. Never fails.
    pub(crate) async fn set(&self, client: &str, latest: i64, key: Uuid, deadline: Deadline) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "ids of actions are far below 2^52"
        )]
        self.0.newest.set(latest as f64);
        let deadline = deadline.at_most(deadline.remaining().mul_f64(WAIT_SHARE));
        let value = LatestValue {
            client: client.to_owned(),
            latest,
        };
        let write = |stamp| self.0.stored.set(value.clone(), stamp, deadline);
        if let Err(status) = retry_superseded(&self.0.clock, key, write).await {
            self.0.defer(value, key, &status);
        }
    }

    /// Reads the `latest` of an API client. An empty name stands for the client that wrote last.
    pub(crate) async fn get(&self, client: &str, deadline: Deadline) -> Result<i64, Status> {
        self.0.stored.get(client.to_owned(), deadline).await
    }

    /// Stores deferred values until `stop` is cancelled and no deferred value is left.
    pub(super) async fn store_deferred(&self, stop: &CancellationToken) {
        loop {
            let deferred = self.0.deferred().by_client.clone();
            if deferred.is_empty() {
                tokio::select! {
                    biased;
                    () = self.0.deferral.notified() => {}
                    () = stop.cancelled() => return,
                }
            }
            for (client, value) in deferred {
                self.0.store(client, value).await;
            }
        }
    }

    /// Discards the deferred values, because the process is about to exit. A value that is deferred
    /// later is lost at once.
    pub(super) fn close(&self) {
        let lost = {
            let mut deferred = self.0.deferred();
            deferred.closed = true;
            mem::take(&mut deferred.by_client)
        };
        for (client, value) in lost {
            self.0.report_lost(&client, value.latest);
        }
    }
}

impl Inner {
    fn deferred(&self) -> MutexGuard<'_, Deferred> {
        self.deferred.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn defer(&self, value: LatestValue, stamp: Uuid, reason: &Status) {
        self.deferred_total.increment(1);
        let LatestValue { client, latest } = value;
        tracing::warn!(client, latest, reason = reason.message(), "latest deferred");
        let mut deferred = self.deferred();
        if deferred.closed {
            drop(deferred);
            self.report_lost(&client, latest);
            return;
        }
        let value = DeferredValue { stamp, latest };
        let newest = deferred.by_client.entry(client).or_insert(value);
        if stamp > newest.stamp {
            *newest = value;
        }
        self.deferral.notify_one();
    }

    /// Attempts to store a deferred value under its own stamp. If the user service has a value with a
    /// greater stamp, that value stays.
    async fn store(&self, client: String, value: DeferredValue) {
        let DeferredValue { stamp, latest } = value;
        let stored = LatestValue {
            client: client.clone(),
            latest,
        };
        let deadline = Deadline::after(ATTEMPT_TIMEOUT);
        if self.stored.set(stored, stamp, deadline).await.is_err() {
            tokio::time::sleep(RETRY_INTERVAL).await;
            return;
        }
        let mut deferred = self.deferred();
        // A newer value may have been deferred during the attempt.
        if deferred
            .by_client
            .get(&client)
            .is_some_and(|newest| newest.stamp == stamp)
        {
            deferred.by_client.remove(&client);
        }
        drop(deferred);
        tracing::info!(client, latest, "deferred latest stored");
    }

    fn report_lost(&self, client: &str, latest: i64) {
        self.lost_total.increment(1);
        tracing::error!(
            client,
            latest,
            "latest lost: the user service was unavailable until the gateway had to stop"
        );
    }
}
