//! Who follows whom: lists, rendered and asked for by version.

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
    Direction, FollowList, FollowsQuery, ListFollowsRequest,
    follower_service_client::FollowerServiceClient,
};
use tonic::Status;
use uuid::Uuid;

use crate::pages::avatar::Avatars;

use super::keep::{Body, Keep, Rendered};

/// Which list of accounts, and how it is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FollowsKey {
    pub(crate) account: Uuid,
    pub(crate) direction: Direction,
    pub(crate) limit: u32,
    /// Only accounts whose ids are greater than this one.
    pub(crate) after: Option<Uuid>,
    pub(crate) form: Form,
}

/// How a list of accounts is rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// The simulator's JSON: their names.
    Json,
    /// Their ids and the account's own, one behind the other: the authors of its timeline.
    Authors,
    /// The list of a page.
    Html(Avatars),
}

impl FollowsKey {
    /// Whom an account follows.
    pub(crate) fn followees(account: Uuid, limit: u32, form: Form) -> Self {
        Self {
            account,
            direction: Direction::Followees,
            limit,
            after: None,
            form,
        }
    }

    /// How many of `limit` accounts are shown: a page asks for one more than it shows, to learn
    /// whether there are more.
    fn shown(&self) -> usize {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        if let Form::Html(_) = self.form {
            limit.saturating_sub(1)
        } else {
            limit
        }
    }
}

/// The lists of the follower service.
pub(crate) struct Follows {
    lists: Batcher<List>,
}

impl Follows {
    pub(super) fn new(client: FollowerServiceClient<Pool>, accounts: Accounts, kept: Keep) -> Self {
        let list = List {
            client,
            accounts,
            kept,
        };
        Self {
            lists: batcher("gateway.list_follows", list),
        }
    }

    /// A list of accounts as it is now.
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
    kept: Keep,
}

impl BatchHandler for List {
    type Item = FollowsKey;
    type Output = Arc<Rendered>;

    async fn run(
        &self,
        asked: Vec<FollowsKey>,
        deadline: Deadline,
    ) -> Result<Vec<Result<Arc<Rendered>, Status>>, Status> {
        let (keys, positions) = dedup(asked);
        // Held until the answer is there: what is "unchanged" must not be evicted meanwhile.
        let kept = self.kept.get_each(&keys);
        let queries = keys.iter().zip(&kept).map(|(key, kept)| FollowsQuery {
            account_id: per_item::encode_id(key.account),
            direction: key.direction.into(),
            limit: key.limit,
            after_id: key.after.map(per_item::encode_id).unwrap_or_default(),
            known_version: kept.as_ref().map(|kept| kept.version),
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

        let mut answers = Vec::with_capacity(keys.len());
        let results = each(response.results);
        for ((key, kept), result) in keys.into_iter().zip(kept).zip(results) {
            answers.push(match (result, kept) {
                (Ok(Conditional::Content(list)), _) => self.render(key, &list, deadline).await,
                (Ok(Conditional::Unchanged), Some(kept)) => Ok(kept),
                (Ok(Conditional::Unchanged), None) => Err(incomplete()),
                (Err(status), _) => Err(status),
            });
        }
        fan_out_complete(&answers, &positions)
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
        let more = ids.len() > key.shown();
        ids.truncate(key.shown());
        let body = match key.form {
            Form::Authors => {
                let own = std::iter::once(key.account);
                per_item::encode_ids(&ids.iter().copied().chain(own).collect::<Vec<_>>())
            }
            Form::Json => {
                let accounts = self.accounts.lookup(&ids, deadline).await?;
                let known = accounts.iter().flatten();
                let names: Vec<&str> = known.map(|account| account.username.as_str()).collect();
                crate::api::follows::render(&names)
            }
            Form::Html(avatars) => {
                let accounts = self.accounts.lookup(&ids, deadline).await?;
                let known: Vec<Arc<Account>> = accounts.into_iter().flatten().collect();
                crate::pages::people::render(&known, avatars)
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
        Ok(self.kept.insert(key, rendered))
    }
}
