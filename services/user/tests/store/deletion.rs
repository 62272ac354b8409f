//! Contract of the store of deletions.

use database::db::Db;
use minitwit_user::{
    deletion::store::{DeletionStore, GRACE_MILLIS, SqlDeletionStore},
    operator::store::{OperatorStore, SqlOperatorStore},
    password::PasswordHash,
    store::{InsertOutcome, NewAccount, SqlUserStore, UserStore},
};
use uuid::Uuid;

use crate::operator::{NOW, account, fail_to_sign_in, find, stored};

contract!(
    a_deleted_account_is_not_found_and_its_name_stays_taken,
    a_deletion_is_pending_until_it_is_concluded_after_the_grace_period,
    one_caller_at_a_time_has_the_lease_of_a_deletion,
);

const NO_ACCOUNTS: [Uuid; 0] = [];

async fn a_deleted_account_is_not_found_and_its_name_stays_taken(db: Db) {
    let alice = stored(&db, "alice").await;
    fail_to_sign_in(&db, "alice").await;
    let users = SqlUserStore::new(db.clone());
    let operators = SqlOperatorStore::new(db.clone());
    let deletions = SqlDeletionStore::new(db.clone());
    assert!(!deletions.delete(Uuid::now_v7(), NOW, NOW).await.unwrap());
    assert!(!deletions.is_deleted(alice.id).await.unwrap());
    for _ in 0..2 {
        assert!(deletions.delete(alice.id, NOW, NOW).await.unwrap());
    }
    assert!(deletions.is_deleted(alice.id).await.unwrap());

    assert_eq!(find(&db, "alice").await, None);
    assert_eq!(users.find_by_id(vec![alice.id]).await.unwrap(), [None]);
    let credentials = users.find_credentials(vec!["alice".to_owned()]).await;
    assert_eq!(credentials.unwrap(), [None]);
    assert_eq!(operators.export("alice".to_owned()).await.unwrap(), None);
    assert!(!users.end_sessions(alice.id, 1, None).await.unwrap());
    let hash = PasswordHash::stored("new".to_owned());
    assert!(!operators.reset("alice".to_owned(), &hash).await.unwrap());

    let again = users.insert(vec![account("alice")]).await.unwrap();
    assert_eq!(again, [InsertOutcome::NameTaken]);
    let same = NewAccount {
        id: alice.id,
        ..account("alice")
    };
    assert_eq!(
        users.insert(vec![same]).await.unwrap(),
        [InsertOutcome::NameTaken]
    );
}

async fn a_deletion_is_pending_until_it_is_concluded_after_the_grace_period(db: Db) {
    let [alice, bob] = [stored(&db, "alice").await, stored(&db, "bob").await];
    let deletions = SqlDeletionStore::new(db);
    deletions.delete(alice.id, NOW, NOW + 5_000).await.unwrap();
    let listed = deletions.deleted_since(NOW).await.unwrap();
    assert_eq!(
        (listed[0].id, listed[0].username.as_str()),
        (alice.id, "alice")
    );
    assert!(
        deletions
            .deleted_since(NOW + 600_000)
            .await
            .unwrap()
            .is_empty()
    );
    assert_ne!(listed[0].id, bob.id);

    // The caller that deleted the account has the first lease. Then the deletion is pending.
    assert_eq!(deletions.pending(NOW + 4_999).await.unwrap(), NO_ACCOUNTS);
    let later = NOW + 5_000;
    assert_eq!(deletions.pending(later).await.unwrap(), [alice.id]);
    let leases = deletions
        .lease(vec![alice.id], later, later + 5_000)
        .await
        .unwrap();
    deletions.conclude(&leases).await.unwrap();

    // The first lease started in the grace period, so the deletion becomes pending once more.
    assert_eq!(deletions.pending(later + 5_000).await.unwrap(), NO_ACCOUNTS);
    let last = NOW + GRACE_MILLIS;
    assert_eq!(deletions.pending(last).await.unwrap(), [alice.id]);
    let leases = deletions
        .lease(vec![alice.id], last, last + 5_000)
        .await
        .unwrap();
    deletions.conclude(&leases).await.unwrap();
    assert_eq!(
        deletions.pending(last + 600_000).await.unwrap(),
        NO_ACCOUNTS
    );
}

async fn one_caller_at_a_time_has_the_lease_of_a_deletion(db: Db) {
    let alice = stored(&db, "alice").await;
    let deletions = SqlDeletionStore::new(db);
    deletions.delete(alice.id, NOW, NOW).await.unwrap();
    let lease = || deletions.lease(vec![alice.id], NOW, NOW + 5_000);
    let (first, second, third) = tokio::try_join!(lease(), lease(), lease()).unwrap();
    assert_eq!(first.len() + second.len() + third.len(), 1);
}
