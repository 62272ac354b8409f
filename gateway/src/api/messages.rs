//! `/msgs` and `/msgs/{username}`: what was written, by everybody or by one.

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use memchr::memmem;
use minitwit_proto::limits::TEXT_BYTES_MAX;
use serde::{Deserialize, Serialize};

use super::{
    caller::{Caller, Username},
    no_such_user, rendered,
};
use crate::{
    App,
    backend::timelines::{Entry, Format, Scope, TimelineKey},
    error::ApiError,
    json,
};

#[derive(Serialize)]
struct Message<'a> {
    content: &'a str,
    pub_date: u64,
    user: &'a str,
}

/// How each message begins, and nothing within one: in a text a quote is escaped.
const START: &[u8] = br#"{"content":"#;

/// A timeline as the simulator reads it.
pub(crate) fn render(entries: &[Entry]) -> Vec<u8> {
    let messages: Vec<Message<'_>> = entries
        .iter()
        .map(|entry| Message {
            content: &entry.text,
            pub_date: chassis::stamp::millis(entry.id) / 1000,
            user: &entry.author.username,
        })
        .collect();
    serde_json::to_vec(&messages).expect("texts and numbers can be written")
}

/// A rendered timeline with `newer` messages before it, and no more than `limit` altogether.
pub(crate) fn extend(rendered: &[u8], newer: &[Entry], limit: usize) -> Vec<u8> {
    let newer = &newer[..newer.len().min(limit)];
    let mut body = render(newer);
    let first_too_many = memmem::find_iter(rendered, START).nth(limit - newer.len());
    // Without the bracket, or the comma, before it.
    let end = first_too_many.unwrap_or(rendered.len()).saturating_sub(1);
    let older = rendered.get(1..end).unwrap_or_default();
    if !older.is_empty() {
        body.pop();
        if !newer.is_empty() {
            body.push(b',');
        }
        body.extend_from_slice(older);
        body.push(b']');
    }
    body
}

pub(crate) async fn list_all(State(app): State<App>, Caller(caller): Caller) -> Response {
    caller
        .answer(async {
            app.0.backend.counters.get.increment(1);
            let (limit, format) = (caller.no, Format::Json);
            let key = TimelineKey {
                scope: Scope::Everybody,
                limit,
                before: None,
                format,
            };
            let timeline = app.0.backend.timelines.list(key, caller.deadline).await?;
            Ok(rendered(timeline.body.bytes()))
        })
        .await
}

pub(crate) async fn list_of_user(
    State(app): State<App>,
    Caller(caller): Caller,
    Username(username): Username,
) -> Response {
    caller
        .answer(async {
            let backend = &app.0.backend;
            backend.counters.get.increment(1);
            let Some(author) = backend
                .accounts
                .find_cached(&username, caller.deadline)
                .await?
            else {
                return Err(no_such_user(&username));
            };
            let (scope, limit, format) = (Scope::Author(author.id), caller.no, Format::Json);
            let key = TimelineKey {
                scope,
                limit,
                before: None,
                format,
            };
            let timeline = backend.timelines.list(key, caller.deadline).await?;
            Ok(rendered(timeline.body.bytes()))
        })
        .await
}

#[derive(Deserialize)]
struct Post {
    content: String,
}

/// Why a text cannot be a message; `None` when it can.
pub(crate) fn objection(content: &str) -> Option<ApiError> {
    if content.len() > TEXT_BYTES_MAX {
        return Some(ApiError::bad_request(format!(
            "the content has {} bytes, at most {TEXT_BYTES_MAX} are taken",
            content.len()
        )));
    }
    content
        .contains('\0')
        .then(|| ApiError::bad_request("the content contains a NUL character"))
}

pub(crate) async fn post(
    State(app): State<App>,
    Caller(caller): Caller,
    Username(username): Username,
    body: Body,
) -> Response {
    caller
        .answer(async {
            let backend = &app.0.backend;
            backend.counters.post.increment(1);
            let post: Post = json::read(body, caller.deadline).await?;
            if let Some(objection) = objection(&post.content) {
                return Err(objection);
            }
            let Some(author) = backend
                .accounts
                .find_cached(&username, caller.deadline)
                .await?
            else {
                return Err(no_such_user(&username));
            };
            let (key, deadline) = (caller.key, caller.deadline);
            backend
                .messages
                .post(author.id, post.content, key, deadline)
                .await?;
            Ok(StatusCode::NO_CONTENT.into_response())
        })
        .await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;
    use minitwit_client::accounts::Account;

    fn entries(texts: &[&str]) -> Vec<Entry> {
        let author = Arc::new(Account {
            id: Uuid::nil(),
            username: r#"{"content":"#.to_owned(),
            avatar_hash: String::new(),
            session_epoch: 0,
            moderator: false,
        });
        let entry = |text: &&str| Entry {
            id: Uuid::now_v7(),
            author: Arc::clone(&author),
            text: (*text).to_owned(),
        };
        texts.iter().map(entry).collect()
    }

    #[test]
    fn an_extended_timeline_is_what_would_be_rendered_anew() {
        let all = entries(&[
            "plain",
            r#"{"content":"not the start of one"},{"content":""#,
            "",
            r#"\","pub_date":1,"user":"x"},{"content":"#,
            "]",
            "Hæ, hvað?",
        ]);
        for newer in 0..=all.len() {
            for kept in newer..=all.len() {
                for limit in 0..=all.len() + 1 {
                    let rendered = render(&all[newer..kept]);
                    let extended = extend(&rendered, &all[..newer], limit);
                    let anew = render(&all[..kept.min(limit)]);
                    assert_eq!(
                        String::from_utf8(extended).unwrap(),
                        String::from_utf8(anew).unwrap(),
                        "{newer} before {}, at most {limit}",
                        kept - newer
                    );
                }
            }
        }
    }
}
