//! Helpers for messages, timelines and flags.

use chassis::per_item::WriteOutcome;
use minitwit_message::store::{
    ConditionalQuery, FlagUpdate, Message, MessageStore, NewMessage, Scope, Timeline,
    TimelineDelta, TimelineQuery,
};
use uuid::Uuid;

pub(crate) fn everybody() -> Scope {
    Scope::Everybody
}

pub(crate) fn by(authors: &[Uuid]) -> Scope {
    Scope::Authors(authors.to_vec())
}

pub(crate) fn all(scope: Scope) -> TimelineQuery {
    TimelineQuery {
        scope,
        limit: 10_000,
        before: Uuid::max(),
    }
}

pub(crate) fn message(id: Uuid, author_id: Uuid, text: &str) -> NewMessage {
    NewMessage {
        id,
        author_id,
        text: text.to_owned(),
    }
}

pub(crate) fn stored(sent: &NewMessage) -> Message {
    Message {
        id: sent.id,
        author_id: sent.author_id,
        text: sent.text.clone(),
    }
}

pub(crate) async fn insert(store: &impl MessageStore, messages: Vec<NewMessage>) {
    store.insert(messages).await.unwrap();
}

pub(crate) async fn post(store: &impl MessageStore, author: Uuid) -> Uuid {
    let id = Uuid::now_v7();
    insert(store, vec![message(id, author, "hello")]).await;
    id
}

pub(crate) fn update(message_id: Uuid, flagged: bool, stamp: Uuid) -> FlagUpdate {
    FlagUpdate {
        message_id,
        flagged,
        stamp,
        moderator: "the moderator".to_owned(),
        moderator_id: Uuid::nil(),
    }
}

pub(crate) async fn flag(
    store: &impl MessageStore,
    id: Uuid,
    flagged: bool,
) -> Option<WriteOutcome> {
    let updates = vec![update(id, flagged, Uuid::now_v7())];
    store.set_flags(updates).await.unwrap().remove(0)
}

pub(crate) async fn count(store: &impl MessageStore, author: Uuid) -> i64 {
    store.count(vec![author]).await.unwrap().remove(0)
}

pub(crate) fn ids(timeline: &Timeline) -> Vec<Uuid> {
    timeline.messages.iter().map(|message| message.id).collect()
}

/// Timelines as a caller reads them that has no version of them.
pub(crate) async fn whole(store: &impl MessageStore, queries: &[TimelineQuery]) -> Vec<Timeline> {
    let conditional = queries.iter().cloned();
    let conditional = conditional.map(|query| ConditionalQuery { query, known: None });
    let listed = store
        .timelines(&conditional.collect::<Vec<_>>())
        .await
        .unwrap();
    let whole = listed.into_iter().map(|listed| match listed {
        TimelineDelta::Whole(timeline) => Timeline::clone(&timeline),
        other => panic!("{other:?} for a caller without a version"),
    });
    whole.collect()
}

pub(crate) async fn versions(store: &impl MessageStore, queries: &[TimelineQuery]) -> Vec<i64> {
    let timelines = whole(store, queries).await;
    timelines.iter().map(|timeline| timeline.version).collect()
}

pub(crate) async fn listed(store: &impl MessageStore, query: TimelineQuery) -> Vec<Uuid> {
    ids(&whole(store, &[query]).await[0])
}
