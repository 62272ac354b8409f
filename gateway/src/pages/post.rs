//! Writing a message, and one message by itself.

use askama::Template;
use axum::{
    body::Body,
    extract::{Path, State},
};
use http::StatusCode;
use uuid::Uuid;

use super::{
    PageAnswer, error::PageError, escape, form::Form, layout::Layout, message, visitor::Visitor,
};
use crate::{App, api::messages::objection};

pub(super) async fn add_message(
    State(app): State<App>,
    mut visitor: Visitor,
    body: Body,
) -> PageAnswer {
    let me = visitor.confirmed()?;
    let form = Form::read(body, visitor.deadline).await?;
    let Some(text) = form.get("text") else {
        let message = "The form has no field \"text\".";
        return Err(PageError::because(StatusCode::BAD_REQUEST, message));
    };
    if text.is_empty() {
        return Ok(visitor.redirect("/"));
    }
    if let Some(objection) = objection(text) {
        return Err(objection.into());
    }
    app.0.backend.counters.post.increment(1);
    let key = visitor.origin.key;
    app.0
        .backend
        .messages
        .post(me.id, text.to_owned(), key, visitor.deadline)
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
    /// When, for those who cannot hover.
    written: String,
}

pub(super) async fn show(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> PageAnswer {
    let nothing = || {
        PageError::because(
            StatusCode::NOT_FOUND,
            "There is no such message, or it is gone.",
        )
    };
    let id = id.parse::<Uuid>().map_err(|_| nothing())?;
    let found = app.0.backend.reads.message(id, visitor.deadline).await?;
    let entry = found.ok_or_else(nothing)?;
    let name = entry.author.username.clone();
    let written = escape::exact_time(entry.id);
    let rendered = message::render(&[entry], app.0.pages.avatars, visitor.is_moderator());
    Ok(visitor.page(&MessagePage {
        layout: visitor.layout(""),
        name: &name,
        path: &escape::user_path(&name),
        message: str::from_utf8(&rendered).expect("rendered as text"),
        written,
    }))
}
