//! Ending sessions, with and without a new password.

use minitwit_proto::user::v1::{
    ChangePasswordsRequest, EndSessionsRequest, PasswordChange, SessionEnd, change_password_result,
    end_sessions_result,
};
use tonic::Code;

use crate::{Client, Outcome, Service, check, name, new_user, refused, register, sign_in};

const ADDRESS: &str = "192.0.2.1";

#[tokio::test]
async fn a_changed_password_ends_all_sessions_and_a_repeated_change_succeeds() {
    let service = Service::start().await;
    let mut client = service.client().await;
    register(&mut client, vec![new_user("alice")]).await;

    let wrong = change(&mut client, ("wrong", "better"), 0).await;
    assert_eq!(wrong, refused(Code::Unauthenticated, "Invalid password"));
    let empty = change(&mut client, ("secret", ""), 0).await;
    assert_eq!(empty.unwrap_err().0, Code::InvalidArgument);

    for _ in 0..2 {
        let changed = change(&mut client, ("secret", "better"), 0).await;
        assert_eq!(changed.unwrap().session_epoch, 1);
    }
    let old_session = change(&mut client, ("better", "best"), 0).await;
    assert_eq!(old_session.unwrap_err().0, Code::Aborted);
    let old = sign_in(&mut client, "alice", "secret", ADDRESS).await;
    assert_eq!(old, refused(Code::Unauthenticated, "Invalid password"));
    let new = sign_in(&mut client, "alice", "better", ADDRESS).await;
    assert_eq!(new.unwrap().session_epoch, 1);
}

#[tokio::test]
async fn a_session_can_end_all_sessions_unless_it_has_ended() {
    let service = Service::start().await;
    let mut client = service.client().await;
    let alice = register(&mut client, vec![new_user("alice")])
        .await
        .remove(0)
        .unwrap();

    for _ in 0..2 {
        let ended = end(&mut client, &alice.id, 0).await;
        assert_eq!(ended.unwrap().session_epoch, 1);
    }
    assert_eq!(
        end(&mut client, &alice.id, 1).await.unwrap().session_epoch,
        2
    );
    assert_eq!(
        end(&mut client, &alice.id, 0).await.unwrap_err().0,
        Code::Aborted
    );
    let unknown = end(&mut client, &[7; 16], 0).await;
    assert_eq!(unknown.unwrap_err().0, Code::NotFound);
    let found = crate::lookup(&mut client, vec![name("alice")])
        .await
        .remove(0);
    assert_eq!(found.unwrap().session_epoch, 2);
}

async fn change(client: &mut Client, (old, new): (&str, &str), session_epoch: i64) -> Outcome {
    use change_password_result::Outcome::{Error, User};
    let change = PasswordChange {
        check: Some(check("alice", old, ADDRESS)),
        new_password: new.to_owned(),
        session_epoch,
    };
    let request = ChangePasswordsRequest {
        changes: vec![change],
    };
    let response = client.change_passwords(request).await.unwrap();
    match response.into_inner().results.remove(0).outcome.unwrap() {
        User(user) => Ok(user),
        Error(error) => Err((Code::from_i32(error.code), error.message)),
    }
}

async fn end(client: &mut Client, id: &[u8], session_epoch: i64) -> Outcome {
    use end_sessions_result::Outcome::{Error, User};
    let end = SessionEnd {
        account_id: id.to_vec().into(),
        session_epoch,
    };
    let response = client
        .end_sessions(EndSessionsRequest { ends: vec![end] })
        .await
        .unwrap();
    match response.into_inner().results.remove(0).outcome.unwrap() {
        User(user) => Ok(user),
        Error(error) => Err((Code::from_i32(error.code), error.message)),
    }
}
