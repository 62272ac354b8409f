//! Imports, password resets and moderators over gRPC.

use chassis::stamp;
use minitwit_proto::user::v1::{
    ImportUsersRequest, ImportedUser, ModeratorUpdate, PasswordReset, ResetPasswordsRequest,
    SetModeratorsRequest, import_user_result::Outcome,
    operator_service_client::OperatorServiceClient, reset_password_result, set_moderator_result,
};
use tonic::{Code, transport::Channel};

use crate::{Service, check, lookup, name, new_user, refused, register, sign_in, verify};

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
async fn an_imported_account_signs_in_with_its_password_of_the_other_system() {
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
            None => panic!("a result has no outcome"),
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
async fn a_one_time_password_is_valid_for_one_sign_in() {
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
    // Of two concurrent sign-ins one succeeds.
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
async fn a_look_up_shows_the_role_of_a_moderator() {
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
