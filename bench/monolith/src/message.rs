//! The newest messages of all users, the newest messages of a user, and new messages.

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

use crate::{app::App, body, caller::Caller, refusal::Refusal};

/// A message in a response, borrowed from its row.
#[derive(Serialize)]
struct Message<'a> {
    content: &'a str,
    pub_date: i64,
    user: &'a str,
}

/// `GET /msgs`
pub(crate) async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Response, Refusal> {
    let moved = app.latest.begin(caller.latest);
    let statement = moved.and(format_args!(
        " SELECT text, pub_date, username
              FROM messages JOIN users ON user_id = author_id
              WHERE NOT flagged
              ORDER BY pub_date DESC, message_id DESC
              LIMIT {}",
        caller.no
    ));
    let rows = moved.run(statement.fetch_all(&app.database)).await?;
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
    caller: Caller,
) -> Result<Response, Refusal> {
    let moved = app.latest.begin(caller.latest);
    // A user without messages has one row of nulls. An unknown user has no row.
    let statement = moved
        .and(format_args!(
            " SELECT newest.text, newest.pub_date
              FROM users LEFT JOIN LATERAL (
                  SELECT text, pub_date FROM messages
                  WHERE author_id = user_id AND NOT flagged
                  ORDER BY pub_date DESC, message_id DESC
                  LIMIT {}
              ) AS newest ON true
              WHERE username = $2",
            caller.no
        ))
        .bind(&username);
    let rows = moved.run(statement.fetch_all(&app.database)).await?;
    if rows.is_empty() {
        return Err(Refusal::UnknownUser);
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
    caller: Caller,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Refusal> {
    let draft: Draft = match body::read(body) {
        Ok(draft) => draft,
        Err(refusal) => return app.refuse(caller.latest, refusal).await,
    };
    let moved = app.latest.begin(caller.latest);
    let statement = moved
        .and(format_args!(
            " INSERT INTO messages (author_id, text, pub_date)
              SELECT user_id, $3, $4 FROM users WHERE username = $2"
        ))
        .bind(username)
        .bind(draft.content)
        .bind(unix_seconds());
    let stored = moved.run(statement.execute(&app.database)).await?;
    if stored.rows_affected() == 0 {
        return Err(Refusal::UnknownUser);
    }
    Ok(StatusCode::NO_CONTENT)
}

fn unix_seconds() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("it is later than 1970");
    i64::try_from(since.as_secs()).expect("the seconds since 1970 fit")
}
