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

use chassis::{
    batch::{BatchHandler, Batcher, dedup},
    deadline::Deadline,
    per_item::{self, WriteOutcome},
    pool::Pool,
    stamp::Clock,
};
use metrics::{Counter, Gauge, counter, gauge};
use minitwit_proto::user::v1::{
    GetLatestRequest, LatestUpdate, SetLatestRequest,
    api_client_service_client::ApiClientServiceClient, set_latest_result,
};
use tokio::sync::Notify;
use tonic::Status;
use uuid::Uuid;

use super::{
    accounts::{answer_all, incomplete},
    batcher,
    writes::{outlast, superseded_by},
};

/// The share of a request's time for which its answer waits for `latest` when the user service does
/// not answer: short of the whole, so that the action's own answer still comes in time.
const PATIENCE: f64 = 0.72;

/// How long one attempt at storing what is held may take, and the pause after it.
const LATER: Duration = Duration::from_millis(500);

/// The `latest` of the API's clients.
#[derive(Clone)]
pub(crate) struct Latest(Arc<Inner>);

struct Inner {
    reads: Batcher<Get>,
    writes: Batcher<Set>,
    clock: Arc<Clock>,
    held: Mutex<HashMap<String, (Uuid, i64)>>,
    something_held: Notify,
    deferred: Counter,
    value: Gauge,
}

impl Latest {
    pub(super) fn new(client: ApiClientServiceClient<Pool>, clock: Arc<Clock>) -> Self {
        let inner = Arc::new(Inner {
            reads: batcher(
                "gateway.get_latest",
                Get {
                    client: client.clone(),
                },
            ),
            writes: batcher("gateway.set_latest", Set { client }),
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
        let write = Value {
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
        self.0.reads.call(client.to_owned(), deadline).await
    }
}

impl Inner {
    async fn write(&self, value: &Value, key: Uuid, deadline: Deadline) -> Result<(), Status> {
        let write = |stamp| self.writes.call((value.clone(), stamp), deadline);
        outlast(&self.clock, key, write).await
    }

    fn held(&self) -> MutexGuard<'_, HashMap<String, (Uuid, i64)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold(&self, value: Value, key: Uuid) {
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
            let value = Value {
                client: client.clone(),
                latest,
            };
            if self
                .writes
                .call((value, stamp), Deadline::after(LATER))
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

#[derive(Clone, Debug)]
struct Value {
    client: String,
    latest: i64,
}

struct Set {
    client: ApiClientServiceClient<Pool>,
}

impl BatchHandler for Set {
    type Item = (Value, Uuid);
    type Output = WriteOutcome;

    /// Of all values for one client only the last to arrive is sent: the others are overtaken.
    async fn run(
        &self,
        values: Vec<(Value, Uuid)>,
        deadline: Deadline,
    ) -> Result<Vec<Result<WriteOutcome, Status>>, Status> {
        use set_latest_result::Outcome;
        let last = per_item::last_writes(&values, |(value, _)| &value.client, |(_, stamp)| *stamp);
        let updates = last.iter().map(|(value, stamp)| LatestUpdate {
            client: value.client.clone(),
            latest: value.latest,
            stamp: per_item::encode_id(*stamp),
        });
        let request = deadline.request(SetLatestRequest {
            updates: updates.collect(),
        });
        let response = self.client.clone().set_latest(request).await?.into_inner();
        let results = response
            .results
            .into_iter()
            .map(|result| match result.outcome {
                Some(Outcome::Applied(_)) => Ok(WriteOutcome::Applied),
                Some(Outcome::Superseded(superseded)) => superseded_by(&superseded),
                Some(Outcome::Error(error)) => Err(per_item::status(error)),
                None => Err(incomplete()),
            });
        let results: HashMap<&str, Result<WriteOutcome, Status>> = last
            .iter()
            .map(|(value, _)| value.client.as_str())
            .zip(results)
            .collect();
        let own = |(value, _): &(Value, Uuid)| {
            results
                .get(value.client.as_str())
                .cloned()
                .unwrap_or_else(|| Err(incomplete()))
        };
        Ok(values.iter().map(own).collect())
    }
}

struct Get {
    client: ApiClientServiceClient<Pool>,
}

impl BatchHandler for Get {
    type Item = String;
    type Output = i64;

    async fn run(
        &self,
        clients: Vec<String>,
        deadline: Deadline,
    ) -> Result<Vec<Result<i64, Status>>, Status> {
        let (clients, positions) = dedup(clients);
        let request = deadline.request(GetLatestRequest { clients });
        let response = self.client.clone().get_latest(request).await?.into_inner();
        let values = answer_all(&response.latest, &positions)?;
        Ok(values.into_iter().map(Ok).collect())
    }
}
