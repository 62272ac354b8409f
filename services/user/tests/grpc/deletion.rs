//! Deletions of accounts over gRPC.

use minitwit_proto::user::v1::{
    ConcludeDeletionsRequest, DeleteUsersRequest, LeaseDeletionsRequest, ListDeletionsRequest,
    UserDeletion, delete_user_result, deletion_service_client::DeletionServiceClient,
    operator_service_client::OperatorServiceClient,
};
use tonic::Code;

use crate::{Service, check, lookup, name, new_user, refused, register, taken};

const ADDRESS: &str = "192.0.2.1";

/// Defines the test for a client. The operator service has the same rpcs until the next release.
macro_rules! deletion_test {
    ($test:ident, $client:ident) => {
        #[tokio::test]
        async fn $test() {
            let service = Service::start().await;
            let mut client = service.client().await;
            let mut deletions = $client::new(service.running.channel().await);
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
                let response = deletions.delete_users(request).await.unwrap();
                response.into_inner().results.remove(0).outcome.unwrap()
            };
            let wrong = delete(Some("wrong")).await;
            let delete_user_result::Outcome::Error(wrong) = wrong else {
                panic!("{wrong:?}");
            };
            assert_eq!(Code::from_i32(wrong.code), Code::Unauthenticated);
            // A repeated deletion succeeds although the password can no longer be checked.
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

            let listed = deletions
                .list_deletions(ListDeletionsRequest { since_millis: 0 })
                .await;
            let listed = listed.unwrap().into_inner();
            assert_eq!(listed.deleted[0].username, "alice");
            assert!(listed.pending);
            let request = LeaseDeletionsRequest {
                limit: 10,
                lease_millis: 60_000,
            };
            let leases = deletions
                .lease_deletions(request)
                .await
                .unwrap()
                .into_inner()
                .leases;
            assert_eq!(leases[0].account_id, id);
            let nothing = deletions
                .lease_deletions(request)
                .await
                .unwrap()
                .into_inner();
            assert_eq!(nothing.leases, []);
            let request = ConcludeDeletionsRequest { leases };
            deletions.conclude_deletions(request).await.unwrap();
        }
    };
}

deletion_test!(
    a_deleted_account_stays_pending_until_it_is_concluded,
    DeletionServiceClient
);
deletion_test!(
    the_operator_service_deletes_accounts_as_well,
    OperatorServiceClient
);
