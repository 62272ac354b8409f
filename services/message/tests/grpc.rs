//! The message service through a real client.

#![expect(clippy::unwrap_used, reason = "the helpers are tests too")]

use bytes::Bytes;
use chassis::testing::{Engine, RunningService, TestDatabase, empty_database};
use minitwit_message::{migrations, serve};
use minitwit_proto::{
    common::v1::{Applied, ItemError, Superseded, Unchanged},
    message::v1::{
        Authors, CountMessagesRequest, CreateMessagesRequest, Everybody, FlagUpdate,
        GetMessagesRequest, ListTimelinesRequest, Message, NewMessage, SetFlagsRequest, Timeline,
        TimelineQuery, create_message_result, get_message_result, list_timeline_result,
        message_service_client::MessageServiceClient, set_flag_result, timeline_query::Scope,
    },
};
use tonic::{Code, transport::Channel};
use uuid::Uuid;

/// A client, and what it takes to answer it.
struct Service {
    client: MessageServiceClient<Channel>,
    _running: RunningService,
    _database: TestDatabase,
}

async fn service() -> Service {
    let database = empty_database(Engine::Sqlite).await;
    database.open(&migrations()).await.close().await;
    let running = RunningService::start(database.service_config(), serve).await;
    Service {
        client: MessageServiceClient::new(running.channel().await),
        _running: running,
        _database: database,
    }
}

#[tokio::test]
async fn a_bad_message_is_answered_in_its_place() {
    let mut service = service().await;
    let alice = Uuid::now_v7();
    let longest = message(alice, &"x".repeat(10_000));
    let empty = message(alice, "");
    let messages = vec![
        NewMessage {
            id: Bytes::new(),
            ..message(alice, "no id")
        },
        longest.clone(),
        NewMessage {
            author_id: Bytes::from_static(b"alice"),
            ..message(alice, "no author")
        },
        message(alice, &"x".repeat(10_001)),
        message(alice, &"å".repeat(5_001)),
        message(alice, "a\0b"),
        empty.clone(),
    ];
    let invalid = |message: &str| {
        create_message_result::Outcome::Error(error(Code::InvalidArgument, message))
    };
    let applied = || create_message_result::Outcome::Applied(Applied {});
    assert_eq!(
        service.create(messages).await,
        [
            invalid("id must be 16 bytes, not 0"),
            applied(),
            invalid("author_id must be 16 bytes, not 5"),
            invalid("the text has 10001 bytes, at most 10000 are taken"),
            invalid("the text has 10002 bytes, at most 10000 are taken"),
            invalid("the text contains a NUL character"),
            applied(),
        ]
    );
    let timeline = service.timeline(everybody()).await;
    assert_eq!(timeline.messages, [stored(&empty), stored(&longest)]);
}

#[tokio::test]
async fn a_repeated_message_succeeds_again_and_stands_once() {
    let mut service = service().await;
    let sent = message(Uuid::now_v7(), "hello");
    let applied = create_message_result::Outcome::Applied(Applied {});

    for _ in 0..2 {
        let outcomes = service.create(vec![sent.clone(), sent.clone()]).await;
        assert_eq!(outcomes, [applied.clone(), applied.clone()]);
    }
    assert_eq!(
        service.timeline(everybody()).await.messages,
        [stored(&sent)]
    );
}

#[tokio::test]
async fn a_bad_timeline_is_answered_in_its_place() {
    let mut service = service().await;
    let [alice, bob] = [Uuid::now_v7(), Uuid::now_v7()];
    let sent = [message(alice, "one"), message(bob, "two")];
    service.create(sent.to_vec()).await;
    let scope = |ids: Vec<u8>| TimelineQuery {
        scope: Some(Scope::Authors(Authors { ids: ids.into() })),
        limit: 10,
        ..TimelineQuery::default()
    };
    let queries = vec![
        TimelineQuery::default(),
        by(&[alice]),
        scope(vec![7; 17]),
        TimelineQuery {
            before_id: Bytes::from_static(b"yesterday"),
            ..everybody()
        },
        scope(vec![7; 16 * 20_002]),
        by(&[alice, bob]),
    ];
    let invalid =
        |message: &str| list_timeline_result::Outcome::Error(error(Code::InvalidArgument, message));
    let outcomes = service.list(queries).await;
    assert_eq!(outcomes[0], invalid("a timeline needs a scope"));
    assert_eq!(shown(&outcomes[1]), [stored(&sent[0])]);
    assert_eq!(
        outcomes[2..5],
        [
            invalid("authors.ids must be a multiple of 16 bytes, not 17"),
            invalid("before_id must be 16 bytes, not 9"),
            invalid("20002 authors are asked for, at most 20001 can be merged"),
        ]
    );
    assert_eq!(shown(&outcomes[5]), [stored(&sent[1]), stored(&sent[0])]);
}

