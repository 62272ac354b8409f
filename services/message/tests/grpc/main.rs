//! Tests of the service over gRPC.

#![expect(clippy::unwrap_used, reason = "the helpers are tests too")]

mod paging;
mod support;

use bytes::Bytes;
use minitwit_proto::{
    common::v1::{Applied, Superseded, Unchanged},
    message::v1::{
        Authors, CountMessagesRequest, FlagUpdate, NewMessage, Timeline, TimelineQuery,
        create_message_result, get_message_result, list_timeline_result, set_flag_result,
        timeline_query::Scope,
    },
};
use tonic::Code;
use uuid::Uuid;

use crate::support::{by, error, everybody, flag, message, service, shown, stored, wire};

#[tokio::test]
async fn an_invalid_message_fails_alone() {
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
async fn a_repeated_message_succeeds_and_is_stored_once() {
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
async fn an_invalid_query_fails_alone() {
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
        TimelineQuery {
            known_version: Some(1),
            known_newest_id: Some(Bytes::from_static(b"now")),
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
        outcomes[2..6],
        [
            invalid("authors.ids must be a multiple of 16 bytes, not 17"),
            invalid("before_id must be 16 bytes, not 9"),
            invalid("known_newest_id must be 16 bytes, not 3"),
            invalid("20002 authors are asked for, at most 20001 can be merged"),
        ]
    );
    assert_eq!(shown(&outcomes[6]), [stored(&sent[1]), stored(&sent[0])]);
}

#[tokio::test]
async fn a_known_timeline_is_unchanged_until_its_messages_change() {
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
async fn a_page_has_at_most_its_limit_and_the_next_page_continues_it() {
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
async fn a_flag_hides_a_message_until_it_is_removed() {
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
async fn an_invalid_flag_fails_alone() {
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
async fn an_empty_request_has_an_empty_response() {
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
