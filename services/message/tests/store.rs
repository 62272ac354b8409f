//! The promises that every [`MessageStore`] keeps, checked on each engine.

#![expect(clippy::unwrap_used, reason = "the helpers are tests too")]

use chassis::{
    item::Written,
    stamp::Clock,
    testing::{Engine, TestDatabase, empty_database},
};
use minitwit_message::{
    migrations,
    store::{
        FlagUpdate, Message, MessageStore, NewMessage, Scope, SqlMessageStore, Timeline,
        TimelineQuery,
    },
};
use uuid::Uuid;

async fn the_newest_is_first_and_so_many_as_asked(store: impl MessageStore) {
    let [alice, bob] = [Uuid::now_v7(), Uuid::now_v7()];
    let mut ids = Vec::new();
    for author in [alice, bob, alice, bob, alice] {
        ids.push(post(&store, author).await);
    }
    ids.reverse();

    assert_eq!(listed(&store, all(everybody())).await, ids);
    assert_eq!(
        listed(&store, all(by(&[alice]))).await,
        [ids[0], ids[2], ids[4]]
    );
    for limit in 0..7 {
        let page = TimelineQuery {
            limit,
            ..all(everybody())
        };
        assert_eq!(
            listed(&store, page).await,
            ids[..ids.len().min(limit as usize)]
        );
    }
}

async fn newest_is_by_id_whatever_the_order_of_arrival(store: impl MessageStore) {
    let alice = Uuid::now_v7();
    let [first, second, third] = [(); 3].map(|()| Uuid::now_v7());
    for id in [second, third, first] {
        insert(&store, vec![message(id, alice, "late")]).await;
    }
    for scope in [everybody(), by(&[alice]), by(&[alice, Uuid::now_v7()])] {
        assert_eq!(listed(&store, all(scope)).await, [third, second, first]);
    }
}

async fn pages_show_each_message_once(store: impl MessageStore) {
    let [alice, bob] = [Uuid::now_v7(), Uuid::now_v7()];
    for author in [alice, bob, bob, alice, alice, bob, alice, alice] {
        post(&store, author).await;
    }
    for scope in [everybody(), by(&[alice]), by(&[alice, bob])] {
        let ids = listed(&store, all(scope.clone())).await;
        let mut seen = Vec::new();
        let mut query = TimelineQuery {
            limit: 3,
            ..all(scope)
        };
        loop {
            let page = listed(&store, query.clone()).await;
            let Some(&last) = page.last() else { break };
            query.before = last;
            seen.extend(page);
            // What is posted meanwhile moves no page.
            post(&store, alice).await;
        }
        assert_eq!(seen, ids);
    }
}

async fn inserted_twice_a_message_is_listed_once(store: impl MessageStore) {
    let alice = Uuid::now_v7();
    let once = message(Uuid::now_v7(), alice, "once");
    let other = message(Uuid::now_v7(), alice, "other");
    let changed = message(once.id, alice, "a repetition changes nothing");

    insert(&store, vec![once.clone()]).await;
    insert(&store, vec![once.clone()]).await;
    insert(
        &store,
        vec![other.clone(), changed, other.clone(), once.clone()],
    )
    .await;
    assert_eq!(listed(&store, all(everybody())).await, [other.id, once.id]);
    assert_eq!(count(&store, alice).await, 2);
    let found = store.find(vec![once.id]).await.unwrap().remove(0);
    assert_eq!(found.unwrap().text, "once");
}

