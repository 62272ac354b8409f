//! A running service, and helpers for its messages.

use bytes::Bytes;
use minitwit_message::{migrations, serve};
use minitwit_proto::{
    common::v1::ItemError,
    message::v1::{
        Authors, CreateMessagesRequest, Everybody, FlagUpdate, GetMessagesRequest,
        ListTimelinesRequest, Message, NewMessage, SetFlagsRequest, Timeline, TimelineQuery,
        create_message_result, get_message_result, list_timeline_result,
        message_service_client::MessageServiceClient, set_flag_result, timeline_query::Scope,
    },
};
use test_database::{Engine, RunningService, TestDatabase, empty_database};
use tonic::{Code, transport::Channel};
use uuid::Uuid;

/// A client of a running service.
pub(crate) struct Service {
    pub(crate) client: MessageServiceClient<Channel>,
    pub(crate) running: RunningService,
    _database: TestDatabase,
}

pub(crate) async fn service() -> Service {
    let database = empty_database(Engine::Sqlite).await;
    database.open(&migrations()).await.close().await;
    let running = RunningService::start(database.service_config(), serve).await;
    Service {
        client: MessageServiceClient::new(running.channel().await),
        running,
        _database: database,
    }
}

impl Service {
    pub(crate) async fn create(
        &mut self,
        messages: Vec<NewMessage>,
    ) -> Vec<create_message_result::Outcome> {
        let request = CreateMessagesRequest { messages };
        let answer = self.client.create_messages(request).await.unwrap();
        let results = answer.into_inner().results.into_iter();
        results.map(|result| result.outcome.unwrap()).collect()
    }

    pub(crate) async fn list(
        &mut self,
        queries: Vec<TimelineQuery>,
    ) -> Vec<list_timeline_result::Outcome> {
        let request = ListTimelinesRequest { queries };
        let answer = self.client.list_timelines(request).await.unwrap();
        let results = answer.into_inner().results.into_iter();
        results.map(|result| result.outcome.unwrap()).collect()
    }

    pub(crate) async fn timeline(&mut self, query: TimelineQuery) -> Timeline {
        match self.list(vec![query]).await.remove(0) {
            list_timeline_result::Outcome::Timeline(timeline) => timeline,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn find(&mut self, ids: Vec<Bytes>) -> Vec<get_message_result::Outcome> {
        let request = GetMessagesRequest { ids };
        let answer = self.client.get_messages(request).await.unwrap();
        let results = answer.into_inner().results.into_iter();
        results.map(|result| result.outcome.unwrap()).collect()
    }

    pub(crate) async fn flag(&mut self, updates: Vec<FlagUpdate>) -> Vec<set_flag_result::Outcome> {
        let request = SetFlagsRequest { updates };
        let answer = self.client.set_flags(request).await.unwrap();
        let results = answer.into_inner().results.into_iter();
        results.map(|result| result.outcome.unwrap()).collect()
    }
}

pub(crate) fn wire(id: Uuid) -> Bytes {
    Bytes::copy_from_slice(id.as_bytes())
}

pub(crate) fn message(author: Uuid, text: &str) -> NewMessage {
    NewMessage {
        id: wire(Uuid::now_v7()),
        author_id: wire(author),
        text: text.to_owned(),
    }
}

pub(crate) fn stored(sent: &NewMessage) -> Message {
    Message {
        id: sent.id.clone(),
        author_id: sent.author_id.clone(),
        text: sent.text.clone(),
    }
}

pub(crate) fn everybody() -> TimelineQuery {
    TimelineQuery {
        scope: Some(Scope::Everybody(Everybody {})),
        limit: 100,
        ..TimelineQuery::default()
    }
}

pub(crate) fn by(authors: &[Uuid]) -> TimelineQuery {
    TimelineQuery {
        scope: Some(Scope::Authors(Authors {
            ids: chassis::per_item::encode_ids(authors),
        })),
        ..everybody()
    }
}

pub(crate) fn shown(outcome: &list_timeline_result::Outcome) -> Vec<Message> {
    match outcome {
        list_timeline_result::Outcome::Timeline(timeline) => timeline.messages.clone(),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn flag(message_id: &Bytes, flagged: bool, stamp: Uuid) -> FlagUpdate {
    FlagUpdate {
        message_id: message_id.clone(),
        flagged,
        stamp: wire(stamp),
        moderator: "the moderator".to_owned(),
        moderator_id: Bytes::new(),
    }
}

pub(crate) fn error(code: Code, message: &str) -> ItemError {
    ItemError {
        code: code.into(),
        message: message.to_owned(),
        ..ItemError::default()
    }
}
