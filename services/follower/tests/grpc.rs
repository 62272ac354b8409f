//! Tests of the service over gRPC.

#![expect(clippy::unwrap_used, reason = "the helpers are tests too")]

use chassis::stamp::{Clock, from_name};
use minitwit_follower::{migrations, serve};
use minitwit_proto::{
    common::v1::{Applied, ItemError, Superseded, Unchanged},
    follower::v1::{
        CheckFollowsRequest, CountFollowsRequest, DeleteFollowsRequest, Direction,
        ExportFollowsRequest, FollowCheck, FollowCounts, FollowList, FollowUpdate, FollowsQuery,
        ImportFollowsRequest, ListFollowsRequest, SetFollowsRequest,
        deletion_service_client::DeletionServiceClient,
        follower_service_client::FollowerServiceClient, list_follows_result,
        operator_service_client::OperatorServiceClient, set_follow_result,
    },
    limits::EXPORT_ITEMS_MAX,
};
use test_database::{Engine, RunningService, TestDatabase, empty_database};
use tonic::{Code, transport::Channel};
use uuid::Uuid;

type Wire = bytes::Bytes;

/// A client of a running service.
struct Service {
    client: FollowerServiceClient<Channel>,
    running: RunningService,
    _database: TestDatabase,
}

async fn service() -> Service {
    let database = empty_database(Engine::Sqlite).await;
    database.open(&migrations()).await.close().await;
    let running = RunningService::start(database.service_config(), serve).await;
    Service {
        client: FollowerServiceClient::new(running.channel().await),
        running,
        _database: database,
    }
}

#[tokio::test]
async fn follows_are_set_and_listed_in_both_directions() {
    let mut service = service().await;
    let [alice, bob, carol] = accounts();
    let updates = vec![update(alice, bob, true), update(alice, carol, true)];
    assert_eq!(service.set(updates).await, [applied(), applied()]);

    assert_eq!(service.ids(alice, Direction::Followees).await, [bob, carol]);
    assert_eq!(service.ids(carol, Direction::Followers).await, [alice]);
    assert_eq!(
        service.set(vec![update(alice, bob, false)]).await,
        [applied()]
    );
    assert_eq!(service.ids(alice, Direction::Followees).await, [carol]);
}

#[tokio::test]
async fn a_delayed_follow_changes_nothing_after_a_newer_unfollow() {
    let mut service = service().await;
    let [alice, bob, _] = accounts();
    let clock = Clock::default();
    let delayed = FollowUpdate {
        stamp: wire(clock.stamp()),
        ..update(alice, bob, true)
    };
    let newer = FollowUpdate {
        stamp: wire(clock.stamp()),
        ..update(alice, bob, false)
    };
    let superseded = set_follow_result::Outcome::Superseded(Superseded {
        stored_stamp: newer.stamp.clone(),
    });

    assert_eq!(service.set(vec![newer]).await, [applied()]);
    assert_eq!(service.set(vec![delayed]).await, [superseded]);
    assert!(service.ids(alice, Direction::Followees).await.is_empty());
}

#[tokio::test]
async fn an_invalid_write_fails_alone() {
    let mut service = service().await;
    let [alice, bob, carol] = accounts();
    let updates = vec![
        FollowUpdate {
            follower_id: Wire::from_static(b"alice"),
            ..update(alice, bob, true)
        },
        update(alice, bob, true),
        FollowUpdate {
            followee_id: Wire::new(),
            ..update(alice, bob, true)
        },
        FollowUpdate {
            stamp: Wire::from_static(&[7; 17]),
            ..update(alice, bob, true)
        },
        update(alice, carol, true),
    ];
    let invalid = |message: &str| set_follow_result::Outcome::Error(invalid(message));
    assert_eq!(
        service.set(updates).await,
        [
            invalid("follower_id must be 16 bytes, not 5"),
            applied(),
            invalid("followee_id must be 16 bytes, not 0"),
            invalid("stamp must be 16 bytes, not 17"),
            applied(),
        ]
    );
    assert_eq!(service.ids(alice, Direction::Followees).await, [bob, carol]);
}

