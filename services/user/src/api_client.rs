//! The gRPC service of API clients. It validates requests, batches them and converts the results.

use std::sync::Arc;

use chassis::{
    batch::{Batcher, Flattened, Limits},
    deadline::Deadline,
    per_item::{self, answer_each},
    skew::SkewWatch,
};
use minitwit_proto::{
    common::v1::{Applied, Superseded},
    user::v1::{self as proto, api_client_service_server::ApiClientService},
};
use tonic::{Request, Response, Status};

use crate::{
    batches::{GetLatest, SetLatest},
    latest::{ApiClientStore, LatestUpdate},
    validate,
};

/// Value of `latest` for a client that has not written yet.
const LATEST_UNSET: i64 = -1;

/// Limits of writes. All writes change the same few rows, so a second worker would only wait for the
/// commit of the first, and each commit would serve fewer callers.
const WRITE_LIMITS: Limits = Limits {
    workers: 1,
    batch_weight_max: 1024,
    queue_max: 4096,
};

const READ_LIMITS: Limits = Limits {
    workers: 2,
    batch_weight_max: 256,
    queue_max: 1024,
};

/// The `ApiClientService` over a store.
pub struct ApiClients<C: ApiClientStore> {
    set: Batcher<Flattened<SetLatest<C>>>,
    get: Batcher<Flattened<GetLatest<C>>>,
    skew: SkewWatch,
}

impl<C: ApiClientStore> ApiClients<C> {
    /// Creates the service over `store`.
    pub fn new(store: C) -> Self {
        let store = Arc::new(store);
        let set = Flattened(SetLatest(Arc::clone(&store)));
        let get = Flattened(GetLatest(store));
        Self {
            set: Batcher::new("api_client.set_latest", WRITE_LIMITS, set),
            get: Batcher::new("api_client.get_latest", READ_LIMITS, get),
            skew: SkewWatch::new("latest"),
        }
    }
}

#[tonic::async_trait]
impl<C: ApiClientStore> ApiClientService for ApiClients<C> {
    async fn set_latest(
        &self,
        request: Request<proto::SetLatestRequest>,
    ) -> Result<Response<proto::SetLatestResponse>, Status> {
        let deadline = Deadline::of(&request);
        let updates = request.into_inner().updates.into_iter().map(|update| {
            let update = latest_update(update)?;
            self.skew.check(update.stamp);
            Ok(update)
        });
        let outcomes =
            answer_each(updates, async |valid| self.set.call(valid, deadline).await).await?;
        Ok(Response::new(proto::SetLatestResponse {
            results: per_item::results(outcomes, Result::<Applied, Superseded>::from),
        }))
    }

    async fn get_latest(
        &self,
        request: Request<proto::GetLatestRequest>,
    ) -> Result<Response<proto::GetLatestResponse>, Status> {
        let deadline = Deadline::of(&request);
        let clients = request.into_inner().clients;
        if clients.is_empty() {
            return Ok(Response::new(proto::GetLatestResponse::default()));
        }
        clients
            .iter()
            .try_for_each(|client| validate::client(client))?;
        let values = self.get.call(clients, deadline).await?;
        let latest = values
            .into_iter()
            .map(|value| Ok(value?.unwrap_or(LATEST_UNSET)))
            .collect::<Result<_, Status>>()?;
        Ok(Response::new(proto::GetLatestResponse { latest }))
    }
}

fn latest_update(update: proto::LatestUpdate) -> Result<LatestUpdate, Status> {
    validate::not_empty("the client", &update.client)?;
    validate::client(&update.client)?;
    let stamp = per_item::id("stamp", &update.stamp)?;
    if stamp.get_version_num() != 7 {
        return Err(Status::invalid_argument(format!(
            "the stamp {stamp} is no UUIDv7"
        )));
    }
    Ok(LatestUpdate {
        client: update.client,
        latest: update.latest,
        stamp,
    })
}
