//! Flags of messages, for moderators.

use askama::Template;
use axum::extract::{Path, RawQuery, State};
use http::{HeaderMap, StatusCode, header};
use uuid::Uuid;

use super::{
    PageResult, csrf::StateChange, error::PageError, layout::Layout, request::PageRequest,
    timeline::Before,
};
use crate::{
    App,
    backend::moderation::Flagged,
    render::{avatar::Avatars, path, text, time},
};

#[derive(Template)]
#[template(path = "flagged.html")]
struct FlaggedPage<'a> {
    layout: Layout<'a>,
    messages: &'a [Flagged],
    avatars: Avatars,
    more: Option<String>,
}

/// `/-/flagged` lists flagged messages, with the moderator and the time of each flag.
pub(super) async fn show(
    State(app): State<App>,
    request: PageRequest,
    RawQuery(query): RawQuery,
) -> PageResult {
    let visitor = request.verify_session().await;
    visitor.moderator()?;
    let before = Before::parse(query.as_deref()).0;
    let moderation = &app.0.backend.moderation;
    let page = moderation.list(before, visitor.deadline).await?;
    Ok(visitor.page(&FlaggedPage {
        layout: visitor.layout(""),
        messages: &page.messages,
        avatars: app.0.pages.avatars,
        more: page.next.map(|next| format!("/-/flagged?before={next}")),
    }))
}

/// `/-/message/{id}/flag` flags a message.
pub(super) async fn flag(
    state: State<App>,
    change: StateChange,
    request: PageRequest,
    id: Path<String>,
    headers: HeaderMap,
) -> PageResult {
    set(state, &change, request, id, &headers, true).await
}

/// `/-/message/{id}/unflag` removes the flag of a message.
pub(super) async fn unflag(
    state: State<App>,
    change: StateChange,
    request: PageRequest,
    id: Path<String>,
    headers: HeaderMap,
) -> PageResult {
    set(state, &change, request, id, &headers, false).await
}

async fn set(
    State(app): State<App>,
    change: &StateChange,
    request: PageRequest,
    Path(id): Path<String>,
    headers: &HeaderMap,
    flagged: bool,
) -> PageResult {
    let mut visitor = request.verify_session().await;
    visitor.confirmed(change)?;
    let moderator = visitor.moderator()?;
    let not_found = || PageError::with_message(StatusCode::NOT_FOUND, "There is no such message.");
    let message = id.parse::<Uuid>().map_err(|_| not_found())?;
    let (key, deadline) = (visitor.origin.key, visitor.deadline);
    let moderation = &app.0.backend.moderation;
    if !moderation
        .set(message, flagged, moderator.id, key, deadline)
        .await?
    {
        return Err(not_found());
    }
    visitor.flash(if flagged {
        "The message is flagged and no longer listed"
    } else {
        "The message is listed again"
    });
    Ok(visitor.redirect(&previous_page(headers, &message)))
}

/// Path of the page that contains the button. Returns the public timeline if that page is the page of
/// the message, which no longer exists.
fn previous_page(headers: &HeaderMap, message: &Uuid) -> String {
    let text = |name| {
        let value = headers.get(name)?;
        value.to_str().ok()
    };
    let path = || {
        let (_, rest) = text(header::REFERER)?.split_once("://")?;
        let rest = rest.strip_prefix(text(header::HOST)?)?;
        // A path that starts with two slashes would be the address of another site.
        let is_path = rest.starts_with('/') && !rest.starts_with("//");
        (is_path && !rest.contains(&message.to_string())).then(|| rest.to_owned())
    };
    path().unwrap_or_else(|| "/public".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(referer: &'static str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "mini.twit:5000".parse().unwrap());
        headers.insert(header::REFERER, referer.parse().unwrap());
        previous_page(&headers, &Uuid::from_u128(7))
    }

    #[test]
    fn the_response_redirects_to_the_previous_page_but_never_to_another_site() {
        assert_eq!(after("http://mini.twit:5000/foo?before=x"), "/foo?before=x");
        assert_eq!(after("http://evil.example/foo"), "/public");
        assert_eq!(after("http://mini.twit:5000//evil.example"), "/public");
        assert_eq!(after("http://mini.twit:5000.evil.example/"), "/public");
        let gone = "http://mini.twit:5000/-/message/00000000-0000-0000-0000-000000000007";
        assert_eq!(after(gone), "/public");
    }
}