#[tokio::test]
async fn an_invalid_query_fails_alone() {
    let mut service = service().await;
    let [alice, ..] = accounts();
    let good = query(alice, Direction::Followees);
    let queries = vec![
        query(alice, Direction::Unspecified),
        FollowsQuery {
            account_id: Wire::from_static(b"a"),
            ..good.clone()
        },
        good.clone(),
        FollowsQuery {
            after_id: Wire::from_static(b"aa"),
            ..good.clone()
        },
        FollowsQuery {
            direction: 99,
            ..good
        },
    ];
    let invalid = |message: &str| list_follows_result::Outcome::Error(invalid(message));
    let empty = list_follows_result::Outcome::List(FollowList::default());
    assert_eq!(
        service.list(queries).await,
        [
            invalid("a list needs a direction"),
            invalid("account_id must be 16 bytes, not 1"),
            empty,
            invalid("after_id must be 16 bytes, not 2"),
            invalid("a list needs a direction"),
        ]
    );
}

#[tokio::test]
async fn a_known_list_is_unchanged_until_its_accounts_change() {
    let mut service = service().await;
    let [alice, bob, carol] = accounts();
    service.set(vec![update(alice, bob, true)]).await;
    let listed = service.list(vec![query(alice, Direction::Followees)]).await;
    let [list_follows_result::Outcome::List(list)] = &listed[..] else {
        panic!("{listed:?}");
    };
    let known = |version| FollowsQuery {
        known_version: Some(version),
        ..query(alice, Direction::Followees)
    };
    let queries = vec![
        known(list.version),
        known(list.version ^ 1),
        query(alice, Direction::Followees),
    ];
    let unchanged = list_follows_result::Outcome::Unchanged(Unchanged {});
    let whole = list_follows_result::Outcome::List(list.clone());
    assert_eq!(
        service.list(queries).await,
        [unchanged, whole.clone(), whole]
    );

    service.set(vec![update(alice, carol, true)]).await;
    let listed = service.list(vec![known(list.version)]).await;
    let [list_follows_result::Outcome::List(list)] = &listed[..] else {
        panic!("{listed:?}");
    };
    assert_eq!(ids(list), [bob, carol]);
}

#[tokio::test]
async fn a_page_has_at_most_its_limit_and_the_next_page_continues_it() {
    let mut service = service().await;
    let [alice, bob, carol] = accounts();
    service
        .set(vec![update(alice, bob, true), update(alice, carol, true)])
        .await;
    let page = FollowsQuery {
        limit: 1,
        ..query(alice, Direction::Followees)
    };
    let queries = vec![
        page.clone(),
        FollowsQuery {
            after_id: wire(bob),
            ..page.clone()
        },
        FollowsQuery { limit: 0, ..page },
        FollowsQuery {
            limit: u32::MAX,
            ..query(alice, Direction::Followees)
        },
    ];
    let pages: Vec<Vec<Uuid>> = service
        .list(queries)
        .await
        .into_iter()
        .map(|outcome| match outcome {
            list_follows_result::Outcome::List(list) => ids(&list),
            outcome => panic!("{outcome:?}"),
        })
        .collect();
    let expected: [&[Uuid]; 4] = [&[bob], &[carol], &[], &[bob, carol]];
    assert_eq!(pages, expected);
}

#[tokio::test]
async fn edges_are_checked_and_counted() {
    let mut service = service().await;
    let [alice, bob, carol] = accounts();
    service
        .set(vec![update(alice, bob, true), update(carol, bob, true)])
        .await;

    let checks = [(alice, bob), (bob, alice), (carol, bob), (alice, bob)];
    let checks = checks.map(|(from, to)| FollowCheck {
        follower_id: wire(from),
        followee_id: wire(to),
    });
    let request = CheckFollowsRequest {
        checks: checks.to_vec(),
    };
    let answer = service.client.check_follows(request).await.unwrap();
    assert_eq!(answer.into_inner().following, [true, false, true, true]);

    let request = CountFollowsRequest {
        account_ids: [bob, alice, Uuid::now_v7()].map(wire).to_vec(),
    };
    let answer = service.client.count_follows(request).await.unwrap();
    let expected = [(0, 2), (1, 0), (0, 0)].map(|(followees, followers)| FollowCounts {
        followees,
        followers,
    });
    assert_eq!(answer.into_inner().counts, expected);
}

#[tokio::test]
async fn an_invalid_id_fails_a_check_and_a_count() {
    let mut service = service().await;
    let request = CheckFollowsRequest {
        checks: vec![FollowCheck::default()],
    };
    let status = service.client.check_follows(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);

    let request = CountFollowsRequest {
        account_ids: vec![wire(Uuid::now_v7()), Wire::from_static(b"bob")],
    };
    let status = service.client.count_follows(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.message(), "account_id must be 16 bytes, not 3");
}

