//! Fake user, follower and message services.

use bytes::Bytes;
use chassis::per_item;
use minitwit_proto::{
    common::v1::Applied,
    follower::v1::{
        CheckFollowsRequest, CheckFollowsResponse, CountFollowsRequest, CountFollowsResponse,
        ListFollowsRequest, ListFollowsResponse, SetFollowsRequest, SetFollowsResponse,
        follower_service_server::FollowerService,
    },
    message::v1::{
        CountMessagesRequest, CountMessagesResponse, CreateMessagesRequest, CreateMessagesResponse,
        GetMessagesRequest, GetMessagesResponse, ListTimelinesRequest, ListTimelinesResponse,
        SetFlagsRequest, SetFlagsResponse, message_service_server::MessageService,
    },
    user::v1::{
        ChangePasswordsRequest, ChangePasswordsResponse, EndSessionsRequest, EndSessionsResponse,
        GetLatestRequest, GetLatestResponse, LookupUsersRequest, LookupUsersResponse,
        RegisterUsersRequest, RegisterUsersResponse, SetLatestRequest, SetLatestResponse, User,
        UserRef, VerifyPasswordsRequest, VerifyPasswordsResponse,
        api_client_service_server::ApiClientService, user_ref, user_service_server::UserService,
    },
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::rpc::Rpc;

/// Response of an rpc that no test needs.
fn unimplemented<A>() -> Result<Response<A>, Status> {
    Err(Status::unimplemented(
        "the fake service does not implement this rpc",
    ))
}

/// Id of the account with a name of at most 16 bytes. The bytes of the id are those of the name.
pub(crate) fn account_id(name: &str) -> Bytes {
    let mut id = [0; 16];
    id[..name.len()].copy_from_slice(name.as_bytes());
    per_item::encode_id(Uuid::from_bytes(id))
}

/// Account that a reference names. All accounts exist.
fn account(user: &UserRef) -> User {
    let username = match user.r#ref.as_ref().unwrap() {
        user_ref::Ref::Username(name) => name.clone(),
        user_ref::Ref::Id(id) => {
            let name = str::from_utf8(id).unwrap();
            name.trim_end_matches('\0').to_owned()
        }
    };
    User {
        id: account_id(&username),
        username,
        ..User::default()
    }
}

/// User service in which every account exists.
pub(crate) struct FakeUser {
    pub(crate) lookup_users: Rpc<LookupUsersRequest, LookupUsersResponse>,
    pub(crate) set_latest: Rpc<SetLatestRequest, SetLatestResponse>,
    pub(crate) get_latest: Rpc<GetLatestRequest, GetLatestResponse>,
}

impl Default for FakeUser {
    fn default() -> Self {
        Self {
            lookup_users: Rpc::new(|request: &LookupUsersRequest| {
                let results = request.users.iter().map(|user| account(user).into());
                Ok(LookupUsersResponse {
                    results: results.collect(),
                })
            }),
            set_latest: Rpc::new(|request: &SetLatestRequest| {
                let results = request.updates.iter().map(|_| Applied {}.into());
                Ok(SetLatestResponse {
                    results: results.collect(),
                })
            }),
            get_latest: Rpc::new(|request: &GetLatestRequest| {
                Ok(GetLatestResponse {
                    latest: vec![0; request.clients.len()],
                })
            }),
        }
    }
}

#[tonic::async_trait]
impl UserService for FakeUser {
    async fn register_users(
        &self,
        _: Request<RegisterUsersRequest>,
    ) -> Result<Response<RegisterUsersResponse>, Status> {
        unimplemented()
    }

    async fn lookup_users(
        &self,
        request: Request<LookupUsersRequest>,
    ) -> Result<Response<LookupUsersResponse>, Status> {
        self.lookup_users.call(request).await
    }

    async fn verify_passwords(
        &self,
        _: Request<VerifyPasswordsRequest>,
    ) -> Result<Response<VerifyPasswordsResponse>, Status> {
        unimplemented()
    }

    async fn change_passwords(
        &self,
        _: Request<ChangePasswordsRequest>,
    ) -> Result<Response<ChangePasswordsResponse>, Status> {
        unimplemented()
    }

    async fn end_sessions(
        &self,
        _: Request<EndSessionsRequest>,
    ) -> Result<Response<EndSessionsResponse>, Status> {
        unimplemented()
    }
}

#[tonic::async_trait]
impl ApiClientService for FakeUser {
    async fn set_latest(
        &self,
        request: Request<SetLatestRequest>,
    ) -> Result<Response<SetLatestResponse>, Status> {
        self.set_latest.call(request).await
    }

    async fn get_latest(
        &self,
        request: Request<GetLatestRequest>,
    ) -> Result<Response<GetLatestResponse>, Status> {
        self.get_latest.call(request).await
    }
}

/// Follower service without follow relations.
pub(crate) struct FakeFollower {
    pub(crate) set_follows: Rpc<SetFollowsRequest, SetFollowsResponse>,
}

impl Default for FakeFollower {
    fn default() -> Self {
        Self {
            set_follows: Rpc::unscripted(),
        }
    }
}

#[tonic::async_trait]
impl FollowerService for FakeFollower {
    async fn set_follows(
        &self,
        request: Request<SetFollowsRequest>,
    ) -> Result<Response<SetFollowsResponse>, Status> {
        self.set_follows.call(request).await
    }

    async fn list_follows(
        &self,
        _: Request<ListFollowsRequest>,
    ) -> Result<Response<ListFollowsResponse>, Status> {
        unimplemented()
    }

    async fn check_follows(
        &self,
        _: Request<CheckFollowsRequest>,
    ) -> Result<Response<CheckFollowsResponse>, Status> {
        unimplemented()
    }

    async fn count_follows(
        &self,
        _: Request<CountFollowsRequest>,
    ) -> Result<Response<CountFollowsResponse>, Status> {
        unimplemented()
    }
}

/// Message service that accepts every post.
pub(crate) struct FakeMessage {
    pub(crate) create_messages: Rpc<CreateMessagesRequest, CreateMessagesResponse>,
    pub(crate) list_timelines: Rpc<ListTimelinesRequest, ListTimelinesResponse>,
}

impl Default for FakeMessage {
    fn default() -> Self {
        Self {
            create_messages: Rpc::new(|request| Ok(accept_messages(request))),
            list_timelines: Rpc::unscripted(),
        }
    }
}

/// Response that reports all messages as stored.
pub(crate) fn accept_messages(request: &CreateMessagesRequest) -> CreateMessagesResponse {
    let results = request.messages.iter().map(|_| Applied {}.into());
    CreateMessagesResponse {
        results: results.collect(),
    }
}

#[tonic::async_trait]
impl MessageService for FakeMessage {
    async fn create_messages(
        &self,
        request: Request<CreateMessagesRequest>,
    ) -> Result<Response<CreateMessagesResponse>, Status> {
        self.create_messages.call(request).await
    }

    async fn list_timelines(
        &self,
        request: Request<ListTimelinesRequest>,
    ) -> Result<Response<ListTimelinesResponse>, Status> {
        self.list_timelines.call(request).await
    }

    async fn get_messages(
        &self,
        _: Request<GetMessagesRequest>,
    ) -> Result<Response<GetMessagesResponse>, Status> {
        unimplemented()
    }

    async fn count_messages(
        &self,
        _: Request<CountMessagesRequest>,
    ) -> Result<Response<CountMessagesResponse>, Status> {
        unimplemented()
    }

    async fn set_flags(
        &self,
        _: Request<SetFlagsRequest>,
    ) -> Result<Response<SetFlagsResponse>, Status> {
        unimplemented()
    }
}
