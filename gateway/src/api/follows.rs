//! `/fllws/{username}`: whom somebody follows.

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::StatusCode;
use minitwit_client::follows::Edge;
use serde::{Deserialize, Serialize};

use super::{
    caller::{Caller, Username},
    no_such_user, rendered,
};
use crate::{
    App,
    backend::follows::{FollowsKey, Form},
    error::ApiError,
    json,
};

#[derive(Serialize)]
struct Followees<'a> {
    follows: &'a [&'a str],
}

/// A list of names as the simulator reads it.
pub(crate) fn render(names: &[&str]) -> Bytes {
    serde_json::to_vec(&Followees { follows: names })
        .expect("texts can be written")
        .into()
}

pub(crate) async fn list(
    State(app): State<App>,
    Caller(caller): Caller,
    Username(username): Username,
) -> Response {
    caller
        .answer(async {
            let backend = &app.0.backend;
            let Some(account) = backend
                .accounts
                .find_cached(&username, caller.deadline)
                .await?
            else {
                return Err(no_such_user(&username));
            };
            let key = FollowsKey::followees(account.id, caller.no, Form::Json);
            let followees = backend.follows.list(key, caller.deadline).await?;
            Ok(rendered(followees.body.bytes()))
        })
        .await
}

#[derive(Deserialize)]
struct Change {
    follow: Option<String>,
    unfollow: Option<String>,
}

impl Change {
    /// Whom, and whether to follow: when both are given, follow wins.
    fn wanted(self) -> Result<(String, bool), ApiError> {
        let neither = || ApiError::bad_request("the body has neither \"follow\" nor \"unfollow\"");
        let follow = self.follow.map(|name| (name, true));
        follow
            .or_else(|| self.unfollow.map(|name| (name, false)))
            .ok_or_else(neither)
    }
}

pub(crate) async fn set(
    State(app): State<App>,
    Caller(caller): Caller,
    Username(username): Username,
    body: Body,
) -> Response {
    caller
        .answer(async {
            let backend = &app.0.backend;
            let change: Change = json::read(body, caller.deadline).await?;
            let (target, following) = change.wanted()?;
            let counters = &backend.counters;
            if following {
                &counters.follow
            } else {
                &counters.unfollow
            }
            .increment(1);

            let (accounts, deadline) = (&backend.accounts, caller.deadline);
            let (follower, followee) = tokio::try_join!(
                accounts.find_cached(&username, deadline),
                accounts.find_cached(&target, deadline)
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
                .set(edge, caller.key, deadline)
                .await?;
            Ok(StatusCode::NO_CONTENT.into_response())
        })
        .await
}
