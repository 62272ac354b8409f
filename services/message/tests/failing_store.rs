//! What callers see of a database that is away.

use std::sync::Arc;

use bytes::Bytes;
use chassis::per_item::WriteOutcome;
use database::store::StoreError;
use minitwit_message::{
    service::Messages,
    store::{Asked, FlagUpdate, Listed, Message, MessageStore, NewMessage},
};
use minitwit_proto::message::v1::{
    self as proto, Authors, CreateMessagesRequest, Everybody, ListTimelinesRequest,
    list_timeline_result::Outcome, message_service_server::MessageService as _,
    timeline_query::Scope,
};
use tonic::{Code, Request};
use uuid::Uuid;

/// A database that is away, but for timelines that merge nothing, which are empty.
struct Away;

fn away<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable(sqlx::Error::PoolTimedOut))
}

impl MessageStore for Away {
    async fn insert(&self, _: Vec<NewMessage>) -> Result<(), StoreError> {
        away()
    }

    async fn timelines(&self, asked: &[Asked]) -> Result<Vec<Listed>, StoreError> {
        if asked.iter().any(|ask| ask.query.scope.merged() > 1) {
            return away();
        }
        Ok(vec![Listed::Whole(Arc::default()); asked.len()])
    }

    async fn find(&self, _: Vec<Uuid>) -> Result<Vec<Option<Message>>, StoreError> {
        away()
    }

    async fn count(&self, _: Vec<Uuid>) -> Result<Vec<i64>, StoreError> {
        away()
    }

    async fn set_flags(&self, _: Vec<FlagUpdate>) -> Result<Vec<Option<WriteOutcome>>, StoreError> {
        away()
    }
}

#[tokio::test]
async fn a_database_that_is_away_is_unavailable_and_nothing_more_is_told() {
    let good = proto::NewMessage {
        id: Bytes::from_static(&[7; 16]),
        author_id: Bytes::from_static(&[8; 16]),
        text: "hello".to_owned(),
    };
    let request = CreateMessagesRequest {
        messages: vec![good],
    };
    let status = Messages::new(Away)
        .create_messages(Request::new(request))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.message(), "the database is unavailable");
}

#[tokio::test]
async fn what_is_not_valid_is_refused_without_the_database() {
    let request = CreateMessagesRequest {
        messages: vec![proto::NewMessage::default()],
    };
    let answer = Messages::new(Away)
        .create_messages(Request::new(request))
        .await;
    assert_eq!(answer.unwrap().into_inner().results.len(), 1);
}

#[tokio::test]
async fn a_merged_timeline_that_fails_concerns_no_other() {
    let authors = |count: usize| {
        Scope::Authors(Authors {
            ids: vec![7; 16 * count].into(),
        })
    };
    let scopes = [
        Scope::Everybody(Everybody {}),
        authors(2),
        authors(1),
        authors(3),
    ];
    let queries = scopes.map(|scope| proto::TimelineQuery {
        scope: Some(scope),
        limit: 10,
        ..proto::TimelineQuery::default()
    });
    let ask = async |queries: &[proto::TimelineQuery]| {
        let request = ListTimelinesRequest {
            queries: queries.to_vec(),
        };
        Messages::new(Away)
            .list_timelines(Request::new(request))
            .await
    };

    let answer = ask(&queries).await.unwrap().into_inner();
    let listed = answer
        .results
        .iter()
        .map(|result| matches!(result.outcome, Some(Outcome::Timeline(_))));
    assert_eq!(listed.collect::<Vec<_>>(), [true, false, true, false]);
    // When all fail, it is said of the whole, and may be asked of another replica.
    let status = ask(&queries[1..2]).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
}
