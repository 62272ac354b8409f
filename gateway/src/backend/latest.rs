//! `latest`: how far each client of the API has come.
//!
//! It is stored before the answer, beside the action. Only when the user service is away does the
//! action alone decide the answer; the newest value is then held here and stored as soon as the
//! service is back: the one thing ever acknowledged before it is durable.

use std::{
    collections::HashMap,
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
use tonic::Status;
use uuid::Uuid;

/// The share of a request's time for which its answer waits for `latest` when the user service does
/// not answer: short of the whole, so that the action's own answer still comes in time.
const PATIENCE: f64 = 0.72;

/// How long one attempt at storing what is held may take, and the pause after it.
const LATER: Duration = Duration::from_millis(500);

/// The `latest` of the API's clients.
#[derive(Clone)]
pub(crate) struct Latest(Arc<Inner>);

struct Inner {
    stored: StoredLatest,
    clock: Arc<Clock>,
    held: Mutex<HashMap<String, (Uuid, i64)>>,
    something_held: Notify,
    deferred: Counter,
    value: Gauge,
}

impl Latest {
    pub(super) fn new(pool: Pool, clock: Arc<Clock>) -> Self {
        let inner = Arc::new(Inner {
            stored: StoredLatest::new(pool),
            clock,
            held: Mutex::default(),
            something_held: Notify::new(),
            deferred: counter!("minitwit_latest_deferred_total"),
            value: gauge!("minitwit_latest"),
        });
        // Ends with the last handle of it.
        let weak = Arc::downgrade(&inner);
        tokio::spawn(async move {
            while let Some(inner) = weak.upgrade() {
                inner.store_what_is_held().await;
            }
        });
        Self(inner)
    }

    /// Stores a client's `latest`, or holds it to be stored later; never fails.
    pub(crate) async fn set(&self, client: &str, latest: i64, key: Uuid, deadline: Deadline) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "ids of actions are far below 2^52"
        )]
        self.0.value.set(latest as f64);
        let deadline = deadline.at_most(deadline.remaining().mul_f64(PATIENCE));
        let write = LatestValue {
            client: client.to_owned(),
            latest,
        };
        if let Err(status) = self.0.write(&write, key, deadline).await {
            self.0.deferred.increment(1);
            tracing::warn!(
                client,
                latest,
                reason = status.message(),
                "latest is stored later"
            );
            self.0.hold(write, key);
        }
    }

    /// A client's `latest`; with an empty name, that of the client that wrote last.
    pub(crate) async fn get(&self, client: &str, deadline: Deadline) -> Result<i64, Status> {
        self.0.stored.get(client.to_owned(), deadline).await
    }
}

impl Inner {
    async fn write(
        &self,
        value: &LatestValue,
        key: Uuid,
        deadline: Deadline,
    ) -> Result<(), Status> {
        let write = |stamp| self.stored.set(value.clone(), stamp, deadline);
        retry_superseded(&self.clock, key, write).await
    }

    fn held(&self) -> MutexGuard<'_, HashMap<String, (Uuid, i64)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold(&self, value: LatestValue, key: Uuid) {
        let mut held = self.held();
        let newest = held.entry(value.client).or_insert((key, value.latest));
        if key > newest.0 {
            *newest = (key, value.latest);
        }
        self.something_held.notify_one();
    }

    /// One round: waits for something to be held, and tries to store it under its own stamp, so
    /// that whatever was stored since then stays.
    async fn store_what_is_held(&self) {
        // Bounded, so that the task notices when nobody is left.
        let _ = tokio::time::timeout(Duration::from_secs(5), self.something_held.notified()).await;
        let held: Vec<(String, (Uuid, i64))> = self
            .held()
            .iter()
            .map(|(client, newest)| (client.clone(), *newest))
            .collect();
        for (client, (stamp, latest)) in held {
            let value = LatestValue {
                client: client.clone(),
                latest,
            };
            if self
                .stored
                .set(value, stamp, Deadline::after(LATER))
                .await
                .is_err()
            {
                tokio::time::sleep(LATER / 5).await;
                self.something_held.notify_one();
                continue;
            }
            let mut held = self.held();
            if held
                .get(&client)
                .is_some_and(|(newest, _)| *newest == stamp)
            {
                held.remove(&client);
            }
            tracing::info!(client, latest, "the latest held back is stored");
        }
    }
}