async fn a_text_is_kept_exactly(store: impl MessageStore) {
    let controls: String = ('\u{1}'..' ').chain('\u{7f}'..'\u{a0}').collect();
    let long = "å".repeat(5_000);
    let texts = [
        "",
        " ",
        "  around  ",
        "007",
        "1e5",
        "-0",
        "NULL",
        "true",
        "1.0",
        "0x10",
        "æøå ÆØÅ ñ ß",
        "日本語 العربية עברית",
        "👍🏽 👩‍👩‍👧‍👦 🏴󠁧󠁢󠁳󠁣󠁴󠁿",
        "e\u{301} and é",
        "\u{feff}\u{200b}\u{2028}\u{2029}\u{ffff}\u{10ffff}",
        "'single' \"double\" `back`",
        "\\ \\n \\u0041 \\\\",
        "{input} $1 ? %s {} {{}}",
        "{\"a\":[1,null]}",
        "'; DROP TABLE message; --",
        "line\nline\r\nline\ttab",
        &controls,
        &long,
    ];
    let alice = Uuid::now_v7();
    let messages: Vec<NewMessage> = texts
        .iter()
        .map(|text| message(Uuid::now_v7(), alice, text))
        .collect();
    insert(&store, messages.clone()).await;

    let found = store.find(messages.iter().map(|sent| sent.id).collect());
    let queries = [all(everybody()), all(by(&[alice]))];
    let timelines = store.timelines(&queries).await.unwrap();
    for (place, (sent, found)) in messages.iter().zip(found.await.unwrap()).enumerate() {
        assert_eq!(found, Some(stored(sent)));
        for timeline in &timelines {
            let newest_first = messages.len() - 1 - place;
            assert_eq!(timeline.messages[newest_first], stored(sent));
        }
    }
}

async fn a_flagged_message_is_shown_nowhere(store: impl MessageStore) {
    let [alice, bob] = [Uuid::now_v7(), Uuid::now_v7()];
    let kept = post(&store, alice).await;
    let hidden = post(&store, alice).await;
    let scopes = [everybody(), by(&[alice]), by(&[alice, bob])];

    assert_eq!(flag(&store, hidden, true).await, Some(Written::Applied));
    for scope in &scopes {
        assert_eq!(listed(&store, all(scope.clone())).await, [kept]);
    }
    assert_eq!(store.find(vec![hidden]).await.unwrap(), [None]);
    assert_eq!(count(&store, alice).await, 1);
    // A repeated post does not bring it back.
    insert(&store, vec![message(hidden, alice, "again")]).await;
    assert_eq!(listed(&store, all(everybody())).await, [kept]);

    assert_eq!(flag(&store, hidden, false).await, Some(Written::Applied));
    for scope in &scopes {
        assert_eq!(listed(&store, all(scope.clone())).await, [hidden, kept]);
    }
    assert!(store.find(vec![hidden]).await.unwrap()[0].is_some());
    assert_eq!(count(&store, alice).await, 2);
}

async fn of_several_flags_the_greatest_stamp_wins(store: impl MessageStore) {
    let id = post(&store, Uuid::now_v7()).await;
    let clock = Clock::default();
    let [early, late] = [clock.stamp(), clock.stamp()];
    let set = async |updates: Vec<FlagUpdate>| store.set_flags(updates).await.unwrap();
    let is_shown = async || store.find(vec![id]).await.unwrap()[0].is_some();

    assert_eq!(
        set(vec![update(id, true, late)]).await,
        [Some(Written::Applied)]
    );
    assert_eq!(
        set(vec![update(id, true, late)]).await,
        [Some(Written::Applied)],
        "a repeated write succeeds again"
    );
    assert_eq!(
        set(vec![update(id, false, early)]).await,
        [Some(Written::Superseded(late))]
    );
    assert!(!is_shown().await);

    let unknown = Uuid::now_v7();
    let [one, two] = [clock.stamp(), clock.stamp()];
    let batch = vec![
        update(id, false, two),
        update(unknown, true, two),
        update(id, true, one),
    ];
    let applied = Some(Written::Applied);
    assert_eq!(set(batch).await, [applied, None, applied]);
    assert!(is_shown().await);
}