#[tokio::test]
async fn a_timeline_whose_version_is_known_is_unchanged_until_it_changes() {
    let mut service = service().await;
    let alice = Uuid::now_v7();
    let first = message(alice, "first");
    service.create(vec![first.clone()]).await;
    let timeline = service.timeline(everybody()).await;
    let known = |version, query| TimelineQuery {
        known_version: Some(version),
        ..query
    };

    let queries = vec![
        known(timeline.version, everybody()),
        known(timeline.version ^ 1, everybody()),
        everybody(),
        known(timeline.version, by(&[alice])),
    ];
    let unchanged = list_timeline_result::Outcome::Unchanged(Unchanged {});
    let whole = list_timeline_result::Outcome::Timeline(timeline.clone());
    let outcomes = service.list(queries).await;
    assert_eq!(
        outcomes,
        [unchanged.clone(), whole.clone(), whole, unchanged]
    );

    let second = message(alice, "second");
    service.create(vec![second.clone()]).await;
    let outcomes = service
        .list(vec![known(timeline.version, everybody())])
        .await;
    assert_eq!(shown(&outcomes[0]), [stored(&second), stored(&first)]);
}

#[tokio::test]
async fn pages_are_cut_and_continued() {
    let mut service = service().await;
    let sent = ["one", "two", "three"].map(|text| message(Uuid::now_v7(), text));
    service.create(sent.to_vec()).await;
    let page = |limit, before_id| TimelineQuery {
        limit,
        before_id,
        ..everybody()
    };
    let queries = vec![
        page(2, Bytes::new()),
        page(2, sent[1].id.clone()),
        page(0, Bytes::new()),
        page(u32::MAX, Bytes::new()),
    ];
    let pages: Vec<Vec<String>> = service
        .list(queries)
        .await
        .iter()
        .map(|outcome| {
            shown(outcome)
                .into_iter()
                .map(|message| message.text)
                .collect()
        })
        .collect();
    let expected: [&[&str]; 4] = [&["three", "two"], &["one"], &[], &["three", "two", "one"]];
    assert_eq!(pages, expected);
}

