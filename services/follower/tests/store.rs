//! Contract of [`FollowerStore`], tested on each engine.

#![expect(clippy::unwrap_used, reason = "the helpers are tests too")]

use chassis::{per_item::WriteOutcome, stamp::Clock};
use minitwit_follower::{
    migrations,
    store::{
        ConditionalQuery, Direction, Edge, FollowCounts, FollowList, FollowUpdate, FollowerStore,
        FollowsQuery, SqlFollowerStore,
    },
};
use test_database::{Engine, TestDatabase, empty_database};
use uuid::Uuid;

const NO_ACCOUNTS: [Uuid; 0] = [];

async fn a_followed_account_is_listed_once(store: impl FollowerStore) {
    let [alice, bob, carol] = accounts();
    follow(&store, alice, carol).await;
    follow(&store, alice, bob).await;
    follow(&store, alice, bob).await;

    assert_eq!(followees(&store, alice).await, [bob, carol]);
    assert_eq!(followers(&store, bob).await, [alice]);
    assert_eq!(followees(&store, bob).await, NO_ACCOUNTS);
}

async fn an_unfollowed_account_is_not_listed(store: impl FollowerStore) {
    let [alice, bob, carol] = accounts();
    follow(&store, alice, bob).await;
    follow(&store, alice, carol).await;
    assert_eq!(unfollow(&store, alice, bob).await, WriteOutcome::Applied);

    assert_eq!(followees(&store, alice).await, [carol]);
    assert_eq!(followers(&store, bob).await, NO_ACCOUNTS);
    assert_eq!(check(&store, alice, bob).await, [false]);

    follow(&store, alice, bob).await;
    assert_eq!(followees(&store, alice).await, [bob, carol]);
}

async fn unfollowing_an_account_that_is_not_followed_succeeds(store: impl FollowerStore) {
    let [alice, bob, _] = accounts();
    assert_eq!(unfollow(&store, alice, bob).await, WriteOutcome::Applied);
    assert_eq!(followees(&store, alice).await, NO_ACCOUNTS);
}

async fn an_account_can_follow_itself(store: impl FollowerStore) {
    let [alice, ..] = accounts();
    assert_eq!(follow(&store, alice, alice).await, WriteOutcome::Applied);

    assert_eq!(followees(&store, alice).await, [alice]);
    assert_eq!(followers(&store, alice).await, [alice]);
    assert_eq!(check(&store, alice, alice).await, [true]);
}

async fn a_delayed_follow_changes_nothing_after_a_newer_unfollow(store: impl FollowerStore) {
    let [alice, bob, _] = accounts();
    let clock = Clock::default();
    let delayed = update(alice, bob, true, clock.stamp());
    let newer = update(alice, bob, false, clock.stamp());

    assert_eq!(set(&store, vec![newer]).await, [WriteOutcome::Applied]);
    let late = set(&store, vec![delayed]).await;
    assert_eq!(late, [WriteOutcome::Superseded(newer.stamp)]);
    assert_eq!(followees(&store, alice).await, NO_ACCOUNTS);
    assert_eq!(followers(&store, bob).await, NO_ACCOUNTS);
}

async fn a_repeated_write_succeeds(store: impl FollowerStore) {
    let [alice, bob, _] = accounts();
    let write = update(alice, bob, true, Clock::default().stamp());

    for _ in 0..2 {
        assert_eq!(set(&store, vec![write]).await, [WriteOutcome::Applied]);
        assert_eq!(followees(&store, alice).await, [bob]);
    }
}

async fn the_greatest_stamp_of_a_batch_wins(store: impl FollowerStore) {
    let [alice, bob, carol] = accounts();
    let clock = Clock::default();
    let stamps: Vec<Uuid> = (0..4).map(|_| clock.stamp()).collect();
    let batch = vec![
        update(alice, bob, true, stamps[2]),
        update(alice, carol, true, stamps[3]),
        update(alice, bob, false, stamps[1]),
        update(alice, bob, true, stamps[2]),
    ];
    assert_eq!(set(&store, batch).await, [WriteOutcome::Applied; 4]);
    assert_eq!(followees(&store, alice).await, [bob, carol]);

    // Each write of the superseded edge gets the stored stamp. The write of another edge is applied.
    let batch = vec![
        update(alice, bob, false, stamps[0]),
        update(alice, carol, false, clock.stamp()),
        update(alice, bob, false, stamps[1]),
    ];
    let lost = WriteOutcome::Superseded(stamps[2]);
    assert_eq!(
        set(&store, batch).await,
        [lost, WriteOutcome::Applied, lost]
    );
    assert_eq!(followees(&store, alice).await, [bob]);
}

