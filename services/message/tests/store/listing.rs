//! Contract of timelines, their pages and their versions.

use minitwit_message::store::{
    ConditionalQuery, KnownVersion, MessageStore, Timeline, TimelineDelta, TimelineQuery,
};
use uuid::Uuid;

use crate::support::{
    all, by, everybody, flag, ids, insert, listed, message, post, versions, whole,
};

pub(crate) async fn the_newest_message_is_first_and_a_page_has_at_most_its_limit(
    store: impl MessageStore,
) {
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

pub(crate) async fn messages_are_ordered_by_id_and_not_by_arrival(store: impl MessageStore) {
    let alice = Uuid::now_v7();
    let [first, second, third] = [(); 3].map(|()| Uuid::now_v7());
    for id in [second, third, first] {
        insert(&store, vec![message(id, alice, "late")]).await;
    }
    for scope in [everybody(), by(&[alice]), by(&[alice, Uuid::now_v7()])] {
        assert_eq!(listed(&store, all(scope)).await, [third, second, first]);
    }
}

pub(crate) async fn pages_list_each_message_once(store: impl MessageStore) {
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
            // A message that is posted meanwhile does not shift the pages.
            post(&store, alice).await;
        }
        assert_eq!(seen, ids);
    }
}

pub(crate) async fn a_version_changes_when_its_list_changes(store: impl MessageStore) {
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
    let now = async || {
        let versions = versions(&store, &queries).await;
        let known = queries.iter().cloned().zip(&versions);
        let conditional = known.map(|(query, &version)| {
            let newest = None;
            let known = Some(KnownVersion { version, newest });
            ConditionalQuery { query, known }
        });
        let deltas = store
            .timelines(&conditional.collect::<Vec<_>>())
            .await
            .unwrap();
        assert_eq!(deltas, [(); 4].map(|()| TimelineDelta::Unchanged));
        versions
    };
    let changed = |before: &[i64], after: &[i64]| -> Vec<bool> {
        before
            .iter()
            .zip(after)
            .map(|(before, after)| before != after)
            .collect()
    };

    let empty = now().await;
    assert_eq!(empty, [0; 4]);
    let first = post(&store, alice).await;
    let one = now().await;
    assert_eq!(changed(&empty, &one), [true; 4]);
    post(&store, bob).await;
    let two = now().await;
    assert_eq!(changed(&one, &two), [true, false, true, true]);
    let foreign = post(&store, carol).await;
    let three = now().await;
    assert_eq!(changed(&two, &three), [true, false, false, true]);
    insert(&store, vec![message(first, alice, "again")]).await;
    assert_eq!(now().await, three);
    flag(&store, first, true).await;
    let flagged = now().await;
    assert_eq!(changed(&three, &flagged), [true, true, true, false]);
    flag(&store, first, false).await;
    assert_eq!(now().await, three);
    flag(&store, foreign, true).await;
    assert_eq!(now().await, two);
}

pub(crate) async fn a_late_message_with_an_older_id_changes_the_version(store: impl MessageStore) {
    let alice = Uuid::now_v7();
    let slow = Uuid::now_v7();
    post(&store, alice).await;
    let before = versions(&store, &[all(everybody())]).await;
    insert(&store, vec![message(slow, alice, "from a slow writer")]).await;
    assert_ne!(versions(&store, &[all(everybody())]).await, before);
}

pub(crate) async fn several_authors_are_merged_by_time(store: impl MessageStore) {
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

    // An account that follows itself occurs twice among the authors.
    let twice = listed(&store, all(by(&[alice, bob, alice]))).await;
    assert_eq!(twice, ids);
    let queries = [all(by(&[alice, bob, alice])), all(by(&[bob, alice]))];
    let versions = versions(&store, &queries).await;
    assert_eq!(versions[0], versions[1]);
}

pub(crate) async fn results_of_many_kinds_of_queries_are_in_the_order_of_the_request(
    store: impl MessageStore,
) {
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
    let timelines = whole(&store, &queries).await;
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

pub(crate) async fn an_unknown_author_has_an_empty_list_of_version_0(store: impl MessageStore) {
    post(&store, Uuid::now_v7()).await;
    let queries = [all(by(&[Uuid::now_v7()])), all(by(&[]))];
    let timelines = whole(&store, &queries).await;
    assert_eq!(timelines, [Timeline::default(), Timeline::default()]);
}
