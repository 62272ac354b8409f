//! Timelines that the gateway serves from its cache.

use chassis::{per_item, stamp};
use http::StatusCode;
use minitwit_proto::{
    common::v1::Unchanged,
    message::v1::{
        ListTimelineResult, ListTimelinesResponse, Message, Timeline, TimelineQuery,
        list_timeline_result::Outcome,
    },
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    fake::account_id,
    setup::{Answer, Client, Setup},
};

/// Time of the first message, in milliseconds since 1970.
const FIRST_MILLIS: u64 = 1_700_000_000_000;

/// Version of the first timeline that the service returns.
const FIRST_VERSION: i64 = 5;

/// Id of a message. A message with a greater number is newer by one second.
fn id(number: u64) -> Uuid {
    stamp::from_name(FIRST_MILLIS + number * 1000, 0)
}

fn message(number: u64, author: &str, text: &str) -> Message {
    Message {
        id: per_item::encode_id(id(number)),
        author_id: account_id(author),
        text: text.to_owned(),
    }
}

/// Scripts the service. The first call receives the messages 1 and 2. Each later call receives
/// `later`.
fn script(setup: &Setup, later: Outcome) {
    let mut known = false;
    setup.message().list_timelines.answer_with(move |_| {
        let outcome = if known {
            later.clone()
        } else {
            Outcome::Timeline(Timeline {
                version: FIRST_VERSION,
                messages: vec![
                    message(2, "amy", "text two"),
                    message(1, "roger", "text one"),
                ],
            })
        };
        known = true;
        Ok(ListTimelinesResponse {
            results: vec![ListTimelineResult::from(outcome)],
        })
    });
}

/// Requests a path twice, and checks that the second query names the version and the newest message of the
/// first response.
async fn get_twice(setup: &Setup, client: &Client, path: &str) -> (Answer, Answer) {
    let (first, second) = (client.get(path).await, client.get(path).await);
    for answer in [&first, &second] {
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }
    let requests = setup.message().list_timelines.requests();
    let queries: Vec<&TimelineQuery> = requests
        .iter()
        .flat_map(|request| &request.queries)
        .collect();
    let [unknown, known] = queries[..] else {
        panic!("two queries are expected, not {}", queries.len());
    };
    assert_eq!(unknown.known_version, None);
    assert_eq!(unknown.known_newest_id, None);
    assert_eq!(known.known_version, Some(FIRST_VERSION));
    assert_eq!(known.known_newest_id, Some(per_item::encode_id(id(2))));
    (first, second)
}

/// Checks that `body` contains each text once, in the order of `texts`.
fn assert_order(body: &str, element: impl Fn(&str) -> String, texts: &[&str]) {
    let positions: Vec<usize> = texts
        .iter()
        .map(|text| {
            let found: Vec<_> = body.match_indices(&element(text)).collect();
            assert_eq!(found.len(), 1, "{text:?} in {body}");
            found[0].0
        })
        .collect();
    assert!(positions.is_sorted(), "{texts:?} in {body}");
}

/// Update that adds message 3.
fn added() -> Outcome {
    Outcome::Added(Timeline {
        version: FIRST_VERSION + 1,
        messages: vec![message(3, "amy", "text three")],
    })
}

#[tokio::test]
async fn an_unchanged_timeline_is_served_from_the_cache() {
    let setup = Setup::new().await;
    script(&setup, Outcome::Unchanged(Unchanged {}));
    let (first, second) = get_twice(&setup, &setup.api, "/msgs").await;
    let expected = json!([
        { "content": "text two", "pub_date": 1_700_000_002, "user": "amy" },
        { "content": "text one", "pub_date": 1_700_000_001, "user": "roger" },
    ]);
    for answer in [first, second] {
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(body, expected);
    }
    // The first response put the authors into the cache of accounts.
    assert_eq!(setup.user.lookup_users.requests().len(), 1);
}

#[tokio::test]
async fn an_added_message_precedes_the_cached_messages_in_json() {
    let setup = Setup::new().await;
    script(&setup, added());
    let (_, second) = get_twice(&setup, &setup.api, "/msgs").await;
    let body: Value = serde_json::from_str(&second.body).unwrap();
    let expected = json!([
        { "content": "text three", "pub_date": 1_700_000_003, "user": "amy" },
        { "content": "text two", "pub_date": 1_700_000_002, "user": "amy" },
        { "content": "text one", "pub_date": 1_700_000_001, "user": "roger" },
    ]);
    assert_eq!(body, expected);
}

#[tokio::test]
async fn an_added_message_precedes_the_cached_messages_on_a_page() {
    let setup = Setup::new().await;
    script(&setup, added());
    let (first, second) = get_twice(&setup, &setup.pages, "/public").await;
    let element = str::to_owned;
    assert_order(&first.body, element, &["text two", "text one"]);
    assert_order(
        &second.body,
        element,
        &["text three", "text two", "text one"],
    );
}

#[tokio::test]
async fn an_added_message_precedes_the_cached_messages_in_an_atom_feed() {
    let setup = Setup::new().await;
    script(&setup, added());
    let (first, second) = get_twice(&setup, &setup.pages, "/-/public.atom").await;
    let element = |text: &str| format!("<title>{text}</title>");
    assert_order(&first.body, element, &["text two", "text one"]);
    assert_order(
        &second.body,
        element,
        &["text three", "text two", "text one"],
    );
    assert_ne!(first.headers["etag"], second.headers["etag"]);
}
