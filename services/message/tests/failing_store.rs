//! What callers see of a database that is away.

use bytes::Bytes;
use chassis::{item::Written, store::StoreError};
use minitwit_message::{
    service::Messages,
    store::{FlagUpdate, Message, MessageStore, NewMessage, Timeline, TimelineQuery},
};
use minitwit_proto::message::v1::{
    self as proto, CreateMessagesRequest, message_service_server::MessageService as _,
};
use tonic::{Code, Request};
use uuid::Uuid;

struct Away;

fn away<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable(sqlx::Error::PoolTimedOut))
}

impl MessageStore for Away {
    async fn insert(&self, _: Vec<NewMessage>) -> Result<(), StoreError> {
        away()
    }

    async fn versions(&self, _: &[TimelineQuery]) -> Result<Vec<i64>, StoreError> {
        away()
    }

    async fn timelines(&self, _: &[TimelineQuery]) -> Result<Vec<Timeline>, StoreError> {
        away()
    }

    async fn find(&self, _: Vec<Uuid>) -> Result<Vec<Option<Message>>, StoreError> {
        away()
    }

    async fn count(&self, _: Vec<Uuid>) -> Result<Vec<i64>, StoreError> {
        away()
    }

    async fn set_flags(&self, _: Vec<FlagUpdate>) -> Result<Vec<Option<Written>>, StoreError> {
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
    assert_eq!(status.message(), "the database is away");
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
