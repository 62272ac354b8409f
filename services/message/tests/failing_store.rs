//! Results of calls while the database is unavailable.

use std::sync::Arc;

use bytes::Bytes;
use chassis::per_item::WriteOutcome;
use database::store::StoreError;
use minitwit_message::{
    service::Messages,
    store::{ConditionalQuery, FlagUpdate, Message, MessageStore, NewMessage, TimelineDelta},
};
use minitwit_proto::message::v1::{
    self as proto, Authors, CreateMessagesRequest, Everybody, ListTimelinesRequest,
    list_timeline_result::Outcome, message_service_server::MessageService as _,
    timeline_query::Scope,
};
use tonic::{Code, Request};
use uuid::Uuid;

/// Store whose database is unavailable, except for timelines that need no merging. These are empty.
struct UnavailableStore;

fn unavailable<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable(sqlx::Error::PoolTimedOut))
}

impl MessageStore for UnavailableStore {
    async fn insert(&self, _: Vec<NewMessage>) -> Result<(), StoreError> {
        unavailable()
    }

    async fn timelines(
        &self,
        queries: &[ConditionalQuery],
    ) -> Result<Vec<TimelineDelta>, StoreError> {
        let is_merged = |query: &ConditionalQuery| query.query.scope.author_count() > 1;
        if queries.iter().any(is_merged) {
            return unavailable();
        }
        Ok(vec![TimelineDelta::Whole(Arc::default()); queries.len()])
    }

    async fn find(&self, _: Vec<Uuid>) -> Result<Vec<Option<Message>>, StoreError> {
        unavailable()
    }

    async fn count(&self, _: Vec<Uuid>) -> Result<Vec<i64>, StoreError> {
        unavailable()
    }

    async fn set_flags(&self, _: Vec<FlagUpdate>) -> Result<Vec<Option<WriteOutcome>>, StoreError> {
        unavailable()
    }
}

#[tokio::test]
async fn a_call_is_unavailable_without_details_while_the_database_is_unavailable() {
    let good = proto::NewMessage {
        id: Bytes::from_static(&[7; 16]),
        author_id: Bytes::from_static(&[8; 16]),
        text: "hello".to_owned(),
    };
    let request = CreateMessagesRequest {
        messages: vec![good],
    };
    let status = Messages::new(UnavailableStore)
        .create_messages(Request::new(request))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.message(), "the database is unavailable");
}

#[tokio::test]
async fn an_invalid_item_is_refused_without_the_database() {
    let request = CreateMessagesRequest {
        messages: vec![proto::NewMessage::default()],
    };
    let answer = Messages::new(UnavailableStore)
        .create_messages(Request::new(request))
        .await;
    assert_eq!(answer.unwrap().into_inner().results.len(), 1);
}

#[tokio::test]
async fn a_merged_timeline_fails_without_the_other_timelines() {
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
    let list = async |queries: &[proto::TimelineQuery]| {
        let request = ListTimelinesRequest {
            queries: queries.to_vec(),
        };
        Messages::new(UnavailableStore)
            .list_timelines(Request::new(request))
            .await
    };

    let answer = list(&queries).await.unwrap().into_inner();
    let listed = answer
        .results
        .iter()
        .map(|result| matches!(result.outcome, Some(Outcome::Timeline(_))));
    assert_eq!(listed.collect::<Vec<_>>(), [true, false, true, false]);
    // If all timelines fail, the whole call fails, so the caller can try another replica.
    let status = list(&queries[1..2]).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
}