async fn any_order_of_delivery_has_the_same_result(store: impl FollowerStore) {
    let clock = Clock::default();
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        let [alice, bob, _] = accounts();
        let writes = [true, false, true].map(|on| update(alice, bob, on, clock.stamp()));
        for index in order {
            set(&store, vec![writes[index]]).await;
        }
        assert_eq!(check(&store, alice, bob).await, [true], "{order:?}");
    }
}

async fn pages_list_each_account_once_and_in_order(store: impl FollowerStore) {
    let [alice, ..] = accounts();
    let clock = Clock::default();
    let others: Vec<Uuid> = (0..10).map(|_| Uuid::now_v7()).collect();
    let updates = others.iter().flat_map(|&other| {
        [
            update(alice, other, true, clock.stamp()),
            update(other, alice, true, clock.stamp()),
        ]
    });
    set(&store, updates.collect()).await;

    for direction in [Direction::Followees, Direction::Followers] {
        let mut seen = Vec::new();
        let mut query = FollowsQuery {
            limit: 3,
            ..all(alice, direction)
        };
        loop {
            let page = whole(&store, &[query]).await.remove(0).ids;
            let Some(&last) = page.last() else { break };
            assert!(page.len() <= 3);
            query.after = last;
            seen.extend(page);
        }
        assert_eq!(seen, others);
    }
}

async fn a_version_changes_exactly_when_its_list_changes(store: impl FollowerStore) {
    let [alice, bob, carol] = accounts();
    let query = all(alice, Direction::Followees);
    let first_only = FollowsQuery { limit: 1, ..query };
    let versions = async || {
        let queries = [query, first_only];
        let lists = whole(&store, &queries).await;
        let versions: Vec<i64> = lists.into_iter().map(|list| list.version).collect();
        let conditional = |known: &[i64]| {
            let queries = queries.iter().zip(known);
            let queries = queries.map(|(&query, &version)| ConditionalQuery {
                query,
                known_version: Some(version),
            });
            queries.collect::<Vec<_>>()
        };
        assert_eq!(
            store.list(&conditional(&versions)).await.unwrap(),
            [None, None]
        );
        let other = conditional(&[versions[0] ^ 1, versions[1]]);
        let other = store.list(&other).await.unwrap();
        assert_eq!(other, [Some(whole(&store, &[query]).await.remove(0)), None]);
        versions
    };

    assert_eq!(versions().await, [0, 0]);
    follow(&store, alice, bob).await;
    let one = versions().await;
    assert_ne!(one[0], 0);
    follow(&store, alice, carol).await;
    let two = versions().await;
    assert_ne!(two[0], one[0]);
    assert_eq!(two[1], one[1], "the first id is the same");
    // Edges of other accounts do not change the list. A repeated follow does not change it either.
    follow(&store, bob, carol).await;
    follow(&store, alice, carol).await;
    assert_eq!(versions().await, two);
    unfollow(&store, alice, carol).await;
    assert_eq!(versions().await, one);
}

async fn results_of_many_kinds_of_queries_are_in_the_order_of_the_request(
    store: impl FollowerStore,
) {
    let [alice, bob, carol] = accounts();
    follow(&store, alice, bob).await;
    follow(&store, alice, carol).await;
    follow(&store, carol, bob).await;
    let few = |query| FollowsQuery { limit: 1, ..query };
    let queries = [
        all(alice, Direction::Followees),
        all(bob, Direction::Followers),
        few(all(alice, Direction::Followees)),
        all(bob, Direction::Followees),
        few(all(bob, Direction::Followers)),
        all(carol, Direction::Followees),
        FollowsQuery {
            limit: 0,
            ..all(alice, Direction::Followees)
        },
        all(alice, Direction::Followees),
    ];
    let lists = whole(&store, &queries).await;
    let ids: Vec<Vec<Uuid>> = lists.into_iter().map(|list| list.ids).collect();
    let expected: [&[Uuid]; 8] = [
        &[bob, carol],
        &[alice, carol],
        &[bob],
        &[],
        &[alice],
        &[bob],
        &[],
        &[bob, carol],
    ];
    assert_eq!(ids, expected);
}

async fn an_unknown_account_has_an_empty_list_of_version_0(store: impl FollowerStore) {
    let query = all(Uuid::now_v7(), Direction::Followers);
    let lists = whole(&store, &[query]).await;
    assert_eq!(lists, [FollowList::default()]);
}

async fn results_of_checks_are_in_the_order_of_the_request(store: impl FollowerStore) {
    let [alice, bob, carol] = accounts();
    follow(&store, alice, bob).await;
    follow(&store, bob, carol).await;
    unfollow(&store, bob, carol).await;

    let edges = [
        (bob, alice),
        (alice, bob),
        (bob, carol),
        (alice, bob),
        (alice, alice),
    ];
    let edges = edges.map(|(from, to)| edge(from, to)).to_vec();
    let found = store.check(edges).await.unwrap();
    assert_eq!(found, [false, true, false, true, false]);
}

