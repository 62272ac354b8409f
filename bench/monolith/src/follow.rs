//! Follows of a user, as a list and as changes.

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

use crate::{app::App, body, caller::Caller, refusal::Refusal};

#[derive(Serialize)]
struct Follows<'a> {
    follows: Vec<&'a str>,
}

/// `GET /fllws/<username>`
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Path(username): Path<String>,
    caller: Caller,
) -> Result<Response, Refusal> {
    let moved = app.latest.begin(caller.latest);
    // A user without follows has one row of null. An unknown user has no row.
    let statement = moved
        .and(format_args!(
            " SELECT followed.username
              FROM users AS follower
              LEFT JOIN followers ON who_id = follower.user_id
              LEFT JOIN users AS followed ON followed.user_id = whom_id
              WHERE follower.username = $2
              LIMIT {}",
            caller.no.max(1)
        ))
        .bind(username);
    let rows = moved.run(statement.fetch_all(&app.database)).await?;
    if rows.is_empty() {
        return Err(Refusal::UnknownUser);
    }
    let follows = rows
        .iter()
        .take(usize::try_from(caller.no).unwrap_or_default())
        .filter_map(|row| row.try_get(0).transpose())
        .collect::<Result<_, sqlx::Error>>()?;
    Ok(Json(Follows { follows }).into_response())
}

/// Change of a follow. If both fields are given, `follow` is used.
#[derive(Deserialize)]
struct Change {
    follow: Option<String>,
    unfollow: Option<String>,
}

const FOLLOW: &str = "INSERT INTO followers SELECT who, whom FROM pair ON CONFLICT DO NOTHING";
const UNFOLLOW: &str = "DELETE FROM followers USING pair WHERE who_id = who AND whom_id = whom";

/// `POST /fllws/<username>`
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    Path(username): Path<String>,
    caller: Caller,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Refusal> {
    let (statement, other) = match body::read(body) {
        Ok(Change {
            follow: Some(other),
            ..
        }) => (FOLLOW, other),
        Ok(Change {
            unfollow: Some(other),
            ..
        }) => (UNFOLLOW, other),
        Ok(_) => {
            let refusal = Refusal::Invalid("neither follow nor unfollow");
            return app.refuse(caller.latest, refusal).await;
        }
        Err(refusal) => return app.refuse(caller.latest, refusal).await,
    };
    let moved = app.latest.begin(caller.latest);
    // A repeated follow changes no row and is a success, so the statement returns whether both users are known.
    let statement = moved
        .and(format_args!(
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
    let known = moved.run(statement.fetch_optional(&app.database)).await?;
    known
        .map(|_| StatusCode::NO_CONTENT)
        .ok_or(Refusal::UnknownUser)
}