#[tokio::test]
async fn messages_are_found_and_counted() {
    let mut service = service().await;
    let [alice, bob] = [Uuid::now_v7(), Uuid::now_v7()];
    let sent = [message(alice, "one"), message(alice, "two")];
    service.create(sent.to_vec()).await;
    let unknown = Uuid::now_v7();

    let ids = vec![
        wire(unknown),
        sent[1].id.clone(),
        Bytes::from_static(b"two"),
        sent[0].id.clone(),
    ];
    let found = |message| get_message_result::Outcome::Message(stored(message));
    let failed = |code, message: &str| get_message_result::Outcome::Error(error(code, message));
    assert_eq!(
        service.find(ids).await,
        [
            failed(Code::NotFound, &format!("no message {unknown}")),
            found(&sent[1]),
            failed(Code::InvalidArgument, "id must be 16 bytes, not 3"),
            found(&sent[0]),
        ]
    );

    let request = CountMessagesRequest {
        author_ids: [alice, bob, alice].map(wire).to_vec(),
    };
    let answer = service.client.count_messages(request).await.unwrap();
    assert_eq!(answer.into_inner().counts, [2, 0, 2]);
    let request = CountMessagesRequest {
        author_ids: vec![Bytes::from_static(b"alice")],
    };
    let status = service.client.count_messages(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_flag_hides_a_message_until_it_is_taken_back() {
    let mut service = service().await;
    let sent = message(Uuid::now_v7(), "rude");
    let id = sent.id.clone();
    service.create(vec![sent.clone()]).await;
    let applied = || set_flag_result::Outcome::Applied(Applied {});
    let stamps = [(); 3].map(|()| Uuid::now_v7());

    let flagged = service.flag(vec![flag(&id, true, stamps[1])]).await;
    assert_eq!(flagged, [applied()]);
    assert_eq!(service.timeline(everybody()).await, Timeline::default());
    let outcomes = service.find(vec![id.clone()]).await;
    assert!(matches!(
        &outcomes[..],
        [get_message_result::Outcome::Error(_)]
    ));

    let superseded = set_flag_result::Outcome::Superseded(Superseded {
        stored_stamp: wire(stamps[1]),
    });
    let late = service.flag(vec![flag(&id, false, stamps[0])]).await;
    assert_eq!(late, [superseded]);
    let unflagged = service.flag(vec![flag(&id, false, stamps[2])]).await;
    assert_eq!(unflagged, [applied()]);
    assert_eq!(
        service.timeline(everybody()).await.messages,
        [stored(&sent)]
    );
}

#[tokio::test]
async fn a_bad_flag_is_answered_in_its_place() {
    let mut service = service().await;
    let sent = message(Uuid::now_v7(), "rude");
    service.create(vec![sent.clone()]).await;
    let unknown = Uuid::now_v7();
    let stamp = Uuid::now_v7();
    let updates = vec![
        flag(&wire(unknown), true, stamp),
        flag(&Bytes::new(), true, stamp),
        flag(&sent.id, true, stamp),
        FlagUpdate {
            stamp: Bytes::from_static(b"now"),
            ..flag(&sent.id, true, stamp)
        },
    ];
    let failed = |code, message: &str| set_flag_result::Outcome::Error(error(code, message));
    assert_eq!(
        service.flag(updates).await,
        [
            failed(Code::NotFound, &format!("no message {unknown}")),
            failed(Code::InvalidArgument, "message_id must be 16 bytes, not 0"),
            set_flag_result::Outcome::Applied(Applied {}),
            failed(Code::InvalidArgument, "stamp must be 16 bytes, not 3"),
        ]
    );
}

#[tokio::test]
async fn nothing_asked_is_nothing_answered() {
    let mut service = service().await;
    assert_eq!(service.create(Vec::new()).await, []);
    assert_eq!(service.list(Vec::new()).await, []);
    assert_eq!(service.find(Vec::new()).await, []);
    assert_eq!(service.flag(Vec::new()).await, []);
    let counted = service
        .client
        .count_messages(CountMessagesRequest::default());
    assert!(counted.await.unwrap().into_inner().counts.is_empty());
}

impl Service {
    async fn create(&mut self, messages: Vec<NewMessage>) -> Vec<create_message_result::Outcome> {
        let request = CreateMessagesRequest { messages };
        let answer = self.client.create_messages(request).await.unwrap();
        let results = answer.into_inner().results.into_iter();
        results.map(|result| result.outcome.unwrap()).collect()
    }

    async fn list(&mut self, queries: Vec<TimelineQuery>) -> Vec<list_timeline_result::Outcome> {
        let request = ListTimelinesRequest { queries };
        let answer = self.client.list_timelines(request).await.unwrap();
        let results = answer.into_inner().results.into_iter();
        results.map(|result| result.outcome.unwrap()).collect()
    }

    async fn timeline(&mut self, query: TimelineQuery) -> Timeline {
        match self.list(vec![query]).await.remove(0) {
            list_timeline_result::Outcome::Timeline(timeline) => timeline,
            other => panic!("{other:?}"),
        }
    }

    async fn find(&mut self, ids: Vec<Bytes>) -> Vec<get_message_result::Outcome> {
        let request = GetMessagesRequest { ids };
        let answer = self.client.get_messages(request).await.unwrap();
        let results = answer.into_inner().results.into_iter();
        results.map(|result| result.outcome.unwrap()).collect()
    }

    async fn flag(&mut self, updates: Vec<FlagUpdate>) -> Vec<set_flag_result::Outcome> {
        let request = SetFlagsRequest { updates };
        let answer = self.client.set_flags(request).await.unwrap();
        let results = answer.into_inner().results.into_iter();
        results.map(|result| result.outcome.unwrap()).collect()
    }
}

fn wire(id: Uuid) -> Bytes {
    Bytes::copy_from_slice(id.as_bytes())
}

fn message(author: Uuid, text: &str) -> NewMessage {
    NewMessage {
        id: wire(Uuid::now_v7()),
        author_id: wire(author),
        text: text.to_owned(),
    }
}

fn stored(sent: &NewMessage) -> Message {
    Message {
        id: sent.id.clone(),
        author_id: sent.author_id.clone(),
        text: sent.text.clone(),
    }
}

fn everybody() -> TimelineQuery {
    TimelineQuery {
        scope: Some(Scope::Everybody(Everybody {})),
        limit: 100,
        ..TimelineQuery::default()
    }
}

fn by(authors: &[Uuid]) -> TimelineQuery {
    TimelineQuery {
        scope: Some(Scope::Authors(Authors {
            ids: chassis::item::concat(authors),
        })),
        ..everybody()
    }
}

fn shown(outcome: &list_timeline_result::Outcome) -> Vec<Message> {
    match outcome {
        list_timeline_result::Outcome::Timeline(timeline) => timeline.messages.clone(),
        other => panic!("{other:?}"),
    }
}

fn flag(message_id: &Bytes, flagged: bool, stamp: Uuid) -> FlagUpdate {
    FlagUpdate {
        message_id: message_id.clone(),
        flagged,
        stamp: wire(stamp),
        moderator: "the moderator".to_owned(),
    }
}

fn error(code: Code, message: &str) -> ItemError {
    ItemError {
        code: code.into(),
        message: message.to_owned(),
    }
}