async fn only_edges_set_to_following_are_counted(store: impl FollowerStore) {
    let [alice, bob, carol] = accounts();
    follow(&store, alice, bob).await;
    follow(&store, alice, carol).await;
    follow(&store, carol, bob).await;
    unfollow(&store, alice, carol).await;

    let counts = store
        .count(vec![bob, Uuid::now_v7(), alice, bob])
        .await
        .unwrap();
    let expected = [(0, 2), (0, 0), (1, 0), (0, 2)].map(|(followees, followers)| FollowCounts {
        followees,
        followers,
    });
    assert_eq!(counts, expected);
}

macro_rules! contract {
    ($($test:ident),+ $(,)?) => {
        mod sqlite { $(#[tokio::test]
            async fn $test() {
                let (store, _database) = super::open(super::Engine::Sqlite).await;
                super::$test(store).await;
            })+ }
        mod postgres { $(#[tokio::test]
            async fn $test() {
                let (store, database) = super::open(super::Engine::Postgres).await;
                super::$test(store).await;
                database.assert_no_table_scans(&[]).await;
            })+ }
    };
}

contract!(
    a_followed_account_is_listed_once,
    an_unfollowed_account_is_not_listed,
    unfollowing_an_account_that_is_not_followed_succeeds,
    an_account_can_follow_itself,
    a_delayed_follow_changes_nothing_after_a_newer_unfollow,
    a_repeated_write_succeeds,
    the_greatest_stamp_of_a_batch_wins,
    any_order_of_delivery_has_the_same_result,
    pages_list_each_account_once_and_in_order,
    a_version_changes_exactly_when_its_list_changes,
    results_of_many_kinds_of_queries_are_in_the_order_of_the_request,
    an_unknown_account_has_an_empty_list_of_version_0,
    results_of_checks_are_in_the_order_of_the_request,
    only_edges_set_to_following_are_counted,
);

#[test]
fn both_engines_have_the_same_migrations() {
    test_database::assert_same_migrations(&migrations());
}

async fn open(engine: Engine) -> (SqlFollowerStore, TestDatabase) {
    let database = empty_database(engine).await;
    let store = SqlFollowerStore::new(database.open(&migrations()).await);
    (store, database)
}

/// Three accounts, ascending by id.
fn accounts() -> [Uuid; 3] {
    [(); 3].map(|()| Uuid::now_v7())
}

fn edge(from: Uuid, to: Uuid) -> Edge {
    Edge {
        follower_id: from,
        followee_id: to,
    }
}

fn update(from: Uuid, to: Uuid, following: bool, stamp: Uuid) -> FollowUpdate {
    FollowUpdate {
        edge: edge(from, to),
        following,
        stamp,
    }
}

fn all(account_id: Uuid, direction: Direction) -> FollowsQuery {
    FollowsQuery {
        account_id,
        direction,
        limit: 20_000,
        after: Uuid::nil(),
    }
}

async fn set(store: &impl FollowerStore, updates: Vec<FollowUpdate>) -> Vec<WriteOutcome> {
    store.set(updates).await.unwrap()
}

async fn follow(store: &impl FollowerStore, from: Uuid, to: Uuid) -> WriteOutcome {
    set(store, vec![update(from, to, true, Uuid::now_v7())])
        .await
        .remove(0)
}

async fn unfollow(store: &impl FollowerStore, from: Uuid, to: Uuid) -> WriteOutcome {
    set(store, vec![update(from, to, false, Uuid::now_v7())])
        .await
        .remove(0)
}

/// Lists as a caller reads them that has no version of them.
async fn whole(store: &impl FollowerStore, queries: &[FollowsQuery]) -> Vec<FollowList> {
    let queries = queries.iter().map(|&query| ConditionalQuery {
        query,
        known_version: None,
    });
    let lists = store.list(&queries.collect::<Vec<_>>()).await.unwrap();
    lists.into_iter().map(Option::unwrap).collect()
}

async fn list(store: &impl FollowerStore, account: Uuid, direction: Direction) -> Vec<Uuid> {
    let lists = whole(store, &[all(account, direction)]).await;
    let [list] = lists.try_into().unwrap();
    list.ids
}

async fn followees(store: &impl FollowerStore, account: Uuid) -> Vec<Uuid> {
    list(store, account, Direction::Followees).await
}

async fn followers(store: &impl FollowerStore, account: Uuid) -> Vec<Uuid> {
    list(store, account, Direction::Followers).await
}

async fn check(store: &impl FollowerStore, from: Uuid, to: Uuid) -> Vec<bool> {
    store.check(vec![edge(from, to)]).await.unwrap()
}