async fn a_version_changes_exactly_when_its_list_does(store: impl MessageStore) {
    let [alice, bob, carol] = [(); 3].map(|()| Uuid::now_v7());
    let queries = [
        all(everybody()),
        all(by(&[alice])),
        all(by(&[alice, bob])),
        TimelineQuery {
            limit: 1,
            ..all(everybody())
        },
    ];
    let versions = async || {
        let versions = store.versions(&queries).await.unwrap();
        assert_eq!(versions, store.versions(&queries).await.unwrap());
        let timelines = store.timelines(&queries).await.unwrap();
        let of_lists: Vec<i64> = timelines.iter().map(|timeline| timeline.version).collect();
        assert_eq!(versions, of_lists);
        versions
    };
    let changed = |before: &[i64], after: &[i64]| -> Vec<bool> {
        before
            .iter()
            .zip(after)
            .map(|(before, after)| before != after)
            .collect()
    };

    let empty = versions().await;
    assert_eq!(empty, [0; 4]);
    let first = post(&store, alice).await;
    let one = versions().await;
    assert_eq!(changed(&empty, &one), [true; 4]);
    post(&store, bob).await;
    let two = versions().await;
    assert_eq!(changed(&one, &two), [true, false, true, true]);
    let foreign = post(&store, carol).await;
    let three = versions().await;
    assert_eq!(changed(&two, &three), [true, false, false, true]);
    insert(&store, vec![message(first, alice, "again")]).await;
    assert_eq!(versions().await, three);
    flag(&store, first, true).await;
    let flagged = versions().await;
    assert_eq!(changed(&three, &flagged), [true, true, true, false]);
    flag(&store, first, false).await;
    assert_eq!(versions().await, three);
    flag(&store, foreign, true).await;
    assert_eq!(versions().await, two);
}

async fn a_late_message_with_an_older_id_changes_the_version(store: impl MessageStore) {
    let alice = Uuid::now_v7();
    let slow = Uuid::now_v7();
    post(&store, alice).await;
    let before = store.versions(&[all(everybody())]).await.unwrap();
    insert(&store, vec![message(slow, alice, "from a slow writer")]).await;
    assert_ne!(store.versions(&[all(everybody())]).await.unwrap(), before);
}

async fn several_authors_are_merged_by_time(store: impl MessageStore) {
    let [alice, bob, carol] = [(); 3].map(|()| Uuid::now_v7());
    let mut ids = Vec::new();
    for author in [alice, carol, bob, alice, bob, carol, alice] {
        let id = post(&store, author).await;
        if author != carol {
            ids.push(id);
        }
    }
    ids.reverse();
    let merged = by(&[bob, Uuid::now_v7(), alice]);
    assert_eq!(listed(&store, all(merged.clone())).await, ids);
    let page = TimelineQuery {
        limit: 2,
        before: ids[1],
        scope: merged,
    };
    assert_eq!(listed(&store, page).await, ids[2..4]);

    // Who follows oneself is named twice.
    let twice = listed(&store, all(by(&[alice, bob, alice]))).await;
    assert_eq!(twice, ids);
    let queries = [all(by(&[alice, bob, alice])), all(by(&[bob, alice]))];
    let versions = store.versions(&queries).await.unwrap();
    assert_eq!(versions[0], versions[1]);
}

async fn timelines_of_many_kinds_answer_in_their_places(store: impl MessageStore) {
    let [alice, bob] = [Uuid::now_v7(), Uuid::now_v7()];
    let one = post(&store, alice).await;
    let two = post(&store, bob).await;
    let three = post(&store, alice).await;
    let few = |scope| TimelineQuery {
        limit: 1,
        ..all(scope)
    };
    let queries = [
        all(by(&[bob])),
        all(everybody()),
        few(by(&[alice])),
        all(by(&[alice, bob])),
        few(everybody()),
        all(by(&[])),
        all(by(&[alice])),
        few(by(&[bob, alice])),
        few(by(&[bob])),
    ];
    let timelines = store.timelines(&queries).await.unwrap();
    let listed: Vec<Vec<Uuid>> = timelines.iter().map(ids).collect();
    let expected: [&[Uuid]; 9] = [
        &[two],
        &[three, two, one],
        &[three],
        &[three, two, one],
        &[three],
        &[],
        &[three, one],
        &[three],
        &[two],
    ];
    assert_eq!(listed, expected);
}

async fn an_unknown_author_has_an_empty_list_of_version_0(store: impl MessageStore) {
    post(&store, Uuid::now_v7()).await;
    let queries = [all(by(&[Uuid::now_v7()])), all(by(&[]))];
    let timelines = store.timelines(&queries).await.unwrap();
    assert_eq!(timelines, [Timeline::default(), Timeline::default()]);
    assert_eq!(store.versions(&queries).await.unwrap(), [0, 0]);
}

