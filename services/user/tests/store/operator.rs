//! Contract of the store of operators.

use database::db::Db;
use minitwit_user::{
    operator::store::{OperatorStore, SqlOperatorStore},
    password::PasswordHash,
    store::{InsertOutcome, NewAccount, SqlUserStore, User, UserStore},
    throttle::{Attempt, AttemptStore, SqlAttemptStore},
};
use uuid::Uuid;

contract!(
    an_export_has_all_stored_data,
    a_reset_ends_all_sessions,
    an_account_is_a_moderator_until_the_role_is_taken_away,
);

pub(crate) const NOW: i64 = 1_700_000_000_000;

pub(crate) fn account(username: &str) -> NewAccount {
    NewAccount {
        id: Uuid::now_v7(),
        username: username.to_owned(),
        email: format!("{username}@example.com"),
        pw_hash: PasswordHash::stored("sha1$a$00".to_owned()),
    }
}

pub(crate) async fn stored(db: &Db, username: &str) -> User {
    let inserted = SqlUserStore::new(db.clone())
        .insert(vec![account(username)])
        .await;
    match inserted.unwrap().remove(0) {
        InsertOutcome::Stored(user) => user,
        outcome => panic!("{outcome:?}"),
    }
}

pub(crate) async fn find(db: &Db, username: &str) -> Option<User> {
    let found = SqlUserStore::new(db.clone())
        .find_by_name(vec![username.to_owned()])
        .await;
    found.unwrap().remove(0)
}

pub(crate) async fn fail_to_sign_in(db: &Db, username: &str) {
    let attempt = Attempt {
        address: "192.0.2.1".to_owned(),
        username: username.to_owned(),
    };
    SqlAttemptStore::new(db.clone())
        .count(&[attempt], NOW)
        .await
        .unwrap();
}

async fn an_export_has_all_stored_data(db: Db) {
    let alice = stored(&db, "alice").await;
    fail_to_sign_in(&db, "alice").await;
    fail_to_sign_in(&db, "alice").await;
    fail_to_sign_in(&db, "bob").await;

    let operators = SqlOperatorStore::new(db);
    let export = operators.export("alice".to_owned()).await.unwrap().unwrap();
    assert_eq!(export.user, alice);
    assert_eq!(export.email, "alice@example.com");
    assert_eq!(export.pw_hash.format(), "sha1");
    let failures = export.failures.iter();
    let failures: Vec<_> = failures
        .map(|failures| (failures.failures, failures.started_millis))
        .collect();
    assert_eq!(failures, [(2, NOW)]);
    assert_eq!(operators.export("bob".to_owned()).await.unwrap(), None);
}

async fn a_reset_ends_all_sessions(db: Db) {
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

async fn an_account_is_a_moderator_until_the_role_is_taken_away(db: Db) {
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
