//! The small reads of a page: counts, single edges, single messages.

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
        CountMessagesRequest, GetMessagesRequest, get_message_result,
        message_service_client::MessageServiceClient,
    },
};
use tonic::{Code, Status};
use uuid::Uuid;

use super::{
    accounts::{Accounts, answer_all},
    batcher,
    timelines::Entry,
};

/// How many edges an account has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FollowCounts {
    pub(crate) followees: i64,
    pub(crate) followers: i64,
}

/// The small reads.
pub(crate) struct Reads {
    checks: Batcher<Check>,
    follow_counts: Batcher<CountFollows>,
    message_counts: Batcher<CountMessages>,
    messages: Batcher<Get>,
    accounts: Accounts,
}

impl Reads {
    pub(super) fn new(
        follower: FollowerServiceClient<Pool>,
        message: MessageServiceClient<Pool>,
        accounts: Accounts,
    ) -> Self {
        Self {
            checks: batcher("gateway.check_follows", Check(follower.clone())),
            follow_counts: batcher("gateway.count_follows", CountFollows(follower)),
            message_counts: batcher("gateway.count_messages", CountMessages(message.clone())),
            messages: batcher("gateway.get_messages", Get(message)),
            accounts,
        }
    }

    /// Whether one account follows another.
    pub(crate) async fn follows(
        &self,
        account: Uuid,
        other: Uuid,
        deadline: Deadline,
    ) -> Result<bool, Status> {
        self.checks.call((account, other), deadline).await
    }

    /// How many edges an account has.
    pub(crate) async fn follow_counts(
        &self,
        account: Uuid,
        deadline: Deadline,
    ) -> Result<FollowCounts, Status> {
        self.follow_counts.call(account, deadline).await
    }

    /// How many messages an account has written.
    pub(crate) async fn message_count(
        &self,
        account: Uuid,
        deadline: Deadline,
    ) -> Result<i64, Status> {
        self.message_counts.call(account, deadline).await
    }

    /// One message; `None` when there is none, or it is flagged.
    pub(crate) async fn message(
        &self,
        id: Uuid,
        deadline: Deadline,
    ) -> Result<Option<Entry>, Status> {
        let Some((author, text)) = self.messages.call(id, deadline).await? else {
            return Ok(None);
        };
        let author = self
            .accounts
            .of_ids(&[author], deadline)
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

struct Check(FollowerServiceClient<Pool>);

impl BatchHandler for Check {
    type Item = (Uuid, Uuid);
    type Output = bool;

    async fn run(
        &self,
        asked: Vec<(Uuid, Uuid)>,
        deadline: Deadline,
    ) -> Result<Vec<Result<bool, Status>>, Status> {
        let (edges, positions) = dedup(asked);
        let checks = edges.into_iter().map(|(account, other)| FollowCheck {
            follower_id: per_item::encode_id(account),
            followee_id: per_item::encode_id(other),
        });
        let request = deadline.request(CheckFollowsRequest {
            checks: checks.collect(),
        });
        let answers = self
            .0
            .clone()
            .check_follows(request)
            .await?
            .into_inner()
            .following;
        each(&answers, &positions)
    }
}

struct CountFollows(FollowerServiceClient<Pool>);

impl BatchHandler for CountFollows {
    type Item = Uuid;
    type Output = FollowCounts;

    async fn run(
        &self,
        asked: Vec<Uuid>,
        deadline: Deadline,
    ) -> Result<Vec<Result<FollowCounts, Status>>, Status> {
        let (accounts, positions) = dedup(asked);
        let account_ids = accounts.into_iter().map(per_item::encode_id).collect();
        let request = deadline.request(CountFollowsRequest { account_ids });
        let counts = self
            .0
            .clone()
            .count_follows(request)
            .await?
            .into_inner()
            .counts;
        let answers = counts.into_iter().map(|counts| FollowCounts {
            followees: counts.followees,
            followers: counts.followers,
        });
        each(&answers.collect::<Vec<_>>(), &positions)
    }
}

struct CountMessages(MessageServiceClient<Pool>);

impl BatchHandler for CountMessages {
    type Item = Uuid;
    type Output = i64;

    async fn run(
        &self,
        asked: Vec<Uuid>,
        deadline: Deadline,
    ) -> Result<Vec<Result<i64, Status>>, Status> {
        let (accounts, positions) = dedup(asked);
        let author_ids = accounts.into_iter().map(per_item::encode_id).collect();
        let request = deadline.request(CountMessagesRequest { author_ids });
        let answers = self
            .0
            .clone()
            .count_messages(request)
            .await?
            .into_inner()
            .counts;
        each(&answers, &positions)
    }
}

struct Get(MessageServiceClient<Pool>);

impl BatchHandler for Get {
    type Item = Uuid;
    type Output = Option<(Uuid, Arc<str>)>;

    async fn run(
        &self,
        asked: Vec<Uuid>,
        deadline: Deadline,
    ) -> Result<Vec<Result<Self::Output, Status>>, Status> {
        use get_message_result::Outcome;
        let (messages, positions) = dedup(asked);
        let ids: Vec<Bytes> = messages.into_iter().map(per_item::encode_id).collect();
        let request = deadline.request(GetMessagesRequest { ids });
        let response = self.0.clone().get_messages(request).await?.into_inner();
        let answers = response
            .results
            .into_iter()
            .map(|result| match result.outcome {
                Some(Outcome::Message(message)) => Ok(Some((
                    per_item::id("author_id", &message.author_id)?,
                    message.text.into(),
                ))),
                Some(Outcome::Error(error)) if error.code == Code::NotFound as i32 => Ok(None),
                Some(Outcome::Error(error)) => Err(per_item::status(error)),
                None => Err(super::accounts::incomplete()),
            });
        answer_all(&answers.collect::<Vec<_>>(), &positions)
    }
}

/// An answer for everyone who asked.
fn each<T: Clone>(answers: &[T], positions: &[usize]) -> Result<Vec<Result<T, Status>>, Status> {
    Ok(answer_all(answers, positions)?
        .into_iter()
        .map(Ok)
        .collect())
}
