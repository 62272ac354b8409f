//! Batched reads of counts, single follow relations and single messages.

use std::sync::Arc;

use bytes::Bytes;
use chassis::{
    batch::{BatchHandler, Batcher, dedup},
    deadline::Deadline,
    per_item,
    pool::Pool,
};
use minitwit_proto::{
    follower::v1::{
        CheckFollowsRequest, CountFollowsRequest, FollowCheck,
        follower_service_client::FollowerServiceClient,
    },
    message::v1::{
        CountMessagesRequest, GetMessagesRequest, message_service_client::MessageServiceClient,
    },
};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{
    accounts::Accounts,
    batching::batcher,
    messages::Entry,
    outcome::{ItemResult as _, fan_out_complete},
};

/// Number of followees and followers of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowCounts {
    /// Number of accounts that the account follows.
    pub followees: i64,
    /// Number of accounts that follow the account.
    pub followers: i64,
}

/// Batched reads of counts, single follow relations and single messages.
pub struct Reads {
    checks: Batcher<CheckFollows>,
    follow_counts: Batcher<CountFollows>,
    message_counts: Batcher<CountMessages>,
    messages: Batcher<GetMessages>,
    accounts: Accounts,
}

impl Reads {
    /// Reads by the clients of the two services, with the authors from `accounts`.
    pub fn new(
        follower: FollowerServiceClient<Pool>,
        message: MessageServiceClient<Pool>,
        accounts: Accounts,
    ) -> Self {
        Self {
            checks: batcher("gateway.check_follows", CheckFollows(follower.clone())),
            follow_counts: batcher("gateway.count_follows", CountFollows(follower)),
            message_counts: batcher("gateway.count_messages", CountMessages(message.clone())),
            messages: batcher("gateway.get_messages", GetMessages(message)),
            accounts,
        }
    }

    /// Reads whether the first account follows the second.
    pub async fn follows(
        &self,
        account: Uuid,
        other: Uuid,
        deadline: Deadline,
    ) -> Result<bool, Status> {
        self.checks.call((account, other), deadline).await
    }

    /// Counts the followees and followers of an account.
    pub async fn follow_counts(
        &self,
        account: Uuid,
        deadline: Deadline,
    ) -> Result<FollowCounts, Status> {
        self.follow_counts.call(account, deadline).await
    }

    /// Counts the messages of an account. Flagged messages do not count.
    pub async fn message_count(&self, account: Uuid, deadline: Deadline) -> Result<i64, Status> {
        self.message_counts.call(account, deadline).await
    }

    /// Reads a message. Returns `None` if there is no such message, or if the message is flagged.
    pub async fn message(&self, id: Uuid, deadline: Deadline) -> Result<Option<Entry>, Status> {
        let Some((author, text)) = self.messages.call(id, deadline).await? else {
            return Ok(None);
        };
        let author = self
            .accounts
            .lookup(&[author], deadline)
            .await?
            .pop()
            .flatten();
        Ok(author.map(|author| Entry {
            id,
            author,
            text: text.to_string(),
        }))
    }
}

struct CheckFollows(FollowerServiceClient<Pool>);

impl BatchHandler for CheckFollows {
    type Item = (Uuid, Uuid);
    type Output = bool;

    async fn run(
        &self,
        edges: Vec<(Uuid, Uuid)>,
        deadline: Deadline,
    ) -> Result<Vec<Result<bool, Status>>, Status> {
        let (edges, positions) = dedup(edges);
        let checks = edges.into_iter().map(|(account, other)| FollowCheck {
            follower_id: per_item::encode_id(account),
            followee_id: per_item::encode_id(other),
        });
        let request = deadline.request(CheckFollowsRequest {
            checks: checks.collect(),
        });
        let values = self
            .0
            .clone()
            .check_follows(request)
            .await?
            .into_inner()
            .following;
        fan_out_values(&values, &positions)
    }
}

struct CountFollows(FollowerServiceClient<Pool>);

impl BatchHandler for CountFollows {
    type Item = Uuid;
    type Output = FollowCounts;

    async fn run(
        &self,
        accounts: Vec<Uuid>,
        deadline: Deadline,
    ) -> Result<Vec<Result<FollowCounts, Status>>, Status> {
        let (accounts, positions) = dedup(accounts);
        let account_ids = accounts.into_iter().map(per_item::encode_id).collect();
        let request = deadline.request(CountFollowsRequest { account_ids });
        let counts = self
            .0
            .clone()
            .count_follows(request)
            .await?
            .into_inner()
            .counts;
        let values = counts.into_iter().map(|counts| FollowCounts {
            followees: counts.followees,
            followers: counts.followers,
        });
        fan_out_values(&values.collect::<Vec<_>>(), &positions)
    }
}

struct CountMessages(MessageServiceClient<Pool>);

impl BatchHandler for CountMessages {
    type Item = Uuid;
    type Output = i64;

    async fn run(
        &self,
        accounts: Vec<Uuid>,
        deadline: Deadline,
    ) -> Result<Vec<Result<i64, Status>>, Status> {
        let (accounts, positions) = dedup(accounts);
        let author_ids = accounts.into_iter().map(per_item::encode_id).collect();
        let request = deadline.request(CountMessagesRequest { author_ids });
        let values = self
            .0
            .clone()
            .count_messages(request)
            .await?
            .into_inner()
            .counts;
        fan_out_values(&values, &positions)
    }
}

struct GetMessages(MessageServiceClient<Pool>);

impl BatchHandler for GetMessages {
    type Item = Uuid;
    type Output = Option<(Uuid, Arc<str>)>;

    async fn run(
        &self,
        messages: Vec<Uuid>,
        deadline: Deadline,
    ) -> Result<Vec<Result<Self::Output, Status>>, Status> {
        let (messages, positions) = dedup(messages);
        let ids: Vec<Bytes> = messages.into_iter().map(per_item::encode_id).collect();
        let request = deadline.request(GetMessagesRequest { ids });
        let response = self.0.clone().get_messages(request).await?.into_inner();
        let results = response
            .results
            .into_iter()
            .map(|result| match result.into_result() {
                Ok(message) => Ok(Some((
                    per_item::id("author_id", &message.author_id)?,
                    message.text.into(),
                ))),
                Err(status) if status.code() == Code::NotFound => Ok(None),
                Err(status) => Err(status),
            });
        fan_out_complete(&results.collect::<Vec<_>>(), &positions)
    }
}

/// Returns the value of each position as a success.
fn fan_out_values<T: Clone>(
    values: &[T],
    positions: &[usize],
) -> Result<Vec<Result<T, Status>>, Status> {
    let values = fan_out_complete(values, positions)?;
    Ok(values.into_iter().map(Ok).collect())
}
