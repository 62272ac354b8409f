//! Lists of followers and followees, rendered and cached.

use std::sync::Arc;

use chassis::{
    batch::{BatchHandler, Batcher, dedup},
    deadline::Deadline,
    per_item,
    pool::Pool,
};
use minitwit_client::{
    accounts::{Account, Accounts},
    batching::batcher,
    outcome::{Conditional, each, fan_out_complete, incomplete},
};
use minitwit_proto::follower::v1::{
    FollowList, FollowsQuery, ListFollowsRequest, follower_service_client::FollowerServiceClient,
};
use tonic::Status;

use super::{
    keys::FollowsKey,
    render_cache::{Body, RenderCache, Rendered},
};
use crate::render::{account_list::Format, html, json};

/// Lists of followers and followees.
pub(crate) struct Follows {
    lists: Batcher<List>,
}

impl Follows {
    pub(super) fn new(
        client: FollowerServiceClient<Pool>,
        accounts: Accounts,
        cache: RenderCache,
    ) -> Self {
        let list = List {
            client,
            accounts,
            cache,
        };
        Self {
            lists: batcher("gateway.list_follows", list),
        }
    }

    /// Returns the current list of accounts.
    pub(crate) async fn list(
        &self,
        key: FollowsKey,
        deadline: Deadline,
    ) -> Result<Arc<Rendered>, Status> {
        self.lists.call(key, deadline).await
    }
}

struct List {
    client: FollowerServiceClient<Pool>,
    accounts: Accounts,
    cache: RenderCache,
}

impl BatchHandler for List {
    type Item = FollowsKey;
    type Output = Arc<Rendered>;

    async fn run(
        &self,
        keys: Vec<FollowsKey>,
        deadline: Deadline,
    ) -> Result<Vec<Result<Arc<Rendered>, Status>>, Status> {
        let (keys, positions) = dedup(keys);
        // The references keep responses that the service reports as unchanged, even if the cache
        // evicts them during the rpc.
        let cached = self.cache.get_each(&keys);
        let queries = keys.iter().zip(&cached).map(|(key, cached)| FollowsQuery {
            account_id: per_item::encode_id(key.account),
            direction: key.direction.into(),
            limit: key.limit,
            after_id: key.after.map(per_item::encode_id).unwrap_or_default(),
            known_version: cached.as_ref().map(|cached| cached.version),
        });
        let request = deadline.request(ListFollowsRequest {
            queries: queries.collect(),
        });
        let response = self
            .client
            .clone()
            .list_follows(request)
            .await?
            .into_inner();

        let mut results = Vec::with_capacity(keys.len());
        for ((key, cached), result) in keys.into_iter().zip(cached).zip(each(response.results)) {
            results.push(match (result, cached) {
                (Ok(Conditional::Content(list)), _) => self.render(key, &list, deadline).await,
                (Ok(Conditional::Unchanged), Some(cached)) => Ok(cached),
                (Ok(Conditional::Unchanged), None) => Err(incomplete()),
                (Err(status), _) => Err(status),
            });
        }
        fan_out_complete(&results, &positions)
    }
}

impl List {
    async fn render(
        &self,
        key: FollowsKey,
        list: &FollowList,
        deadline: Deadline,
    ) -> Result<Arc<Rendered>, Status> {
        let mut ids = per_item::decode_ids("ids", &list.ids)?;
        let shown = key.format.shown(key.limit);
        let more = ids.len() > shown;
        ids.truncate(shown);
        let body = match key.format {
            Format::AuthorIds => {
                let own = std::iter::once(key.account);
                per_item::encode_ids(&ids.iter().copied().chain(own).collect::<Vec<_>>())
            }
            Format::Json => {
                let accounts = self.accounts.lookup(&ids, deadline).await?;
                let known = accounts.iter().flatten();
                let names: Vec<&str> = known.map(|account| account.username.as_str()).collect();
                json::followees(&names)
            }
            Format::Html(avatars) => {
                let accounts = self.accounts.lookup(&ids, deadline).await?;
                let known: Vec<Arc<Account>> = accounts.into_iter().flatten().collect();
                html::accounts(&known, avatars)
            }
        };
        let rendered = Rendered {
            version: list.version,
            body: Body::Plain(body),
            first: ids.first().copied(),
            last: ids.last().copied(),
            more,
            ..Rendered::default()
        };
        Ok(self.cache.insert(key, rendered))
    }
}
