//! Contract of stored messages and of their flags.

use chassis::{per_item::WriteOutcome, stamp::Clock};
use minitwit_message::store::{FlagUpdate, MessageStore, NewMessage};
use uuid::Uuid;

use crate::support::{
    all, by, count, everybody, flag, insert, listed, message, post, stored, update, whole,
};

pub(crate) async fn a_message_that_is_inserted_twice_is_listed_once(store: impl MessageStore) {
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

pub(crate) async fn a_text_is_stored_exactly(store: impl MessageStore) {
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
    let timelines = whole(&store, &queries).await;
    for (place, (sent, found)) in messages.iter().zip(found.await.unwrap()).enumerate() {
        assert_eq!(found, Some(stored(sent)));
        for timeline in &timelines {
            let newest_first = messages.len() - 1 - place;
            assert_eq!(timeline.messages[newest_first], stored(sent));
        }
    }
}

pub(crate) async fn a_flagged_message_is_in_no_list(store: impl MessageStore) {
    let [alice, bob] = [Uuid::now_v7(), Uuid::now_v7()];
    let kept = post(&store, alice).await;
    let hidden = post(&store, alice).await;
    let scopes = [everybody(), by(&[alice]), by(&[alice, bob])];

    assert_eq!(
        flag(&store, hidden, true).await,
        Some(WriteOutcome::Applied)
    );
    for scope in &scopes {
        assert_eq!(listed(&store, all(scope.clone())).await, [kept]);
    }
    assert_eq!(store.find(vec![hidden]).await.unwrap(), [None]);
    assert_eq!(count(&store, alice).await, 1);
    // A repeated insert does not remove the flag.
    insert(&store, vec![message(hidden, alice, "again")]).await;
    assert_eq!(listed(&store, all(everybody())).await, [kept]);

    assert_eq!(
        flag(&store, hidden, false).await,
        Some(WriteOutcome::Applied)
    );
    for scope in &scopes {
        assert_eq!(listed(&store, all(scope.clone())).await, [hidden, kept]);
    }
    assert!(store.find(vec![hidden]).await.unwrap()[0].is_some());
    assert_eq!(count(&store, alice).await, 2);
}

pub(crate) async fn the_greatest_stamp_of_several_flags_wins(store: impl MessageStore) {
    let id = post(&store, Uuid::now_v7()).await;
    let clock = Clock::default();
    let [early, late] = [clock.stamp(), clock.stamp()];
    let set = async |updates: Vec<FlagUpdate>| store.set_flags(updates).await.unwrap();
    let is_shown = async || store.find(vec![id]).await.unwrap()[0].is_some();

    assert_eq!(
        set(vec![update(id, true, late)]).await,
        [Some(WriteOutcome::Applied)]
    );
    assert_eq!(
        set(vec![update(id, true, late)]).await,
        [Some(WriteOutcome::Applied)],
        "a repeated write succeeds again"
    );
    assert_eq!(
        set(vec![update(id, false, early)]).await,
        [Some(WriteOutcome::Superseded(late))]
    );
    assert!(!is_shown().await);

    let unknown = Uuid::now_v7();
    let [one, two] = [clock.stamp(), clock.stamp()];
    let batch = vec![
        update(id, false, two),
        update(unknown, true, two),
        update(id, true, one),
    ];
    let applied = Some(WriteOutcome::Applied);
    assert_eq!(set(batch).await, [applied, None, applied]);
    assert!(is_shown().await);
}

pub(crate) async fn messages_are_found_and_counted_in_the_order_of_the_request(
    store: impl MessageStore,
) {
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
