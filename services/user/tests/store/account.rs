//! Accounts.

use std::sync::Arc;

use database::db::Db;
use minitwit_user::{
    password::PasswordHash,
    store::{Inserted, NewAccount, SqlUserStore, User, UserStore},
};
use uuid::Uuid;

contract!(
    an_account_is_found_by_name_and_by_id,
    look_ups_are_answered_in_their_places,
    an_avatar_is_drawn_from_the_tidied_email_address,
    a_name_is_taken_once,
    a_repeated_registration_succeeds_again,
    an_id_belongs_to_one_name,
    of_one_batch_the_first_has_the_name,
    of_batches_side_by_side_one_has_the_name,
    names_are_bytes,
    a_batch_may_be_large,
    a_credential_is_what_was_stored,
    a_hash_is_replaced_only_while_it_is_the_old_one,
    sessions_end_once_an_epoch,
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

async fn look_ups_are_answered_in_their_places(db: Db) {
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

async fn an_avatar_is_drawn_from_the_tidied_email_address(db: Db) {
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

    assert_eq!(insert(&store, vec![other]).await, [Inserted::NameTaken]);
    assert_eq!(by_name(&store, &["alice"]).await, [Some(alice)]);
}

async fn a_repeated_registration_succeeds_again(db: Db) {
    let store = SqlUserStore::new(db);
    let alice = account("alice");
    let first = stored(&store, alice.clone()).await;
    assert_eq!(stored(&store, alice.clone()).await, first);

    let twice = insert(&store, vec![alice.clone(), alice]).await;
    assert_eq!(twice, vec![Inserted::Stored(first); 2]);
}

async fn an_id_belongs_to_one_name(db: Db) {
    let store = SqlUserStore::new(db);
    let alice = stored(&store, account("alice")).await;
    let mut impostor = account("bob");
    impostor.id = alice.id;

    let outcome = insert(&store, vec![impostor, account("carol")]).await;
    assert_eq!(outcome[0], Inserted::IdTaken);
    assert!(matches!(outcome[1], Inserted::Stored(_)));
    assert_eq!(by_name(&store, &["bob"]).await, [None]);
}

async fn of_one_batch_the_first_has_the_name(db: Db) {
    let store = SqlUserStore::new(db);
    let mut batch: Vec<NewAccount> = (0..8).map(|_| account("alice")).collect();
    batch.insert(0, account("zoe"));
    batch.push(account("bob"));
    let first = batch[1].id;

    let outcomes = insert(&store, batch).await;
    for (place, outcome) in outcomes.iter().enumerate() {
        match place {
            0 | 1 | 9 => assert!(matches!(outcome, Inserted::Stored(_)), "{place}"),
            _ => assert_eq!(*outcome, Inserted::NameTaken, "{place}"),
        }
    }
    let [alice] = <[_; 1]>::try_from(by_name(&store, &["alice"]).await).unwrap();
    assert_eq!(alice.unwrap().id, first);
}

async fn of_batches_side_by_side_one_has_the_name(db: Db) {
    let store = Arc::new(SqlUserStore::new(db));
    let batches: Vec<_> = (0..8)
        .map(|_| {
            let store = Arc::clone(&store);
            // In different orders, so that they would deadlock if locks were taken as they come.
            tokio::spawn(async move {
                let batch = vec![account("alice"), account("bob"), account("alice")];
                insert(&*store, batch).await
            })
        })
        .collect();
    let mut winners = [0; 2];
    for batch in batches {
        let outcomes = batch.await.unwrap();
        for (place, outcome) in outcomes.into_iter().enumerate() {
            if let Inserted::Stored(_) = outcome {
                winners[place % 2] += 1;
            }
        }
    }
    assert_eq!(winners, [1, 1]);
}

async fn names_are_bytes(db: Db) {
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
        // The same letter to a reader, composed and decomposed.
        "\u{e9}",
        "e\u{301}",
        "👩‍👩‍👧‍👦 😀",
        "\"quoted\" \\ 'and' \u{1f}",
        "a/b%2F..",
        &longest,
    ];
    let accounts = names.iter().map(|name| account(name)).collect();
    for (name, outcome) in names.iter().zip(insert(&store, accounts).await) {
        assert!(matches!(outcome, Inserted::Stored(_)), "{name:?}");
    }
    for (name, found) in names.iter().zip(by_name(&store, &names).await) {
        assert_eq!(found.unwrap().username, *name);
    }
}

async fn a_batch_may_be_large(db: Db) {
    let store = SqlUserStore::new(db);
    let names: Vec<String> = (0..1000).map(|number| format!("user {number}")).collect();
    let accounts = names.iter().map(|name| account(name)).collect();
    let outcomes = insert(&store, accounts).await;
    assert!(
        outcomes
            .iter()
            .all(|one| matches!(one, Inserted::Stored(_)))
    );

    let found = store.find_by_name(names).await.unwrap();
    assert_eq!(found.into_iter().flatten().count(), 1000);
}

async fn a_credential_is_what_was_stored(db: Db) {
    let store = SqlUserStore::new(db);
    let alice = stored(&store, account("alice")).await;

    let names = vec!["nobody".to_owned(), "alice".to_owned()];
    let [nobody, found] = <[_; 2]>::try_from(store.find_credentials(names).await.unwrap()).unwrap();
    assert_eq!(nobody, None);
    let found = found.unwrap();
    assert_eq!(found.user, alice);
    assert_eq!(found.pw_hash, hash("first"));
}

async fn a_hash_is_replaced_only_while_it_is_the_old_one(db: Db) {
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

async fn sessions_end_once_an_epoch(db: Db) {
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
    let nobody = Uuid::now_v7();
    assert!(!store.end_sessions(nobody, 0, None).await.unwrap());
}

fn account(username: &str) -> NewAccount {
    NewAccount {
        id: Uuid::now_v7(),
        username: username.to_owned(),
        email: format!("{username}@example.com"),
        pw_hash: hash("first"),
    }
}

/// A store takes any text for a hash.
fn hash(text: &str) -> PasswordHash {
    PasswordHash::stored(text.to_owned())
}

async fn insert(store: &impl UserStore, accounts: Vec<NewAccount>) -> Vec<Inserted> {
    store.insert(accounts).await.unwrap()
}

async fn stored(store: &impl UserStore, account: NewAccount) -> User {
    match insert(store, vec![account]).await.remove(0) {
        Inserted::Stored(user) => user,
        refused => panic!("{refused:?}"),
    }
}

async fn by_name(store: &impl UserStore, names: &[&str]) -> Vec<Option<User>> {
    let names = names.iter().map(|&name| name.to_owned()).collect();
    store.find_by_name(names).await.unwrap()
}
