//! Checks of passwords.

use minitwit_proto::user::v1::user_service_client::UserServiceClient;
use minitwit_user::{
    password::PasswordHash,
    store::{InsertOutcome, NewAccount, SqlUserStore, UserStore},
};
use tonic::Code;
use uuid::Uuid;

use crate::{Service, check, new_user, refused, register, sign_in, verify};

#[tokio::test]
async fn an_account_of_the_old_system_signs_in_and_its_hash_is_replaced() {
    // The hashes were computed with Python's `hashlib` and `hmac`.
    let old = [
        (
            "pbkdf2",
            "default",
            "pbkdf2:sha256:50000$zrxYqWfg$b7a2eb0f8db955eb17abaf686d8172f0534588a9f30e67debdcff00a90cd31ba",
        ),
        (
            "scrypt",
            "s3cret/$pass",
            "scrypt:32768:8:1$oG8XnFzWmGcTqYdM$16c3b026de71c35e0f4d617f06ac848dd72fd63399ba01dcf25d97abf826c028cd0f72a475325c3973ec0a37d5a501250d1341c1fa5aabf9f3987d2e7b8c5092",
        ),
        (
            "sha1",
            "password",
            "sha1$Kq3v$72d33ba352a94ff1855070b1d993b10db56a6ec5",
        ),
    ];
    let service = Service::start().await;
    let mut client = service.client().await;
    let store = service.store().await;
    let damaged = ("damaged", "", "sha1$Kq3v$72d33ba3");
    for (username, _, hash) in old.into_iter().chain([damaged]) {
        import(&store, username, hash).await;
    }
    let kept = async |username: &str| {
        let found = store.find_credentials(vec![username.to_owned()]).await;
        found.unwrap().remove(0).unwrap().pw_hash
    };

    for (username, password, hash) in old {
        let wrong = sign_in(&mut client, username, "wrong", "::1").await;
        assert_eq!(wrong, refused(Code::Unauthenticated, "Invalid password"));
        assert_eq!(kept(username).await.as_str(), hash);

        let right = sign_in(&mut client, username, password, "::1").await;
        assert_eq!(right.unwrap().username, username);
        let renewed = kept(username).await;
        assert!(renewed.as_str().starts_with("$argon2id$"), "{username}");

        let again = sign_in(&mut client, username, password, "::1").await;
        assert!(again.is_ok());
        assert_eq!(kept(username).await, renewed);
    }
    for password in ["", "password"] {
        let outcome = sign_in(&mut client, "damaged", password, "::1").await;
        assert_eq!(outcome, refused(Code::Unauthenticated, "Invalid password"));
    }
}

#[tokio::test]
async fn an_attacker_is_blocked_on_every_replica_and_other_addresses_are_not() {
    let service = Service::start().await;
    let mut client = service.client().await;
    register(&mut client, vec![new_user("alice"), new_user("bob")]).await;
    let guesses = (0..7).map(|_| check("alice", "guess", "6.6.6.6"));
    let guesses = verify(&mut client, guesses.collect()).await;
    let wrong = refused(Code::Unauthenticated, "Invalid password");
    assert_eq!(guesses, vec![wrong.clone(); 7]);

    let other = service.replica().await;
    let mut client = UserServiceClient::new(other.channel().await);
    for _ in 0..3 {
        let guess = sign_in(&mut client, "alice", "guess", "6.6.6.6").await;
        assert_eq!(guess, wrong);
    }
    let (code, message) = sign_in(&mut client, "alice", "secret", "6.6.6.6")
        .await
        .unwrap_err();
    assert_eq!(code, Code::ResourceExhausted);
    // A slow test run may have started the window a minute ago.
    assert!(
        message.starts_with("Too many failed sign-ins, try again in 1"),
        "{message}"
    );

    for (username, address) in [("alice", "1.1.1.1"), ("bob", "6.6.6.6"), ("alice", "")] {
        let outcome = sign_in(&mut client, username, "secret", address).await;
        assert_eq!(outcome.unwrap().username, username);
    }
}

#[tokio::test]
async fn a_successful_sign_in_removes_the_earlier_failures() {
    let service = Service::start().await;
    let mut client = service.client().await;
    register(&mut client, vec![new_user("alice")]).await;
    for _ in 0..2 {
        let guesses = (0..9).map(|_| check("alice", "guess", "::1"));
        verify(&mut client, guesses.collect()).await;
        assert!(sign_in(&mut client, "alice", "secret", "::1").await.is_ok());
    }
}

#[tokio::test]
async fn sign_ins_outside_the_limits_get_the_answer_of_wrong_sign_ins() {
    let service = Service::start().await;
    let mut client = service.client().await;
    register(&mut client, vec![new_user("alice")]).await;
    let long = "x".repeat(2000);
    let checks = vec![
        check("", "secret", "::1"),
        check("a\0", "secret", "::1"),
        check(&long, "secret", "::1"),
        check("alice", &long, "::1"),
        check("alice", "", "::1"),
        check("alice", "secret", "\0"),
        check("alice", "secret", "::1"),
    ];
    let codes: Vec<Code> = verify(&mut client, checks)
        .await
        .into_iter()
        .map(|outcome| outcome.map_or_else(|(code, _)| code, |_| Code::Ok))
        .collect();
    assert_eq!(
        codes,
        [
            Code::NotFound,
            Code::NotFound,
            Code::NotFound,
            Code::Unauthenticated,
            Code::Unauthenticated,
            Code::InvalidArgument,
            Code::Ok,
        ]
    );
}

async fn import(store: &SqlUserStore, username: &str, hash: &str) {
    let account = NewAccount {
        id: Uuid::now_v7(),
        username: username.to_owned(),
        email: "someone@example.com".to_owned(),
        pw_hash: PasswordHash::stored(hash.to_owned()),
    };
    let outcome = store.insert(vec![account]).await.unwrap();
    assert!(matches!(outcome[..], [InsertOutcome::Stored(_)]));
}
