//! Contract of the store of accounts.

use std::sync::Arc;

use database::db::Db;
use minitwit_user::{
    password::PasswordHash,
    store::{InsertOutcome, NewAccount, SqlUserStore, User, UserStore},
};
use uuid::Uuid;

contract!(
    an_account_is_found_by_name_and_by_id,
    results_of_look_ups_are_in_the_order_of_the_request,
    the_seed_of_an_avatar_ignores_case_and_spaces_of_the_email_address,
    a_name_is_taken_once,
    a_repeated_insert_succeeds,
    an_id_belongs_to_one_name,
    the_first_account_of_a_batch_gets_the_name,
    one_of_concurrent_batches_gets_the_name,
    names_are_compared_byte_by_byte,
    a_batch_of_a_thousand_accounts_is_stored,
    a_credential_has_the_stored_hash,
    a_hash_is_replaced_only_if_the_stored_hash_is_the_old_one,
    sessions_of_an_epoch_end_once,
);

async fn an_account_is_found_by_name_and_by_id(db: Db) {
    let store = SqlUserStore::new(db);
    let alice = stored(&store, account("alice")).await;

    assert_eq!(alice.username, "alice");
    assert_eq!(alice.session_epoch, 0);
    assert_eq!(by_name(&store, &["alice"]).await, [Some(alice.clone())]);
    assert_eq!(by_name(&store, &["bob"]).await, [None]);
    let ids = vec![alice.id, Uuid::now_v7()];
    let found = store.find_by_id(ids).await.unwrap();
    assert_eq!(found, [Some(alice), None]);
}

async fn results_of_look_ups_are_in_the_order_of_the_request(db: Db) {
    let store = SqlUserStore::new(db);
    let alice = stored(&store, account("alice")).await;
    let bob = stored(&store, account("bob")).await;

    let found = by_name(&store, &["bob", "nobody", "alice", "bob"]).await;
    assert_eq!(
        found,
        [
            Some(bob.clone()),
            None,
            Some(alice.clone()),
            Some(bob.clone())
        ]
    );
    let ids = vec![bob.id, alice.id, bob.id];
    let found = store.find_by_id(ids).await.unwrap();
    assert_eq!(found, [Some(bob.clone()), Some(alice), Some(bob)]);
}

async fn the_seed_of_an_avatar_ignores_case_and_spaces_of_the_email_address(db: Db) {
    let store = SqlUserStore::new(db);
    let alice = NewAccount {
        email: " MyEmailAddress@Example.com ".to_owned(),
        ..account("alice")
    };
    let alice = stored(&store, alice).await;
    assert_eq!(alice.avatar_hash, "0bc83cb571cd1c50ba6f3e8a78ef1346");
    assert_eq!(by_name(&store, &["alice"]).await, [Some(alice)]);
}

async fn a_name_is_taken_once(db: Db) {
    let store = SqlUserStore::new(db);
    let alice = stored(&store, account("alice")).await;
    let other = account("alice");

    assert_eq!(
        insert(&store, vec![other]).await,
        [InsertOutcome::NameTaken]
    );
    assert_eq!(by_name(&store, &["alice"]).await, [Some(alice)]);
}

async fn a_repeated_insert_succeeds(db: Db) {
    let store = SqlUserStore::new(db);
    let alice = account("alice");
    let first = stored(&store, alice.clone()).await;
    assert_eq!(stored(&store, alice.clone()).await, first);

    let twice = insert(&store, vec![alice.clone(), alice]).await;
    assert_eq!(twice, vec![InsertOutcome::Stored(first); 2]);
}

async fn an_id_belongs_to_one_name(db: Db) {
    let store = SqlUserStore::new(db);
    let alice = stored(&store, account("alice")).await;
    let mut impostor = account("bob");
    impostor.id = alice.id;

    let outcome = insert(&store, vec![impostor, account("carol")]).await;
    assert_eq!(outcome[0], InsertOutcome::IdTaken);
    assert!(matches!(outcome[1], InsertOutcome::Stored(_)));
    assert_eq!(by_name(&store, &["bob"]).await, [None]);
}

async fn the_first_account_of_a_batch_gets_the_name(db: Db) {
    let store = SqlUserStore::new(db);
    let mut batch: Vec<NewAccount> = (0..8).map(|_| account("alice")).collect();
    batch.insert(0, account("zoe"));
    batch.push(account("bob"));
    let first = batch[1].id;

    let outcomes = insert(&store, batch).await;
    for (index, outcome) in outcomes.iter().enumerate() {
        match index {
            0 | 1 | 9 => assert!(matches!(outcome, InsertOutcome::Stored(_)), "{index}"),
            _ => assert_eq!(*outcome, InsertOutcome::NameTaken, "{index}"),
        }
    }
    let [alice] = <[_; 1]>::try_from(by_name(&store, &["alice"]).await).unwrap();
    assert_eq!(alice.unwrap().id, first);
}

