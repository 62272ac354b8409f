//! Contracts of the stores of operators and of deletions, tested on each engine.

#![expect(clippy::unwrap_used, reason = "the helpers are tests too")]

use chassis::stamp;
use minitwit_follower::{
    deletion::store::{DeletionStore, SqlDeletionStore},
    migrations,
    operator::store::{OperatorStore, SqlOperatorStore},
    store::{Direction, Edge, FollowUpdate, FollowerStore, SqlFollowerStore},
};
use minitwit_proto::limits::DELETE_ITEMS_MAX;
use test_database::{Engine, TestDatabase, empty_database};
use uuid::Uuid;

struct Stores {
    follows: SqlFollowerStore,
    operators: SqlOperatorStore,
    deletions: SqlDeletionStore,
    database: TestDatabase,
}

macro_rules! contract {
    ($($test:ident),+ $(,)?) => {
        mod sqlite { $(#[tokio::test]
            async fn $test() {
                super::$test(super::stores(super::Engine::Sqlite).await).await;
            })+ }
        mod postgres { $(#[tokio::test]
            async fn $test() {
                super::$test(super::stores(super::Engine::Postgres).await).await;
            })+ }
    };
}

contract!(
    an_edge_that_was_written_before_takes_precedence_over_an_imported_edge,
    an_export_has_both_directions_and_unfollowed_edges,
    edges_of_an_account_are_deleted_in_both_directions,
);

async fn stores(engine: Engine) -> Stores {
    let database = empty_database(engine).await;
    let db = database.open(&migrations()).await;
    Stores {
        follows: SqlFollowerStore::new(db.clone()),
        operators: SqlOperatorStore::new(db.clone()),
        deletions: SqlDeletionStore::new(db),
        database,
    }
}

fn edge(follower_id: Uuid, followee_id: Uuid) -> Edge {
    Edge {
        follower_id,
        followee_id,
    }
}

fn old(edge: Edge) -> FollowUpdate {
    FollowUpdate {
        edge,
        following: true,
        stamp: stamp::from_name(0, 1),
    }
}

async fn an_edge_that_was_written_before_takes_precedence_over_an_imported_edge(stores: Stores) {
    let [alice, bob, carol] = [1, 2, 3].map(Uuid::from_u128);
    let taken_back = FollowUpdate {
        following: false,
        stamp: Uuid::now_v7(),
        ..old(edge(alice, bob))
    };
    stores.follows.set(vec![taken_back]).await.unwrap();

    let updates = vec![
        old(edge(alice, carol)),
        old(edge(alice, bob)),
        old(edge(alice, carol)),
    ];
    let imported = stores.operators.import(updates.clone()).await.unwrap();
    assert_eq!(imported, [false, true, false]);
    let again = stores.operators.import(updates).await.unwrap();
    assert_eq!(again, [true; 3]);
    let edges = vec![edge(alice, bob), edge(alice, carol)];
    assert_eq!(stores.follows.check(edges).await.unwrap(), [false, true]);
}

async fn an_export_has_both_directions_and_unfollowed_edges(stores: Stores) {
    let [alice, bob, carol] = [1, 2, 3].map(Uuid::from_u128);
    let mut updates = vec![
        old(edge(alice, carol)),
        old(edge(alice, bob)),
        old(edge(bob, alice)),
    ];
    updates[1].following = false;
    stores.operators.import(updates.clone()).await.unwrap();

    let export = async |direction, after| {
        let edges = stores.operators.export(alice, direction, after).await;
        edges.unwrap()
    };
    let [to_carol, to_bob, from_bob] = updates.try_into().unwrap();
    let followees = export(Direction::Followees, Uuid::nil()).await;
    assert_eq!(followees, [to_bob, to_carol]);
    assert_eq!(export(Direction::Followees, bob).await, [to_carol]);
    assert_eq!(export(Direction::Followers, Uuid::nil()).await, [from_bob]);
}

async fn edges_of_an_account_are_deleted_in_both_directions(stores: Stores) {
    let [alice, bob] = [Uuid::now_v7(), Uuid::now_v7()];
    let others: Vec<Uuid> = (0..DELETE_ITEMS_MAX + 10).map(|_| Uuid::now_v7()).collect();
    for from_alice in [true, false] {
        let edges = others.iter().map(|&other| {
            old(if from_alice {
                edge(alice, other)
            } else {
                edge(other, alice)
            })
        });
        stores.operators.import(edges.collect()).await.unwrap();
    }
    let kept = vec![old(edge(bob, others[0]))];
    stores.operators.import(kept).await.unwrap();

    let mut rounds = 0;
    while stores.deletions.delete(vec![alice]).await.unwrap() {
        rounds += 1;
    }
    assert_eq!(rounds, 2);
    let counts = vec![alice, others[0], bob];
    let counts = stores.follows.count(counts).await.unwrap();
    let counts: Vec<_> = counts
        .iter()
        .map(|counts| (counts.followees, counts.followers))
        .collect();
    assert_eq!(counts, [(0, 0), (0, 1), (1, 0)]);
}

#[tokio::test]
async fn the_second_of_two_concurrent_deletions_reports_that_edges_may_be_left() {
    let stores = stores(Engine::Postgres).await;
    let [alice, bob] = [1, 2].map(Uuid::from_u128);
    let edges = vec![old(edge(alice, bob))];
    stores.operators.import(edges).await.unwrap();

    let second = stores.deletions.delete(vec![alice]);
    let more = stores.database.run_behind_delete("follow", second).await;
    assert!(more.unwrap(), "the first deletion may have left edges");
    assert!(!stores.deletions.delete(vec![alice]).await.unwrap());
}
