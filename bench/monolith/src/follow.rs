//! Lists and changes of follows.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State, rejection::BytesRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use sqlx::Row;

use crate::{app::App, body, error::ApiError, request::AuthenticatedRequest};

#[derive(Serialize)]
struct Follows<'a> {
    follows: Vec<&'a str>,
}

/// `GET /fllws/<username>`
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Path(username): Path<String>,
    request: AuthenticatedRequest,
) -> Result<Response, ApiError> {
    let latest_update = app.latest.update(request.latest);
    // The result is a single row with a null for a user without follows, and no row for an unknown
    // user.
    let statement = latest_update
        .with(format_args!(
            " SELECT followed.username
              FROM users AS follower
              LEFT JOIN followers ON who_id = follower.user_id
              LEFT JOIN users AS followed ON followed.user_id = whom_id
              WHERE follower.username = $2
              LIMIT {}",
            request.no.max(1)
        ))
        .bind(username);
    let rows = latest_update
        .run(statement.fetch_all(&app.database))
        .await?;
    if rows.is_empty() {
        return Err(ApiError::UnknownUser);
    }
    let follows = rows
        .iter()
        .take(usize::try_from(request.no).unwrap_or_default())
        .filter_map(|row| row.try_get(0).transpose())
        .collect::<Result<_, sqlx::Error>>()?;
    Ok(Json(Follows { follows }).into_response())
}

/// The body of a change. If both fields are set, `follow` takes precedence.
#[derive(Deserialize)]
struct FollowChange {
    follow: Option<String>,
    unfollow: Option<String>,
}

const FOLLOW: &str = "INSERT INTO followers SELECT who, whom FROM pair ON CONFLICT DO NOTHING";
const UNFOLLOW: &str = "DELETE FROM followers USING pair WHERE who_id = who AND whom_id = whom";

/// `POST /fllws/<username>`
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    Path(username): Path<String>,
    request: AuthenticatedRequest,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, ApiError> {
    let (statement, other) = match body::read(body) {
        Ok(FollowChange {
            follow: Some(other),
            ..
        }) => (FOLLOW, other),
        Ok(FollowChange {
            unfollow: Some(other),
            ..
        }) => (UNFOLLOW, other),
        Ok(_) => {
            let error = ApiError::Invalid("neither follow nor unfollow");
            return app.reject(request.latest, error).await;
        }
        Err(error) => return app.reject(request.latest, error).await,
    };
    let latest_update = app.latest.update(request.latest);
    // A repeated follow succeeds without a change, so the result only depends on whether both users
    // exist.
    let statement = latest_update
        .with(format_args!(
            ", pair AS (
                  SELECT follower.user_id AS who, followed.user_id AS whom
                  FROM users AS follower, users AS followed
                  WHERE follower.username = $2 AND followed.username = $3
              ),
              stored AS ({statement})
              SELECT FROM pair"
        ))
        .bind(username)
        .bind(other);
    let known = latest_update
        .run(statement.fetch_optional(&app.database))
        .await?;
    known
        .map(|_| StatusCode::NO_CONTENT)
        .ok_or(ApiError::UnknownUser)
}
