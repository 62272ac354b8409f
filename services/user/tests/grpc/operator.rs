//! The operator's hand, through a real client.

use chassis::stamp;
use minitwit_proto::user::v1::{
    ConcludeDeletionsRequest, DeleteUsersRequest, ImportUsersRequest, ImportedUser,
    LeaseDeletionsRequest, ListDeletionsRequest, ModeratorUpdate, PasswordReset,
    ResetPasswordsRequest, SetModeratorsRequest, UserDeletion, delete_user_result,
    import_user_result::Outcome, operator_service_client::OperatorServiceClient,
    reset_password_result, set_moderator_result,
};
use tonic::{Code, transport::Channel};

use crate::{Service, check, lookup, name, new_user, refused, register, sign_in, taken, verify};

const ADDRESS: &str = "192.0.2.1";

async fn operators(service: &Service) -> OperatorServiceClient<Channel> {
    OperatorServiceClient::new(service.running.channel().await)
}

fn imported(number: u128, username: &str, password_hash: &str) -> ImportedUser {
    ImportedUser {
        id: stamp::from_name(0, number).as_bytes().to_vec().into(),
        username: username.to_owned(),
        email: String::new(),
        password_hash: password_hash.to_owned(),
    }
}

#[tokio::test]
async fn an_imported_account_signs_in_with_the_password_it_had() {
    let service = Service::start().await;
    let (mut client, mut operators) = (service.client().await, operators(&service).await);
    register(&mut client, vec![new_user("bob")]).await;
    let sha1 = "sha1$Kq3v$72d33ba352a94ff1855070b1d993b10db56a6ec5";
    let users = vec![
        imported(1, "alice", sha1),
        imported(2, "bob", sha1),
        imported(3, "", sha1),
        imported(4, "carol", "7"),
    ];
    for stored_before in [false, true] {
        let request = ImportUsersRequest {
            users: users.clone(),
        };
        let response = operators.import_users(request).await.unwrap();
        let results = response.into_inner().results;
        let codes = results.iter().map(|result| match result.outcome.as_ref() {
            Some(Outcome::User(_)) => Code::Ok,
            Some(Outcome::Error(error)) => Code::from_i32(error.code),
            None => panic!("each is answered"),
        });
        let codes: Vec<Code> = codes.collect();
        let expected = [
            Code::Ok,
            Code::AlreadyExists,
            Code::InvalidArgument,
            Code::Ok,
        ];
        assert_eq!(codes, expected);
        assert_eq!(results[0].stored_before, stored_before);
    }
    let alice = sign_in(&mut client, "alice", "password", ADDRESS).await;
    assert_eq!(alice.unwrap().username, "alice");
    let carol = sign_in(&mut client, "carol", "7", ADDRESS).await;
    assert_eq!(carol, refused(Code::Unauthenticated, "Invalid password"));
}

#[tokio::test]
async fn a_one_time_password_opens_one_session() {
    let service = Service::start().await;
    let (mut client, mut operators) = (service.client().await, operators(&service).await);
    register(&mut client, vec![new_user("alice")]).await;
    let reset = PasswordReset {
        username: "alice".to_owned(),
        one_time_password: "once".to_owned(),
    };
    let request = ResetPasswordsRequest {
        resets: vec![reset],
    };
    let response = operators.reset_passwords(request).await.unwrap();
    let outcome = response.into_inner().results.remove(0).outcome.unwrap();
    assert!(
        matches!(outcome, reset_password_result::Outcome::User(user) if user.session_epoch == 1)
    );

    let old = sign_in(&mut client, "alice", "secret", ADDRESS).await;
    assert_eq!(old, refused(Code::Unauthenticated, "Invalid password"));
    // Two at the same moment: one comes in.
    let checks = vec![check("alice", "once", ""), check("alice", "once", "")];
    let verified = verify(&mut client, checks).await;
    assert_eq!(
        verified.iter().filter(|verified| verified.is_ok()).count(),
        1
    );
    let again = sign_in(&mut client, "alice", "once", ADDRESS).await;
    assert_eq!(again, refused(Code::Unauthenticated, "Invalid password"));
}

#[tokio::test]
async fn a_moderator_is_seen_to_be_one() {
    let service = Service::start().await;
    let (mut client, mut operators) = (service.client().await, operators(&service).await);
    register(&mut client, vec![new_user("alice")]).await;
    let update = ModeratorUpdate {
        username: "alice".to_owned(),
        moderator: true,
    };
    let request = SetModeratorsRequest {
        updates: vec![update],
    };
    let response = operators.set_moderators(request).await.unwrap();
    let outcome = response.into_inner().results.remove(0).outcome.unwrap();
    assert!(matches!(outcome, set_moderator_result::Outcome::User(user) if user.moderator));
    let found = lookup(&mut client, vec![name("alice")]).await.remove(0);
    assert!(found.unwrap().moderator);
}

#[tokio::test]
async fn an_account_is_deleted_by_its_password_and_handed_out_until_it_is_done() {
    let service = Service::start().await;
    let (mut client, mut operators) = (service.client().await, operators(&service).await);
    let alice = register(&mut client, vec![new_user("alice")])
        .await
        .remove(0);
    let id = alice.unwrap().id;
    let mut delete = async |password: Option<&str>| {
        let deletion = UserDeletion {
            account_id: id.clone(),
            check: password.map(|password| check("alice", password, ADDRESS)),
            lease_millis: 0,
        };
        let request = DeleteUsersRequest {
            deletions: vec![deletion],
        };
        let response = operators.delete_users(request).await.unwrap();
        response.into_inner().results.remove(0).outcome.unwrap()
    };
    let wrong = delete(Some("wrong")).await;
    let delete_user_result::Outcome::Error(wrong) = wrong else {
        panic!("{wrong:?}");
    };
    assert_eq!(Code::from_i32(wrong.code), Code::Unauthenticated);
    // A repetition, whose password nobody can check any more, succeeds again.
    for _ in 0..2 {
        let deleted = delete(Some("secret")).await;
        assert!(
            matches!(deleted, delete_user_result::Outcome::Applied(_)),
            "{deleted:?}"
        );
    }
    let gone = lookup(&mut client, vec![name("alice")]).await.remove(0);
    assert_eq!(gone, refused(Code::NotFound, "no such user"));
    let again = register(&mut client, vec![new_user("alice")])
        .await
        .remove(0);
    assert_eq!(again, taken());

    let listed = operators
        .list_deletions(ListDeletionsRequest { since_millis: 0 })
        .await;
    let listed = listed.unwrap().into_inner();
    assert_eq!(listed.deleted[0].username, "alice");
    assert!(listed.pending);
    let request = LeaseDeletionsRequest {
        limit: 10,
        lease_millis: 60_000,
    };
    let leases = operators
        .lease_deletions(request)
        .await
        .unwrap()
        .into_inner()
        .leases;
    assert_eq!(leases[0].account_id, id);
    let nothing = operators
        .lease_deletions(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(nothing.leases, []);
    let request = ConcludeDeletionsRequest { leases };
    operators.conclude_deletions(request).await.unwrap();
}