async fn messages_are_found_and_counted_in_the_order_asked(store: impl MessageStore) {
    let [alice, bob] = [Uuid::now_v7(), Uuid::now_v7()];
    let one = post(&store, alice).await;
    let two = post(&store, bob).await;
    post(&store, alice).await;

    let wanted = vec![two, Uuid::now_v7(), one, two];
    let found = store.find(wanted).await.unwrap();
    let found: Vec<Option<Uuid>> = found
        .iter()
        .map(|message| message.as_ref().map(|message| message.id))
        .collect();
    assert_eq!(found, [Some(two), None, Some(one), Some(two)]);

    let authors = vec![bob, Uuid::now_v7(), alice, bob];
    assert_eq!(store.count(authors).await.unwrap(), [1, 0, 2, 1]);
}

macro_rules! contract {
    ($($promise:ident),+ $(,)?) => {
        mod sqlite { $(#[tokio::test]
            async fn $promise() {
                let (store, _database) = super::open(super::Engine::Sqlite).await;
                super::$promise(store).await;
            })+ }
        mod postgres { $(#[tokio::test]
            async fn $promise() {
                let (store, _database) = super::open(super::Engine::Postgres).await;
                super::$promise(store).await;
            })+ }
    };
}

contract!(
    the_newest_is_first_and_so_many_as_asked,
    newest_is_by_id_whatever_the_order_of_arrival,
    pages_show_each_message_once,
    inserted_twice_a_message_is_listed_once,
    a_text_is_kept_exactly,
    a_flagged_message_is_shown_nowhere,
    of_several_flags_the_greatest_stamp_wins,
    a_version_changes_exactly_when_its_list_does,
    a_late_message_with_an_older_id_changes_the_version,
    several_authors_are_merged_by_time,
    timelines_of_many_kinds_answer_in_their_places,
    an_unknown_author_has_an_empty_list_of_version_0,
    messages_are_found_and_counted_in_the_order_asked,
);

#[test]
fn both_engines_have_the_same_migrations() {
    migrations().assert_alike();
}

async fn open(engine: Engine) -> (SqlMessageStore, TestDatabase) {
    let database = empty_database(engine).await;
    let store = SqlMessageStore::new(database.open(&migrations()).await);
    (store, database)
}

fn everybody() -> Scope {
    Scope::Everybody
}

fn by(authors: &[Uuid]) -> Scope {
    Scope::Authors(authors.to_vec())
}

fn all(scope: Scope) -> TimelineQuery {
    TimelineQuery {
        scope,
        limit: 10_000,
        before: Uuid::max(),
    }
}

fn message(id: Uuid, author_id: Uuid, text: &str) -> NewMessage {
    NewMessage {
        id,
        author_id,
        text: text.to_owned(),
    }
}

fn stored(sent: &NewMessage) -> Message {
    Message {
        id: sent.id,
        author_id: sent.author_id,
        text: sent.text.clone(),
    }
}

async fn insert(store: &impl MessageStore, messages: Vec<NewMessage>) {
    store.insert(messages).await.unwrap();
}

async fn post(store: &impl MessageStore, author: Uuid) -> Uuid {
    let id = Uuid::now_v7();
    insert(store, vec![message(id, author, "hello")]).await;
    id
}

fn update(message_id: Uuid, flagged: bool, stamp: Uuid) -> FlagUpdate {
    FlagUpdate {
        message_id,
        flagged,
        stamp,
        moderator: "the moderator".to_owned(),
    }
}

async fn flag(store: &impl MessageStore, id: Uuid, flagged: bool) -> Option<Written> {
    let updates = vec![update(id, flagged, Uuid::now_v7())];
    store.set_flags(updates).await.unwrap().remove(0)
}

async fn count(store: &impl MessageStore, author: Uuid) -> i64 {
    store.count(vec![author]).await.unwrap().remove(0)
}

fn ids(timeline: &Timeline) -> Vec<Uuid> {
    timeline.messages.iter().map(|message| message.id).collect()
}

async fn listed(store: &impl MessageStore, query: TimelineQuery) -> Vec<Uuid> {
    let timelines = store.timelines(&[query]).await.unwrap();
    let [timeline] = timelines.try_into().unwrap();
    ids(&timeline)
}
