//! Lists the newest messages of all users and of one user, and posts messages.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State, rejection::BytesRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use sqlx::{Row, postgres::PgRow};

use crate::{app::App, body, error::ApiError, request::AuthenticatedRequest};

/// A message of a response, which borrows from its row.
#[derive(Serialize)]
struct Message<'a> {
    content: &'a str,
    pub_date: i64,
    user: &'a str,
}

/// `GET /msgs`
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    request: AuthenticatedRequest,
) -> Result<Response, ApiError> {
    let latest_update = app.latest.update(request.latest);
    let statement = latest_update.with(format_args!(
        " SELECT text, pub_date, username
              FROM messages JOIN users ON user_id = author_id
              WHERE NOT flagged
              ORDER BY pub_date DESC, message_id DESC
              LIMIT {}",
        request.no
    ));
    let rows = latest_update
        .run(statement.fetch_all(&app.database))
        .await?;
    let messages = rows
        .iter()
        .map(|row| {
            Ok(Message {
                content: row.try_get(0)?,
                pub_date: row.try_get(1)?,
                user: row.try_get(2)?,
            })
        })
        .collect::<Result<Vec<_>, sqlx::Error>>()?;
    Ok(Json(messages).into_response())
}

/// `GET /msgs/<username>`
pub(crate) async fn list_of_user(
    State(app): State<Arc<App>>,
    Path(username): Path<String>,
    request: AuthenticatedRequest,
) -> Result<Response, ApiError> {
    let latest_update = app.latest.update(request.latest);
    // The result is a single row of nulls for a user without messages, and no row for an unknown
    // user.
    let statement = latest_update
        .with(format_args!(
            " SELECT newest.text, newest.pub_date
              FROM users LEFT JOIN LATERAL (
                  SELECT text, pub_date FROM messages
                  WHERE author_id = user_id AND NOT flagged
                  ORDER BY pub_date DESC, message_id DESC
                  LIMIT {}
              ) AS newest ON true
              WHERE username = $2",
            request.no
        ))
        .bind(&username);
    let rows = latest_update
        .run(statement.fetch_all(&app.database))
        .await?;
    if rows.is_empty() {
        return Err(ApiError::UnknownUser);
    }
    let messages = rows
        .iter()
        .filter_map(|row| of_user(row, &username).transpose())
        .collect::<Result<Vec<_>, sqlx::Error>>()?;
    Ok(Json(messages).into_response())
}

fn of_user<'a>(row: &'a PgRow, user: &'a str) -> Result<Option<Message<'a>>, sqlx::Error> {
    let Some(content) = row.try_get(0)? else {
        return Ok(None);
    };
    Ok(Some(Message {
        content,
        pub_date: row.try_get(1)?,
        user,
    }))
}

#[derive(Deserialize)]
struct Draft {
    content: String,
}

/// `POST /msgs/<username>`
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Path(username): Path<String>,
    request: AuthenticatedRequest,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, ApiError> {
    let draft: Draft = match body::read(body) {
        Ok(draft) => draft,
        Err(error) => return app.reject(request.latest, error).await,
    };
    let latest_update = app.latest.update(request.latest);
    let statement = latest_update
        .with(format_args!(
            " INSERT INTO messages (author_id, text, pub_date)
              SELECT user_id, $3, $4 FROM users WHERE username = $2"
        ))
        .bind(username)
        .bind(draft.content)
        .bind(unix_seconds());
    let stored = latest_update.run(statement.execute(&app.database)).await?;
    if stored.rows_affected() == 0 {
        return Err(ApiError::UnknownUser);
    }
    Ok(StatusCode::NO_CONTENT)
}

fn unix_seconds() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is after 1970");
    i64::try_from(since.as_secs()).expect("the seconds since 1970 fit into an i64")
}
