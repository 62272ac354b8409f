//! Sign-ins that fail are counted.

use std::sync::Arc;

use database::db::Db;
use minitwit_user::throttle::{
    Attempt, AttemptStore,
    Forgiveness::{Right, Undecided},
    SqlAttemptStore,
    Standing::{Admitted, Held},
    WINDOW_MILLIS,
};

const NOW: i64 = 1_800_000_000_000;

contract!(
    ten_failures_hold_until_the_window_ends,
    a_stranger_locks_nobody_out,
    a_right_password_forgets_the_failures,
    what_was_never_looked_at_is_taken_back,
    a_thousand_failures_hold_an_address,
    of_one_batch_no_more_than_the_limit_go_on,
    of_batches_side_by_side_no_more_than_the_limit_go_on,
    what_is_too_old_is_forgotten,
    however_much_is_too_old_it_is_forgotten,
    names_tried_from_a_held_address_are_not_counted,
);

async fn ten_failures_hold_until_the_window_ends(db: Db) {
    let store = SqlAttemptStore::new(db);
    for minute in 0..10 {
        let standing = count(&store, "1.1.1.1", "alice", NOW + minute * 60_000).await;
        assert_eq!(standing, Admitted);
    }
    let until = NOW + WINDOW_MILLIS;
    for now in [NOW + 600_000, until - 1] {
        assert_eq!(count(&store, "1.1.1.1", "alice", now).await, Held(until));
    }
    // Trying while held off does not make it longer, and then there are ten again.
    for _ in 0..10 {
        assert_eq!(count(&store, "1.1.1.1", "alice", until).await, Admitted);
    }
    assert_eq!(
        count(&store, "1.1.1.1", "alice", until).await,
        Held(until + WINDOW_MILLIS)
    );
}

async fn a_stranger_locks_nobody_out(db: Db) {
    let store = SqlAttemptStore::new(db);
    for _ in 0..11 {
        count(&store, "6.6.6.6", "alice", NOW).await;
    }
    assert_ne!(count(&store, "6.6.6.6", "alice", NOW).await, Admitted);
    assert_eq!(count(&store, "1.1.1.1", "alice", NOW).await, Admitted);
    assert_eq!(count(&store, "6.6.6.6", "bob", NOW).await, Admitted);
}

async fn a_right_password_forgets_the_failures(db: Db) {
    let store = SqlAttemptStore::new(db);
    for _ in 0..3 {
        for _ in 0..9 {
            assert_eq!(count(&store, "::1", "alice", NOW).await, Admitted);
        }
        assert_eq!(count(&store, "::1", "alice", NOW).await, Admitted);
        store
            .forgive(&attempt("::1", "alice"), Right)
            .await
            .unwrap();
    }
}

async fn what_was_never_looked_at_is_taken_back(db: Db) {
    let store = SqlAttemptStore::new(db);
    for _ in 0..9 {
        count(&store, "::1", "alice", NOW).await;
    }
    for _ in 0..3 {
        assert_eq!(count(&store, "::1", "alice", NOW).await, Admitted);
        let attempt = attempt("::1", "alice");
        store.forgive(&attempt, Undecided).await.unwrap();
    }
    assert_eq!(count(&store, "::1", "alice", NOW).await, Admitted);
    assert_ne!(count(&store, "::1", "alice", NOW).await, Admitted);
    // Taking back what was never counted is no credit.
    let attempt = attempt("::1", "bob");
    store.forgive(&attempt, Undecided).await.unwrap();
}

async fn a_thousand_failures_hold_an_address(db: Db) {
    let store = SqlAttemptStore::new(db);
    let names = (0..1001).map(|number| attempt("::1", &format!("name {number}")));
    let standings = store.count(&names.collect::<Vec<_>>(), NOW).await.unwrap();
    assert_eq!(standings[..1000], [Admitted; 1000]);
    let until = NOW + WINDOW_MILLIS;
    assert_eq!(standings[1000], Held(until));

    assert_eq!(count(&store, "::1", "another", NOW).await, Held(until));
    assert_eq!(count(&store, "::2", "another", NOW).await, Admitted);
}

async fn of_one_batch_no_more_than_the_limit_go_on(db: Db) {
    let store = SqlAttemptStore::new(db);
    for _ in 0..6 {
        count(&store, "::1", "alice", NOW).await;
    }
    let mut batch = vec![attempt("::1", "alice"); 7];
    batch.insert(5, attempt("::1", "bob"));
    let standings = store.count(&batch, NOW).await.unwrap();
    let held = Held(NOW + WINDOW_MILLIS);
    assert_eq!(
        standings,
        [
            Admitted, Admitted, Admitted, Admitted, held, Admitted, held, held
        ]
    );
}

async fn of_batches_side_by_side_no_more_than_the_limit_go_on(db: Db) {
    let store = Arc::new(SqlAttemptStore::new(db));
    let guesses: Vec<_> = (0..40)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { count(&*store, "::1", "alice", NOW).await })
        })
        .collect();
    let mut admitted = 0;
    for guess in guesses {
        admitted += i32::from(guess.await.unwrap() == Admitted);
    }
    assert_eq!(admitted, 10);
}

async fn what_is_too_old_is_forgotten(db: Db) {
    let store = SqlAttemptStore::new(db);
    for _ in 0..11 {
        count(&store, "::1", "alice", NOW).await;
    }
    store.prune(NOW + WINDOW_MILLIS - 1).await.unwrap();
    assert_ne!(count(&store, "::1", "alice", NOW).await, Admitted);
    store.prune(NOW + WINDOW_MILLIS + 1).await.unwrap();
    assert_eq!(count(&store, "::1", "alice", NOW).await, Admitted);
}

/// Far more than one statement forgets.
async fn however_much_is_too_old_it_is_forgotten(db: Db) {
    let store = SqlAttemptStore::new(db);
    let addresses = (0..1_500).map(|number| format!("::{number}"));
    let each: Vec<Attempt> = addresses.map(|one| attempt(&one, "alice")).collect();
    for _ in 0..10 {
        let standings = store.count(&each, NOW).await.unwrap();
        assert!(standings.iter().all(|standing| *standing == Admitted));
    }
    let standings = store.count(&each, NOW).await.unwrap();
    assert!(standings.iter().all(|standing| *standing != Admitted));

    store.prune(NOW + WINDOW_MILLIS + 1).await.unwrap();
    let standings = store.count(&each, NOW).await.unwrap();
    assert!(standings.iter().all(|standing| *standing == Admitted));
}

async fn names_tried_from_a_held_address_are_not_counted(db: Db) {
    let store = SqlAttemptStore::new(db);
    let names = (0..1_000).map(|number| attempt("::1", &format!("name {number}")));
    store.count(&names.collect::<Vec<_>>(), NOW).await.unwrap();
    let until = NOW + WINDOW_MILLIS;
    for _ in 0..11 {
        let standing = count(&store, "::1", "another", until - 1).await;
        assert_eq!(standing, Held(until));
    }
    assert_eq!(count(&store, "::1", "another", until).await, Admitted);
}

fn attempt(address: &str, username: &str) -> Attempt {
    Attempt {
        address: address.to_owned(),
        username: username.to_owned(),
    }
}

async fn count(
    store: &impl AttemptStore,
    address: &str,
    username: &str,
    now: i64,
) -> minitwit_user::throttle::Standing {
    let attempts = [attempt(address, username)];
    store.count(&attempts, now).await.unwrap().remove(0)
}
