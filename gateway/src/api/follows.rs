//! `/fllws/{username}`, the accounts that a user follows.

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use minitwit_client::follows::Edge;
use serde::Deserialize;

use super::{
    json_response, no_such_user,
    request::{AuthenticatedRequest, Username},
};
use crate::{
    App, backend::keys::FollowsKey, body::read_json, error::ApiError, render::account_list::Format,
};

pub(crate) async fn list(
    State(app): State<App>,
    AuthenticatedRequest(request): AuthenticatedRequest,
    Username(username): Username,
) -> Response {
    request
        .answer(async {
            let backend = &app.0.backend;
            let Some(account) = backend
                .accounts
                .find_by_name(&username, request.deadline)
                .await?
            else {
                return Err(no_such_user(&username));
            };
            let key = FollowsKey::followees(account.id, request.no, Format::Json);
            let followees = backend.follows.list(key, request.deadline).await?;
            Ok(json_response(followees.body.bytes()))
        })
        .await
}

#[derive(Deserialize)]
struct Change {
    follow: Option<String>,
    unfollow: Option<String>,
}

impl Change {
    /// Returns the target's name and whether to follow the target. If both are present, `follow` is
    /// used.
    fn target(self) -> Result<(String, bool), ApiError> {
        let neither = || ApiError::bad_request("the body has neither \"follow\" nor \"unfollow\"");
        let follow = self.follow.map(|name| (name, true));
        follow
            .or_else(|| self.unfollow.map(|name| (name, false)))
            .ok_or_else(neither)
    }
}

pub(crate) async fn set(
    State(app): State<App>,
    AuthenticatedRequest(request): AuthenticatedRequest,
    Username(username): Username,
    body: Body,
) -> Response {
    request
        .answer(async {
            let backend = &app.0.backend;
            let change: Change = read_json(body, request.deadline).await?;
            let (target, following) = change.target()?;
            let counters = &backend.counters;
            if following {
                &counters.follow
            } else {
                &counters.unfollow
            }
            .increment(1);

            let (accounts, deadline) = (&backend.accounts, request.deadline);
            let (follower, followee) = tokio::try_join!(
                accounts.find_by_name(&username, deadline),
                accounts.find_by_name(&target, deadline)
            )?;
            let follower = follower.ok_or_else(|| no_such_user(&username))?.id;
            let followee = followee.ok_or_else(|| no_such_user(&target))?.id;
            let edge = Edge {
                follower,
                followee,
                following,
            };
            backend
                .follow_writes
                .set(edge, request.key, deadline)
                .await?;
            Ok(StatusCode::NO_CONTENT.into_response())
        })
        .await
}
