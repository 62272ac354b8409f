//! Batched reads and writes of `latest`, the id of the last action of an API client.

use std::collections::HashMap;

use chassis::{
    batch::{BatchHandler, Batcher, dedup},
    deadline::Deadline,
    per_item::{self, WriteOutcome},
    pool::Pool,
};
use minitwit_proto::user::v1::{
    GetLatestRequest, LatestUpdate, SetLatestRequest,
    api_client_service_client::ApiClientServiceClient,
};
use tonic::Status;
use uuid::Uuid;

use crate::{
    batching::batcher,
    outcome::{each, fan_out_complete, incomplete},
};

/// Value of `latest` of one API client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LatestValue {
    /// Name of the API client.
    pub client: String,
    /// Id of the last action.
    pub latest: i64,
}

/// Values of `latest` that the user service stores.
pub struct StoredLatest {
    reads: Batcher<GetLatest>,
    writes: Batcher<SetLatest>,
}

impl StoredLatest {
    /// Values of the user service behind `pool`.
    pub fn new(pool: Pool) -> Self {
        let client = ApiClientServiceClient::new(pool);
        let get = GetLatest {
            client: client.clone(),
        };
        Self {
            reads: batcher("gateway.get_latest", get),
            writes: batcher("gateway.set_latest", SetLatest { client }),
        }
    }

    /// Reads the `latest` of an API client. An empty name stands for the client that wrote last.
    pub async fn get(&self, client: String, deadline: Deadline) -> Result<i64, Status> {
        self.reads.call(client, deadline).await
    }

    /// Stores a value under `stamp`, unless a value with a greater stamp is stored.
    pub async fn set(
        &self,
        value: LatestValue,
        stamp: Uuid,
        deadline: Deadline,
    ) -> Result<WriteOutcome, Status> {
        self.writes.call((value, stamp), deadline).await
    }
}

struct SetLatest {
    client: ApiClientServiceClient<Pool>,
}

impl BatchHandler for SetLatest {
    type Item = (LatestValue, Uuid);
    type Output = WriteOutcome;

    /// Sends the value with the greatest stamp of each client, which supersedes its other values.
    async fn run(
        &self,
        values: Vec<(LatestValue, Uuid)>,
        deadline: Deadline,
    ) -> Result<Vec<Result<WriteOutcome, Status>>, Status> {
        let last = per_item::last_writes(&values, |(value, _)| &value.client, |(_, stamp)| *stamp);
        let updates = last.iter().map(|(value, stamp)| LatestUpdate {
            client: value.client.clone(),
            latest: value.latest,
            stamp: per_item::encode_id(*stamp),
        });
        let request = deadline.request(SetLatestRequest {
            updates: updates.collect(),
        });
        let response = self.client.clone().set_latest(request).await?;
        let results: HashMap<&str, Result<WriteOutcome, Status>> = last
            .iter()
            .map(|(value, _)| value.client.as_str())
            .zip(each(response.into_inner().results))
            .collect();
        let result_of = |(value, _): &(LatestValue, Uuid)| {
            results
                .get(value.client.as_str())
                .cloned()
                .unwrap_or_else(|| Err(incomplete()))
        };
        Ok(values.iter().map(result_of).collect())
    }
}

struct GetLatest {
    client: ApiClientServiceClient<Pool>,
}

impl BatchHandler for GetLatest {
    type Item = String;
    type Output = i64;

    async fn run(
        &self,
        clients: Vec<String>,
        deadline: Deadline,
    ) -> Result<Vec<Result<i64, Status>>, Status> {
        let (clients, positions) = dedup(clients);
        let request = deadline.request(GetLatestRequest { clients });
        let response = self.client.clone().get_latest(request).await?;
        let values = fan_out_complete(&response.into_inner().latest, &positions)?;
        Ok(values.into_iter().map(Ok).collect())
    }
}
