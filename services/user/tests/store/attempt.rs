//! Contract of the counters of failed sign-ins.

use std::sync::Arc;

use database::db::Db;
use minitwit_user::throttle::{
    Admission::{self, Admitted, Blocked},
    Attempt,
    AttemptOutcome::{Success, Undecided},
    AttemptStore, SqlAttemptStore, WINDOW_MILLIS,
};

const NOW: i64 = 1_800_000_000_000;

contract!(
    ten_failures_block_a_name_until_the_window_ends,
    failures_from_one_address_do_not_block_other_addresses,
    a_successful_sign_in_removes_the_failures,
    an_undecided_attempt_is_uncounted,
    a_thousand_failures_block_an_address,
    a_batch_admits_no_more_than_the_limit,
    concurrent_batches_admit_no_more_than_the_limit,
    expired_counters_are_deleted,
    any_number_of_expired_counters_is_deleted,
    names_tried_from_a_blocked_address_are_not_counted,
);

async fn ten_failures_block_a_name_until_the_window_ends(db: Db) {
    let store = SqlAttemptStore::new(db);
    for minute in 0..10 {
        let admission = count(&store, "1.1.1.1", "alice", NOW + minute * 60_000).await;
        assert_eq!(admission, Admitted);
    }
    let until = NOW + WINDOW_MILLIS;
    for now in [NOW + 600_000, until - 1] {
        assert_eq!(count(&store, "1.1.1.1", "alice", now).await, Blocked(until));
    }
    // Blocked attempts do not extend the window. The next window admits ten attempts again.
    for _ in 0..10 {
        assert_eq!(count(&store, "1.1.1.1", "alice", until).await, Admitted);
    }
    assert_eq!(
        count(&store, "1.1.1.1", "alice", until).await,
        Blocked(until + WINDOW_MILLIS)
    );
}

async fn failures_from_one_address_do_not_block_other_addresses(db: Db) {
    let store = SqlAttemptStore::new(db);
    for _ in 0..11 {
        count(&store, "6.6.6.6", "alice", NOW).await;
    }
    assert_ne!(count(&store, "6.6.6.6", "alice", NOW).await, Admitted);
    assert_eq!(count(&store, "1.1.1.1", "alice", NOW).await, Admitted);
    assert_eq!(count(&store, "6.6.6.6", "bob", NOW).await, Admitted);
}

async fn a_successful_sign_in_removes_the_failures(db: Db) {
    let store = SqlAttemptStore::new(db);
    for _ in 0..3 {
        for _ in 0..9 {
            assert_eq!(count(&store, "::1", "alice", NOW).await, Admitted);
        }
        assert_eq!(count(&store, "::1", "alice", NOW).await, Admitted);
        store
            .uncount(&attempt("::1", "alice"), Success)
            .await
            .unwrap();
    }
}

async fn an_undecided_attempt_is_uncounted(db: Db) {
    let store = SqlAttemptStore::new(db);
    for _ in 0..9 {
        count(&store, "::1", "alice", NOW).await;
    }
    for _ in 0..3 {
        assert_eq!(count(&store, "::1", "alice", NOW).await, Admitted);
        let attempt = attempt("::1", "alice");
        store.uncount(&attempt, Undecided).await.unwrap();
    }
    assert_eq!(count(&store, "::1", "alice", NOW).await, Admitted);
    assert_ne!(count(&store, "::1", "alice", NOW).await, Admitted);
    // Uncounting an attempt that was not counted does not raise the limit.
    let attempt = attempt("::1", "bob");
    store.uncount(&attempt, Undecided).await.unwrap();
}

async fn a_thousand_failures_block_an_address(db: Db) {
    let store = SqlAttemptStore::new(db);
    let names = (0..1001).map(|number| attempt("::1", &format!("name {number}")));
    let admissions = store.count(&names.collect::<Vec<_>>(), NOW).await.unwrap();
    assert_eq!(admissions[..1000], [Admitted; 1000]);
    let until = NOW + WINDOW_MILLIS;
    assert_eq!(admissions[1000], Blocked(until));

    assert_eq!(count(&store, "::1", "another", NOW).await, Blocked(until));
    assert_eq!(count(&store, "::2", "another", NOW).await, Admitted);
}

async fn a_batch_admits_no_more_than_the_limit(db: Db) {
    let store = SqlAttemptStore::new(db);
    for _ in 0..6 {
        count(&store, "::1", "alice", NOW).await;
    }
    let mut batch = vec![attempt("::1", "alice"); 7];
    batch.insert(5, attempt("::1", "bob"));
    let admissions = store.count(&batch, NOW).await.unwrap();
    let held = Blocked(NOW + WINDOW_MILLIS);
    assert_eq!(
        admissions,
        [
            Admitted, Admitted, Admitted, Admitted, held, Admitted, held, held
        ]
    );
}

async fn concurrent_batches_admit_no_more_than_the_limit(db: Db) {
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

async fn expired_counters_are_deleted(db: Db) {
    let store = SqlAttemptStore::new(db);
    for _ in 0..11 {
        count(&store, "::1", "alice", NOW).await;
    }
    store.prune(NOW + WINDOW_MILLIS - 1).await.unwrap();
    assert_ne!(count(&store, "::1", "alice", NOW).await, Admitted);
    store.prune(NOW + WINDOW_MILLIS + 1).await.unwrap();
    assert_eq!(count(&store, "::1", "alice", NOW).await, Admitted);
}

/// The test has far more expired counters than one statement deletes.
async fn any_number_of_expired_counters_is_deleted(db: Db) {
    let store = SqlAttemptStore::new(db);
    let addresses = (0..1_500).map(|number| format!("::{number}"));
    let each: Vec<Attempt> = addresses.map(|one| attempt(&one, "alice")).collect();
    for _ in 0..10 {
        let admissions = store.count(&each, NOW).await.unwrap();
        assert!(admissions.iter().all(|admission| *admission == Admitted));
    }
    let admissions = store.count(&each, NOW).await.unwrap();
    assert!(admissions.iter().all(|admission| *admission != Admitted));

    store.prune(NOW + WINDOW_MILLIS + 1).await.unwrap();
    let admissions = store.count(&each, NOW).await.unwrap();
    assert!(admissions.iter().all(|admission| *admission == Admitted));
}

async fn names_tried_from_a_blocked_address_are_not_counted(db: Db) {
    let store = SqlAttemptStore::new(db);
    let names = (0..1_000).map(|number| attempt("::1", &format!("name {number}")));
    store.count(&names.collect::<Vec<_>>(), NOW).await.unwrap();
    let until = NOW + WINDOW_MILLIS;
    for _ in 0..11 {
        let admission = count(&store, "::1", "another", until - 1).await;
        assert_eq!(admission, Blocked(until));
    }
    assert_eq!(count(&store, "::1", "another", until).await, Admitted);
}

fn attempt(address: &str, username: &str) -> Attempt {
    Attempt {
        address: address.to_owned(),
        username: username.to_owned(),
    }
}

async fn count(store: &impl AttemptStore, address: &str, username: &str, now: i64) -> Admission {
    let attempts = [attempt(address, username)];
    store.count(&attempts, now).await.unwrap().remove(0)
}
