//! Results of calls while the database is unavailable.

use chassis::per_item::WriteOutcome;
use database::store::StoreError;
use minitwit_follower::{
    service::Follows,
    store::{ConditionalQuery, Edge, FollowCounts, FollowList, FollowUpdate, FollowerStore},
};
use minitwit_proto::follower::v1::{
    self as proto, SetFollowsRequest, follower_service_server::FollowerService as _,
};
use tonic::{Code, Request};
use uuid::Uuid;

struct UnavailableStore;

fn unavailable<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable(sqlx::Error::PoolTimedOut))
}

impl FollowerStore for UnavailableStore {
    async fn set(&self, _: Vec<FollowUpdate>) -> Result<Vec<WriteOutcome>, StoreError> {
        unavailable()
    }

    async fn list(&self, _: &[ConditionalQuery]) -> Result<Vec<Option<FollowList>>, StoreError> {
        unavailable()
    }

    async fn check(&self, _: Vec<Edge>) -> Result<Vec<bool>, StoreError> {
        unavailable()
    }

    async fn count(&self, _: Vec<Uuid>) -> Result<Vec<FollowCounts>, StoreError> {
        unavailable()
    }
}

#[tokio::test]
async fn a_call_is_unavailable_without_details_while_the_database_is_unavailable() {
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
    let status = Follows::new(UnavailableStore)
        .set_follows(Request::new(request))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.message(), "the database is unavailable");
}

#[tokio::test]
async fn an_invalid_item_is_refused_without_the_database() {
    let request = SetFollowsRequest {
        updates: vec![proto::FollowUpdate::default()],
    };
    let answer = Follows::new(UnavailableStore)
        .set_follows(Request::new(request))
        .await;
    assert_eq!(answer.unwrap().into_inner().results.len(), 1);
}
