//! `/msgs` and `/msgs/{username}`, messages of all users or of one user.

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::Deserialize;

use super::{
    ApiResult, json_response, no_such_user,
    request::{ApiRequest, AuthenticatedRequest, Username},
};
use crate::{
    App,
    backend::keys::{Scope, TimelineKey},
    body::read_json,
    render::timeline::Format,
    validate,
};

pub(crate) async fn list_all(
    State(app): State<App>,
    AuthenticatedRequest(request): AuthenticatedRequest,
) -> Response {
    request
        .answer(async {
            app.0.backend.counters.get.increment(1);
            list(&app, &request, Scope::Everybody).await
        })
        .await
}

pub(crate) async fn list_of_user(
    State(app): State<App>,
    AuthenticatedRequest(request): AuthenticatedRequest,
    Username(username): Username,
) -> Response {
    request
        .answer(async {
            let backend = &app.0.backend;
            backend.counters.get.increment(1);
            let Some(author) = backend
                .accounts
                .find_by_name(&username, request.deadline)
                .await?
            else {
                return Err(no_such_user(&username));
            };
            list(&app, &request, Scope::Author(author.id)).await
        })
        .await
}

async fn list(app: &App, request: &ApiRequest, scope: Scope) -> ApiResult {
    let key = TimelineKey::newest(scope, request.no, Format::Json);
    let timeline = app.0.backend.timelines.list(key, request.deadline).await?;
    Ok(json_response(timeline.body.bytes()))
}

#[derive(Deserialize)]
struct Post {
    content: String,
}

pub(crate) async fn post(
    State(app): State<App>,
    AuthenticatedRequest(request): AuthenticatedRequest,
    Username(username): Username,
    body: Body,
) -> Response {
    request
        .answer(async {
            let backend = &app.0.backend;
            backend.counters.post.increment(1);
            let post: Post = read_json(body, request.deadline).await?;
            validate::content(&post.content)?;
            let Some(author) = backend
                .accounts
                .find_by_name(&username, request.deadline)
                .await?
            else {
                return Err(no_such_user(&username));
            };
            let (key, deadline) = (request.key, request.deadline);
            backend
                .messages
                .post(author.id, post.content, key, deadline)
                .await?;
            Ok(StatusCode::NO_CONTENT.into_response())
        })
        .await
}
