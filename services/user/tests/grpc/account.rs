//! Registration and look-up of accounts.

use std::time::Duration;

use chassis::deadline::Deadline;
use minitwit_proto::user::v1::{
    NewUser, RegisterUsersRequest, UserRef, user_service_client::UserServiceClient,
};
use tonic::Code;
use uuid::Uuid;

use crate::{Service, id, lookup, name, new_user, refused, register, registered, sign_in, taken};

#[tokio::test]
async fn a_registered_account_is_found_and_can_sign_in() {
    let service = Service::start().await;
    let mut client = service.client().await;
    let registered = register(&mut client, vec![new_user("Roger Histand")]).await;
    let [Ok(roger)] = &registered[..] else {
        panic!("{registered:?}");
    };
    assert_eq!(roger.username, "Roger Histand");
    assert_eq!(roger.avatar_hash.len(), 32);

    let found = lookup(&mut client, vec![name("Roger Histand"), id(&roger.id)]).await;
    assert_eq!(found, [Ok(roger.clone()), Ok(roger.clone())]);
    let checked = sign_in(&mut client, "Roger Histand", "secret", "::1").await;
    assert_eq!(checked, Ok(roger.clone()));
    let checked = sign_in(&mut client, "Roger Histand", "Secret", "::1").await;
    assert_eq!(checked, refused(Code::Unauthenticated, "Invalid password"));
    let checked = sign_in(&mut client, "roger histand", "secret", "::1").await;
    assert_eq!(checked, refused(Code::NotFound, "Invalid username"));
}

#[tokio::test]
async fn results_of_registrations_are_in_the_order_of_the_request() {
    let service = Service::start().await;
    let mut client = service.client().await;
    let broken = |change: fn(&mut NewUser)| {
        let mut user = new_user("broken");
        change(&mut user);
        user
    };
    let users = vec![
        broken(|user| user.username.clear()),
        new_user("first"),
        broken(|user| user.username = "x".repeat(256)),
        broken(|user| user.username.push('\0')),
        broken(|user| user.email = "nowhere".to_owned()),
        broken(|user| user.email = "x".repeat(320) + "@"),
        broken(|user| user.email.push('\0')),
        new_user("second"),
        broken(|user| user.password.clear()),
        broken(|user| user.password = "x".repeat(1025)),
        broken(|user| user.password.push('\0')),
        broken(|user| user.id = vec![0; 15].into()),
    ];
    let outcomes = register(&mut client, users).await;
    let messages: Vec<_> = outcomes
        .into_iter()
        .map(|outcome| match outcome {
            Ok(user) => user.username,
            Err((code, message)) => {
                assert_eq!(code, Code::InvalidArgument, "{message}");
                message
            }
        })
        .collect();
    assert_eq!(
        messages,
        [
            "the username is empty",
            "first",
            "the username has 256 bytes, at most 255 are taken",
            "the username contains a NUL character",
            "the email address has no \"@\"",
            "the email address has 321 bytes, at most 320 are taken",
            "the email address contains a NUL character",
            "second",
            "the password is empty",
            "the password has 1025 bytes, at most 1024 are taken",
            "the password contains a NUL character",
            "id must be 16 bytes, not 15",
        ]
    );
    let found = lookup(&mut client, vec![name("broken")]).await;
    assert_eq!(found, [refused(Code::NotFound, "no such user")]);
}

#[tokio::test]
async fn results_of_look_ups_are_in_the_order_of_the_request() {
    let service = Service::start().await;
    let mut client = service.client().await;
    let alice = register(&mut client, vec![new_user("alice")]).await;
    let alice = alice[0].clone().unwrap();
    let users = vec![
        name("nobody"),
        name("alice"),
        id(&[1, 2, 3]),
        id(&alice.id),
        name("a\0"),
        id(Uuid::now_v7().as_bytes()),
        UserRef { r#ref: None },
        name("alice"),
    ];
    let none = || refused(Code::NotFound, "no such user");
    let invalid = |message| refused(Code::InvalidArgument, message);
    assert_eq!(
        lookup(&mut client, users).await,
        [
            none(),
            Ok(alice.clone()),
            invalid("id must be 16 bytes, not 3"),
            Ok(alice.clone()),
            none(),
            none(),
            invalid("a look-up needs a name or an id"),
            Ok(alice),
        ]
    );
    assert!(lookup(&mut client, Vec::new()).await.is_empty());
}

#[tokio::test]
async fn a_repeated_registration_succeeds_and_a_second_account_of_the_name_is_refused() {
    let service = Service::start().await;
    let mut client = service.client().await;
    let alice = new_user("alice");
    let first = register(&mut client, vec![alice.clone()]).await;
    let again = register(&mut client, vec![alice.clone(), alice]).await;
    assert_eq!(again, [first[0].clone(), first[0].clone()]);

    let other = register(&mut client, vec![new_user("alice")]).await;
    assert_eq!(other, [taken()]);
}

#[tokio::test]
async fn one_of_many_concurrent_registrations_gets_the_name() {
    let service = Service::start().await;
    let other = service.replica().await;
    let clients = [
        service.client().await,
        UserServiceClient::new(other.channel().await),
    ];
    let attempts: Vec<_> = (0..8)
        .map(|number| {
            let mut client = clients[number % 2].clone();
            // Each rpc has two registrations, and each of the two replicas gets four rpcs.
            let users = vec![new_user("alice"), new_user("alice")];
            tokio::spawn(async move { register(&mut client, users).await })
        })
        .collect();
    let mut winners = 0;
    for attempt in attempts {
        for outcome in attempt.await.unwrap() {
            match outcome {
                Ok(_) => winners += 1,
                refusal => assert_eq!(refusal, taken()),
            }
        }
    }
    assert_eq!(winners, 1);
}

#[tokio::test]
async fn registrations_after_the_deadline_fail_and_create_no_account() {
    let service = Service::start().await;
    let mut client = service.client().await;
    let users = (0..200).map(|number| new_user(&format!("user {number}")));
    let request = RegisterUsersRequest {
        users: users.collect(),
    };
    let deadline = Deadline::after(Duration::from_millis(10));
    match client.register_users(deadline.request(request)).await {
        // tonic's own timer returns `Cancelled`.
        Err(status) => assert!(
            matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled),
            "{status:?}"
        ),
        Ok(response) => {
            let results = response.into_inner().results;
            assert!(
                results
                    .into_iter()
                    .map(registered)
                    .any(|outcome| { matches!(outcome, Err((Code::DeadlineExceeded, _))) })
            );
        }
    }
    // Passwords of expired registrations are not hashed, so the next registration does not wait for them.
    let [outcome] =
        <[_; 1]>::try_from(register(&mut client, vec![new_user("next")]).await).unwrap();
    assert_eq!(outcome.unwrap().username, "next");
    let found = lookup(&mut client, vec![name("user 199")]).await;
    assert_eq!(found, [refused(Code::NotFound, "no such user")]);
}