#[tokio::test]
async fn an_export_is_read_page_by_page_until_a_deletion_has_left_no_edges() {
    let service = service().await;
    let channel = service.running.channel().await;
    let mut operators = OperatorServiceClient::new(channel.clone());
    let mut deletions = DeletionServiceClient::new(channel);
    let alice = Uuid::now_v7();
    let updates = (0..EXPORT_ITEMS_MAX + 5).map(|_| FollowUpdate {
        stamp: wire(from_name(0, 1)),
        ..update(alice, Uuid::now_v7(), true)
    });
    let updates: Vec<FollowUpdate> = updates.collect();
    let request = ImportFollowsRequest {
        updates: updates.clone(),
    };
    operators.import_follows(request).await.unwrap();

    let mut request = ExportFollowsRequest {
        account_id: wire(alice),
        direction: Direction::Followees.into(),
        ..ExportFollowsRequest::default()
    };
    let first = operators.export_follows(request.clone()).await.unwrap();
    let first = first.into_inner();
    assert_eq!(first.edges.len(), EXPORT_ITEMS_MAX);
    request.page_token = first.next_page_token;
    let last = operators.export_follows(request).await.unwrap();
    let last = last.into_inner();
    assert_eq!([first.edges, last.edges].concat(), updates);
    assert!(last.next_page_token.is_empty());

    let request = DeleteFollowsRequest {
        account_ids: vec![wire(alice)],
    };
    let mut more = Vec::new();
    for _ in 0..2 {
        let response = deletions.delete_follows(request.clone()).await.unwrap();
        more.push(response.into_inner().more);
    }
    let response = operators.delete_follows(request).await.unwrap();
    more.push(response.into_inner().more);
    assert_eq!(more, [true, true, false]);
}

#[tokio::test]
async fn an_empty_request_has_an_empty_response() {
    let mut service = service().await;
    assert_eq!(service.set(Vec::new()).await, []);
    assert_eq!(service.list(Vec::new()).await, []);
    let checked = service.client.check_follows(CheckFollowsRequest::default());
    assert!(checked.await.unwrap().into_inner().following.is_empty());
    let counted = service.client.count_follows(CountFollowsRequest::default());
    assert!(counted.await.unwrap().into_inner().counts.is_empty());
}

impl Service {
    async fn set(&mut self, updates: Vec<FollowUpdate>) -> Vec<set_follow_result::Outcome> {
        let request = SetFollowsRequest { updates };
        let answer = self.client.set_follows(request).await.unwrap();
        let results = answer.into_inner().results.into_iter();
        results.map(|result| result.outcome.unwrap()).collect()
    }

    async fn list(&mut self, queries: Vec<FollowsQuery>) -> Vec<list_follows_result::Outcome> {
        let request = ListFollowsRequest { queries };
        let answer = self.client.list_follows(request).await.unwrap();
        let results = answer.into_inner().results.into_iter();
        results.map(|result| result.outcome.unwrap()).collect()
    }

    async fn ids(&mut self, account: Uuid, direction: Direction) -> Vec<Uuid> {
        match &self.list(vec![query(account, direction)]).await[..] {
            [list_follows_result::Outcome::List(list)] => ids(list),
            outcome => panic!("{outcome:?}"),
        }
    }
}

/// Three accounts, ascending by id.
fn accounts() -> [Uuid; 3] {
    [(); 3].map(|()| Uuid::now_v7())
}

fn wire(id: Uuid) -> Wire {
    Wire::copy_from_slice(id.as_bytes())
}

fn ids(list: &FollowList) -> Vec<Uuid> {
    chassis::per_item::decode_ids("ids", &list.ids).unwrap()
}

fn update(from: Uuid, to: Uuid, following: bool) -> FollowUpdate {
    FollowUpdate {
        follower_id: wire(from),
        followee_id: wire(to),
        following,
        stamp: wire(Uuid::now_v7()),
    }
}

fn query(account: Uuid, direction: Direction) -> FollowsQuery {
    FollowsQuery {
        account_id: wire(account),
        direction: direction.into(),
        limit: 100,
        ..FollowsQuery::default()
    }
}

fn applied() -> set_follow_result::Outcome {
    set_follow_result::Outcome::Applied(Applied {})
}

fn invalid(message: &str) -> ItemError {
    ItemError {
        code: Code::InvalidArgument.into(),
        message: message.to_owned(),
        ..ItemError::default()
    }
}