async fn one_of_concurrent_batches_gets_the_name(db: Db) {
    let store = Arc::new(SqlUserStore::new(db));
    let batches: Vec<_> = (0..8)
        .map(|_| {
            let store = Arc::clone(&store);
            // Batches in different orders would deadlock if the store locked rows in the order of a batch.
            tokio::spawn(async move {
                let batch = vec![account("alice"), account("bob"), account("alice")];
                insert(&*store, batch).await
            })
        })
        .collect();
    let mut winners = [0; 2];
    for batch in batches {
        let outcomes = batch.await.unwrap();
        for (index, outcome) in outcomes.into_iter().enumerate() {
            if let InsertOutcome::Stored(_) = outcome {
                winners[index % 2] += 1;
            }
        }
    }
    assert_eq!(winners, [1, 1]);
}

async fn names_are_compared_byte_by_byte(db: Db) {
    let store = SqlUserStore::new(db);
    let longest = "ø".repeat(127) + "x";
    assert_eq!(longest.len(), 255);
    let names = [
        "alice",
        "Alice",
        "alice ",
        " alice",
        "Roger Histand",
        "007",
        "7",
        "1e5",
        "æøå",
        "ÆØÅ",
        // Two encodings of the same letter, composed and decomposed.
        "\u{e9}",
        "e\u{301}",
        "👩‍👩‍👧‍👦 😀",
        "\"quoted\" \\ 'and' \u{1f}",
        "a/b%2F..",
        &longest,
    ];
    let accounts = names.iter().map(|name| account(name)).collect();
    for (name, outcome) in names.iter().zip(insert(&store, accounts).await) {
        assert!(matches!(outcome, InsertOutcome::Stored(_)), "{name:?}");
    }
    for (name, found) in names.iter().zip(by_name(&store, &names).await) {
        assert_eq!(found.unwrap().username, *name);
    }
}

async fn a_batch_of_a_thousand_accounts_is_stored(db: Db) {
    let store = SqlUserStore::new(db);
    let names: Vec<String> = (0..1000).map(|number| format!("user {number}")).collect();
    let accounts = names.iter().map(|name| account(name)).collect();
    let outcomes = insert(&store, accounts).await;
    assert!(
        outcomes
            .iter()
            .all(|outcome| matches!(outcome, InsertOutcome::Stored(_)))
    );

    let found = store.find_by_name(names).await.unwrap();
    assert_eq!(found.into_iter().flatten().count(), 1000);
}

async fn a_credential_has_the_stored_hash(db: Db) {
    let store = SqlUserStore::new(db);
    let alice = stored(&store, account("alice")).await;

    let names = vec!["nobody".to_owned(), "alice".to_owned()];
    let [unknown, found] =
        <[_; 2]>::try_from(store.find_credentials(names).await.unwrap()).unwrap();
    assert_eq!(unknown, None);
    let found = found.unwrap();
    assert_eq!(found.user, alice);
    assert_eq!(found.pw_hash, hash("first"));
}

async fn a_hash_is_replaced_only_if_the_stored_hash_is_the_old_one(db: Db) {
    let store = SqlUserStore::new(db);
    let alice = stored(&store, account("alice")).await;
    let replace = async |old, new| {
        let (old, new) = (hash(old), hash(new));
        store.replace_hash(alice.id, &old, &new).await.unwrap()
    };

    assert!(replace("first", "second").await);
    assert!(!replace("first", "third").await);
    let found = store.find_credentials(vec!["alice".to_owned()]).await;
    let found = found.unwrap().remove(0).unwrap();
    assert_eq!(found.pw_hash, hash("second"));
}

async fn sessions_of_an_epoch_end_once(db: Db) {
    let store = SqlUserStore::new(db);
    let alice = stored(&store, account("alice")).await;
    let new = hash("second");
    let credential = async || {
        let found = store.find_credentials(vec!["alice".to_owned()]).await;
        found.unwrap().remove(0).unwrap()
    };

    assert!(store.end_sessions(alice.id, 0, None).await.unwrap());
    assert!(!store.end_sessions(alice.id, 0, Some(&new)).await.unwrap());
    let found = credential().await;
    assert_eq!(
        (found.user.session_epoch, found.pw_hash),
        (1, hash("first"))
    );

    assert!(store.end_sessions(alice.id, 1, Some(&new)).await.unwrap());
    let found = credential().await;
    assert_eq!((found.user.session_epoch, found.pw_hash), (2, new));
    let unknown = Uuid::now_v7();
    assert!(!store.end_sessions(unknown, 0, None).await.unwrap());
}

fn account(username: &str) -> NewAccount {
    NewAccount {
        id: Uuid::now_v7(),
        username: username.to_owned(),
        email: format!("{username}@example.com"),
        pw_hash: hash("first"),
    }
}

/// A hash. The store accepts any text.
fn hash(text: &str) -> PasswordHash {
    PasswordHash::stored(text.to_owned())
}

async fn insert(store: &impl UserStore, accounts: Vec<NewAccount>) -> Vec<InsertOutcome> {
    store.insert(accounts).await.unwrap()
}

async fn stored(store: &impl UserStore, account: NewAccount) -> User {
    match insert(store, vec![account]).await.remove(0) {
        InsertOutcome::Stored(user) => user,
        refused => panic!("{refused:?}"),
    }
}

async fn by_name(store: &impl UserStore, names: &[&str]) -> Vec<Option<User>> {
    let names = names.iter().map(|&name| name.to_owned()).collect();
    store.find_by_name(names).await.unwrap()
}
