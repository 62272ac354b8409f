//! Posting a message, and the page of one message.

use askama::Template;
use axum::{
    body::Body,
    extract::{Path, State},
};
use http::StatusCode;
use uuid::Uuid;

use super::{
    PageResult, csrf::StateChange, error::PageError, form::Form, layout::Layout,
    request::PageRequest, timeline,
};
use crate::{
    App,
    render::{path, time},
    validate,
};

/// `/add_message` stores a message.
pub(super) async fn add(
    State(app): State<App>,
    change: StateChange,
    request: PageRequest,
    body: Body,
) -> PageResult {
    let mut visitor = request.verify_session().await;
    let account = visitor.confirmed(&change)?;
    let form = Form::read(body, visitor.deadline).await?;
    let Some(text) = form.get("text") else {
        let message = "The form has no field \"text\".";
        return Err(PageError::with_message(StatusCode::BAD_REQUEST, message));
    };
    if text.is_empty() {
        return Ok(visitor.redirect("/"));
    }
    validate::content(text)?;
    let backend = &app.0.backend;
    backend.counters.post.increment(1);
    let (text, key) = (text.to_owned(), visitor.origin.key);
    backend
        .messages
        .post(account.id, text, key, visitor.deadline)
        .await?;
    visitor.flash("Your message was recorded");
    Ok(visitor.redirect("/"))
}

#[derive(Template)]
#[template(path = "message.html")]
struct MessagePage<'a> {
    layout: Layout<'a>,
    name: &'a str,
    path: &'a str,
    message: &'a str,
    /// Exact time of the message, for readers without a mouse pointer.
    written: String,
}

/// `/-/message/{id}` shows one message.
pub(super) async fn show(
    State(app): State<App>,
    request: PageRequest,
    Path(id): Path<String>,
) -> PageResult {
    let visitor = request.verify_session().await;
    let not_found = || {
        let message = "There is no such message, or it was removed.";
        PageError::with_message(StatusCode::NOT_FOUND, message)
    };
    let id = id.parse::<Uuid>().map_err(|_| not_found())?;
    let message = app.0.backend.reads.message(id, visitor.deadline).await?;
    let entry = message.ok_or_else(not_found)?;
    let name = entry.author.username.clone();
    let written = time::exact(entry.id);
    let list = timeline::format(&app, &visitor).render(&[entry]);
    Ok(visitor.page(&MessagePage {
        layout: visitor.layout(""),
        name: &name,
        path: &path::user_path(&name),
        message: str::from_utf8(&list.body).expect("HTML is UTF-8 text"),
        written,
    }))
}
