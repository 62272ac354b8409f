//! Contract of the store of `latest`.

use chassis::{per_item::WriteOutcome, stamp::Clock};
use database::db::Db;
use minitwit_user::latest::{ApiClientStore, LatestUpdate, SqlApiClientStore};
use uuid::Uuid;

contract!(
    latest_is_absent_before_the_first_write,
    the_last_write_wins_even_with_a_smaller_value,
    a_delayed_write_changes_nothing_after_a_newer_write,
    a_repeated_write_succeeds,
    the_greatest_stamp_of_a_batch_wins,
    a_delayed_batch_is_superseded,
    each_client_has_its_own_value,
    the_empty_name_is_the_client_that_wrote_last,
    client_names_are_compared_byte_by_byte,
);

async fn latest_is_absent_before_the_first_write(db: Db) {
    let store = SqlApiClientStore::new(db);
    assert_eq!(latest(&store, &["simulator", ""]).await, [None, None]);
}

async fn the_last_write_wins_even_with_a_smaller_value(db: Db) {
    let store = SqlApiClientStore::new(db);
    let clock = Clock::default();
    for value in [0, 1337, 42, i64::MAX, i64::MIN, 0] {
        let write = update("simulator", value, clock.stamp());
        assert_eq!(set(&store, vec![write]).await, [WriteOutcome::Applied]);
        assert_eq!(latest(&store, &["simulator"]).await, [Some(value)]);
    }
}

async fn a_delayed_write_changes_nothing_after_a_newer_write(db: Db) {
    let store = SqlApiClientStore::new(db);
    let clock = Clock::default();
    let frozen = update("simulator", 1, clock.stamp());
    let newer = update("simulator", 2, clock.stamp());

    assert_eq!(
        set(&store, vec![newer.clone()]).await,
        [WriteOutcome::Applied]
    );
    let late = set(&store, vec![frozen]).await;
    assert_eq!(late, [WriteOutcome::Superseded(newer.stamp)]);
    assert_eq!(latest(&store, &["simulator"]).await, [Some(2)]);
}

async fn a_repeated_write_succeeds(db: Db) {
    let store = SqlApiClientStore::new(db);
    let write = update("simulator", 7, Clock::default().stamp());
    for _ in 0..3 {
        assert_eq!(
            set(&store, vec![write.clone()]).await,
            [WriteOutcome::Applied]
        );
        assert_eq!(latest(&store, &["simulator"]).await, [Some(7)]);
    }
}

async fn the_greatest_stamp_of_a_batch_wins(db: Db) {
    let store = SqlApiClientStore::new(db);
    let clock = Clock::default();
    let stamps: Vec<Uuid> = (0..3).map(|_| clock.stamp()).collect();
    let batch = vec![
        update("simulator", 1, stamps[0]),
        update("simulator", 3, stamps[2]),
        update("simulator", 2, stamps[1]),
    ];
    // The writes with smaller stamps were concurrent, so they count as applied before the greatest one.
    assert_eq!(set(&store, batch).await, [WriteOutcome::Applied; 3]);
    assert_eq!(latest(&store, &["simulator"]).await, [Some(3)]);
}

async fn a_delayed_batch_is_superseded(db: Db) {
    let store = SqlApiClientStore::new(db);
    let clock = Clock::default();
    let frozen = [clock.stamp(), clock.stamp()];
    let repeated = update("b", 5, clock.stamp());
    let newer = update("a", 3, clock.stamp());
    set(&store, vec![newer.clone(), repeated.clone()]).await;

    let batch = vec![
        update("a", 1, frozen[0]),
        repeated,
        update("new", 9, frozen[0]),
        update("a", 2, frozen[1]),
    ];
    let superseded = WriteOutcome::Superseded(newer.stamp);
    assert_eq!(
        set(&store, batch).await,
        [
            superseded,
            WriteOutcome::Applied,
            WriteOutcome::Applied,
            superseded
        ]
    );
    let values = latest(&store, &["a", "b", "new"]).await;
    assert_eq!(values, [Some(3), Some(5), Some(9)]);
}

async fn each_client_has_its_own_value(db: Db) {
    let store = SqlApiClientStore::new(db);
    let clock = Clock::default();
    let one = update("one", 1, clock.stamp());
    let two = update("two", 2, clock.stamp());
    assert_eq!(
        set(&store, vec![two, one]).await,
        [WriteOutcome::Applied; 2]
    );

    let values = latest(&store, &["two", "three", "one", "two"]).await;
    assert_eq!(values, [Some(2), None, Some(1), Some(2)]);
}

async fn the_empty_name_is_the_client_that_wrote_last(db: Db) {
    let store = SqlApiClientStore::new(db);
    let clock = Clock::default();
    for (client, value) in [("one", 10), ("two", 5), ("one", 3), ("three", 4)] {
        set(&store, vec![update(client, value, clock.stamp())]).await;
        assert_eq!(latest(&store, &[""]).await, [Some(value)], "{client}");
    }
}

async fn client_names_are_compared_byte_by_byte(db: Db) {
    let store = SqlApiClientStore::new(db);
    let clock = Clock::default();
    let longest = "x".repeat(255);
    let names = ["simulator", "Simulator", "sim \"u\" 😀", &longest];
    let batch = names.iter().zip(0..);
    let batch = batch.map(|(name, value)| update(name, value, clock.stamp()));
    set(&store, batch.collect()).await;
    let values = latest(&store, &names).await;
    assert_eq!(values, [Some(0), Some(1), Some(2), Some(3)]);
}

fn update(client: &str, latest: i64, stamp: Uuid) -> LatestUpdate {
    LatestUpdate {
        client: client.to_owned(),
        latest,
        stamp,
    }
}

async fn set(store: &impl ApiClientStore, updates: Vec<LatestUpdate>) -> Vec<WriteOutcome> {
    store.set_latest(updates).await.unwrap()
}

async fn latest(store: &impl ApiClientStore, clients: &[&str]) -> Vec<Option<i64>> {
    let clients = clients.iter().map(|&client| client.to_owned()).collect();
    store.latest(clients).await.unwrap()
}
