//! What operators do with accounts.

use database::db::Db;
use minitwit_user::{
    operator::store::{GRACE_MILLIS, OperatorStore, SqlOperatorStore},
    password::PasswordHash,
    store::{Inserted, NewAccount, SqlUserStore, User, UserStore},
    throttle::{Attempt, AttemptStore, SqlAttemptStore},
};
use uuid::Uuid;

contract!(
    an_export_has_all_that_is_kept,
    a_reset_ends_every_session,
    a_moderator_is_one_until_told_otherwise,
    nobody_finds_a_deleted_account_and_nobody_gets_its_name,
    a_deletion_is_told_and_handed_out_until_it_is_done,
    a_deletion_is_in_one_hand_at_a_time,
);

const NOBODY: [Uuid; 0] = [];
const NOW: i64 = 1_700_000_000_000;

fn account(username: &str) -> NewAccount {
    NewAccount {
        id: Uuid::now_v7(),
        username: username.to_owned(),
        email: format!("{username}@example.com"),
        pw_hash: PasswordHash::stored("sha1$a$00".to_owned()),
    }
}

async fn stored(db: &Db, username: &str) -> User {
    let inserted = SqlUserStore::new(db.clone())
        .insert(vec![account(username)])
        .await;
    match inserted.unwrap().remove(0) {
        Inserted::Stored(user) => user,
        refused => panic!("{refused:?}"),
    }
}

async fn find(db: &Db, username: &str) -> Option<User> {
    let found = SqlUserStore::new(db.clone())
        .find_by_name(vec![username.to_owned()])
        .await;
    found.unwrap().remove(0)
}

async fn fail_to_sign_in(db: &Db, username: &str) {
    let attempt = Attempt {
        address: "192.0.2.1".to_owned(),
        username: username.to_owned(),
    };
    SqlAttemptStore::new(db.clone())
        .count(&[attempt], NOW)
        .await
        .unwrap();
}

async fn an_export_has_all_that_is_kept(db: Db) {
    let alice = stored(&db, "alice").await;
    fail_to_sign_in(&db, "alice").await;
    fail_to_sign_in(&db, "alice").await;
    fail_to_sign_in(&db, "bob").await;

    let operators = SqlOperatorStore::new(db);
    let kept = operators.export("alice".to_owned()).await.unwrap().unwrap();
    assert_eq!(kept.user, alice);
    assert_eq!(kept.email, "alice@example.com");
    assert_eq!(kept.pw_hash.format(), "sha1");
    let failures = kept.failures.iter();
    let failures: Vec<_> = failures
        .map(|one| (one.failures, one.started_millis))
        .collect();
    assert_eq!(failures, [(2, NOW)]);
    assert_eq!(operators.export("bob".to_owned()).await.unwrap(), None);
}

async fn a_reset_ends_every_session(db: Db) {
    stored(&db, "alice").await;
    let operators = SqlOperatorStore::new(db.clone());
    let hash = PasswordHash::stored("new".to_owned());
    assert!(operators.reset("alice".to_owned(), &hash).await.unwrap());
    assert!(!operators.reset("bob".to_owned(), &hash).await.unwrap());

    let credential = SqlUserStore::new(db)
        .find_credentials(vec!["alice".to_owned()])
        .await;
    let credential = credential.unwrap().remove(0).unwrap();
    assert_eq!(
        (credential.pw_hash, credential.user.session_epoch),
        (hash, 1)
    );
}

async fn a_moderator_is_one_until_told_otherwise(db: Db) {
    assert!(!stored(&db, "alice").await.moderator);
    let operators = SqlOperatorStore::new(db.clone());
    for moderator in [true, true, false] {
        assert!(
            operators
                .set_moderator("alice".to_owned(), moderator)
                .await
                .unwrap()
        );
        assert_eq!(find(&db, "alice").await.unwrap().moderator, moderator);
    }
    assert!(
        !operators
            .set_moderator("bob".to_owned(), true)
            .await
            .unwrap()
    );
}

async fn nobody_finds_a_deleted_account_and_nobody_gets_its_name(db: Db) {
    let alice = stored(&db, "alice").await;
    fail_to_sign_in(&db, "alice").await;
    let (users, operators) = (
        SqlUserStore::new(db.clone()),
        SqlOperatorStore::new(db.clone()),
    );
    assert!(!operators.delete(Uuid::now_v7(), NOW, NOW).await.unwrap());
    assert!(!operators.is_deleted(alice.id).await.unwrap());
    for _ in 0..2 {
        assert!(operators.delete(alice.id, NOW, NOW).await.unwrap());
    }
    assert!(operators.is_deleted(alice.id).await.unwrap());

    assert_eq!(find(&db, "alice").await, None);
    assert_eq!(users.find_by_id(vec![alice.id]).await.unwrap(), [None]);
    let credentials = users.find_credentials(vec!["alice".to_owned()]).await;
    assert_eq!(credentials.unwrap(), [None]);
    assert_eq!(operators.export("alice".to_owned()).await.unwrap(), None);
    assert!(!users.end_sessions(alice.id, 1, None).await.unwrap());
    let hash = PasswordHash::stored("new".to_owned());
    assert!(!operators.reset("alice".to_owned(), &hash).await.unwrap());

    let again = users.insert(vec![account("alice")]).await.unwrap();
    assert_eq!(again, [Inserted::NameTaken]);
    let same = NewAccount {
        id: alice.id,
        ..account("alice")
    };
    assert_eq!(
        users.insert(vec![same]).await.unwrap(),
        [Inserted::NameTaken]
    );
}

async fn a_deletion_is_told_and_handed_out_until_it_is_done(db: Db) {
    let [alice, bob] = [stored(&db, "alice").await, stored(&db, "bob").await];
    let operators = SqlOperatorStore::new(db);
    operators.delete(alice.id, NOW, NOW + 5_000).await.unwrap();
    let told = operators.deleted_since(NOW).await.unwrap();
    assert_eq!((told[0].id, told[0].username.as_str()), (alice.id, "alice"));
    assert!(
        operators
            .deleted_since(NOW + 600_000)
            .await
            .unwrap()
            .is_empty()
    );
    assert_ne!(told[0].id, bob.id);

    // In the hand of whoever deleted it, then in anybody's.
    assert_eq!(operators.pending(NOW + 4_999).await.unwrap(), NOBODY);
    let later = NOW + 5_000;
    assert_eq!(operators.pending(later).await.unwrap(), [alice.id]);
    let leases = operators
        .lease(vec![alice.id], later, later + 5_000)
        .await
        .unwrap();
    operators.conclude(&leases).await.unwrap();

    // What was under way meanwhile is looked for once more.
    assert_eq!(operators.pending(later + 5_000).await.unwrap(), NOBODY);
    let last = NOW + GRACE_MILLIS;
    assert_eq!(operators.pending(last).await.unwrap(), [alice.id]);
    let leases = operators
        .lease(vec![alice.id], last, last + 5_000)
        .await
        .unwrap();
    operators.conclude(&leases).await.unwrap();
    assert_eq!(operators.pending(last + 600_000).await.unwrap(), NOBODY);
}

async fn a_deletion_is_in_one_hand_at_a_time(db: Db) {
    let alice = stored(&db, "alice").await;
    let operators = SqlOperatorStore::new(db);
    operators.delete(alice.id, NOW, NOW).await.unwrap();
    let lease = || operators.lease(vec![alice.id], NOW, NOW + 5_000);
    let (one, other, third) = tokio::try_join!(lease(), lease(), lease()).unwrap();
    assert_eq!(one.len() + other.len() + third.len(), 1);
}
