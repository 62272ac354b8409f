//! What callers see of a database that is away.

use chassis::per_item::WriteOutcome;
use database::store::StoreError;
use minitwit_follower::{
    service::Follows,
    store::{Asked, Edge, FollowCounts, FollowList, FollowUpdate, FollowerStore},
};
use minitwit_proto::follower::v1::{
    self as proto, SetFollowsRequest, follower_service_server::FollowerService as _,
};
use tonic::{Code, Request};
use uuid::Uuid;

struct Away;

fn away<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable(sqlx::Error::PoolTimedOut))
}

impl FollowerStore for Away {
    async fn set(&self, _: Vec<FollowUpdate>) -> Result<Vec<WriteOutcome>, StoreError> {
        away()
    }

    async fn list(&self, _: &[Asked]) -> Result<Vec<Option<FollowList>>, StoreError> {
        away()
    }

    async fn check(&self, _: Vec<Edge>) -> Result<Vec<bool>, StoreError> {
        away()
    }

    async fn count(&self, _: Vec<Uuid>) -> Result<Vec<FollowCounts>, StoreError> {
        away()
    }
}

#[tokio::test]
async fn a_database_that_is_away_is_unavailable_and_nothing_more_is_told() {
    let id = || bytes::Bytes::from_static(&[7; 16]);
    let good = proto::FollowUpdate {
        follower_id: id(),
        followee_id: id(),
        following: true,
        stamp: id(),
    };
    let request = SetFollowsRequest {
        updates: vec![good],
    };
    let status = Follows::new(Away)
        .set_follows(Request::new(request))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.message(), "the database is unavailable");
}

#[tokio::test]
async fn what_is_not_valid_is_refused_without_the_database() {
    let request = SetFollowsRequest {
        updates: vec![proto::FollowUpdate::default()],
    };
    let answer = Follows::new(Away).set_follows(Request::new(request)).await;
    assert_eq!(answer.unwrap().into_inner().results.len(), 1);
}
