//! What moderators do: flag messages, take flags back, and see what is flagged.

use askama::Template;
use axum::extract::{Path, RawQuery, State};
use http::{HeaderMap, StatusCode, header};
use uuid::Uuid;

use super::{
    PageAnswer, avatar::Avatars, error::PageError, escape, layout::Layout, timeline::Before,
    visitor::Visitor,
};
use crate::{App, backend::moderation::Flagged};

#[derive(Template)]
#[template(path = "flagged.html")]
struct FlaggedPage<'a> {
    layout: Layout<'a>,
    messages: &'a [Flagged],
    avatars: Avatars,
    more: Option<String>,
}

/// `/-/flagged`: what is flagged, with who flagged it and when.
pub(super) async fn show(
    State(app): State<App>,
    visitor: Visitor,
    RawQuery(query): RawQuery,
) -> PageAnswer {
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

pub(super) async fn flag(
    state: State<App>,
    visitor: Visitor,
    id: Path<String>,
    headers: HeaderMap,
) -> PageAnswer {
    set(state, visitor, id, &headers, true).await
}

pub(super) async fn unflag(
    state: State<App>,
    visitor: Visitor,
    id: Path<String>,
    headers: HeaderMap,
) -> PageAnswer {
    set(state, visitor, id, &headers, false).await
}

async fn set(
    State(app): State<App>,
    mut visitor: Visitor,
    Path(id): Path<String>,
    headers: &HeaderMap,
    flagged: bool,
) -> PageAnswer {
    let me = visitor.moderator()?;
    let nothing = || PageError::because(StatusCode::NOT_FOUND, "There is no such message.");
    let message = id.parse::<Uuid>().map_err(|_| nothing())?;
    let (key, deadline) = (visitor.origin.key, visitor.deadline);
    let moderation = &app.0.backend.moderation;
    if !moderation
        .set(message, flagged, me.id, key, deadline)
        .await?
    {
        return Err(nothing());
    }
    visitor.flash(if flagged {
        "The message is flagged: nobody sees it any more"
    } else {
        "The message is listed again"
    });
    Ok(visitor.redirect(&back(headers, &message)))
}

/// Where the button was pressed, unless that page has gone with its message.
fn back(headers: &HeaderMap, message: &Uuid) -> String {
    let text = |name| {
        let value = headers.get(name)?;
        value.to_str().ok()
    };
    let path = || {
        let (_, rest) = text(header::REFERER)?.split_once("://")?;
        let rest = rest.strip_prefix(text(header::HOST)?)?;
        // More than one slash would lead elsewhere.
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
        back(&headers, &Uuid::from_u128(7))
    }

    #[test]
    fn one_comes_back_to_where_one_was_and_nowhere_else() {
        assert_eq!(after("http://mini.twit:5000/foo?before=x"), "/foo?before=x");
        assert_eq!(after("http://evil.example/foo"), "/public");
        assert_eq!(after("http://mini.twit:5000//evil.example"), "/public");
        assert_eq!(after("http://mini.twit:5000.evil.example/"), "/public");
        let gone = "http://mini.twit:5000/-/message/00000000-0000-0000-0000-000000000007";
        assert_eq!(after(gone), "/public");
    }
}
