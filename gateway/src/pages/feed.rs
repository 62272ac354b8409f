//! Atom feeds: everybody's messages, and one person's.

use std::fmt::Write as _;

use askama::Template;
use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use chassis::deadline::Deadline;
use http::{HeaderMap, StatusCode, header};

use super::{PageAnswer, escape, person::Named, timeline::PER_PAGE};
use crate::{
    App, PAGE_BUDGET,
    backend::timelines::{Entry, Format, Scope, TimelineKey},
    origin::Origin,
};

/// How much of a message is its title.
const TITLE_CHARS: usize = 60;

#[derive(Template)]
#[template(path = "feed.xml")]
struct Feed<'a> {
    base: &'a str,
    title: &'a str,
    /// Where the same messages are as a page.
    page: &'a str,
    /// Where the feed itself is.
    path: &'a str,
    updated: String,
    entries: &'a str,
}

/// The entries of a feed. Where they lead is completed when it is known where we are.
pub(crate) fn render(entries: &[Entry]) -> Bytes {
    let mut xml = String::new();
    for entry in entries {
        let (id, time) = (entry.id, escape::machine_time(entry.id));
        let name = text(&entry.author.username);
        let path = escape::user_path(&entry.author.username);
        let _ = writeln!(
            xml,
            "<entry><id>urn:uuid:{id}</id><title>{title}</title><published>{time}</published>\
             <updated>{time}</updated><author><name>{name}</name><uri>{path}</uri></author>\
             <link rel=\"alternate\" type=\"text/html\" href=\"/-/message/{id}\"/>\
             <content type=\"text\">{content}</content></entry>",
            title = text(&title(&entry.text)),
            content = text(&entry.text),
        );
    }
    xml.into()
}

/// A text as XML, which does not take every character.
fn text(text: &str) -> String {
    let valid = |character: char| match character {
        '\t' | '\n' | '\r' => character,
        '\u{FFFE}' | '\u{FFFF}' => '\u{FFFD}',
        _ if character < ' ' => '\u{FFFD}',
        _ => character,
    };
    escape::escaped(&text.chars().map(valid).collect::<String>())
}

fn title(text: &str) -> String {
    let mut characters = text.chars();
    let mut title: String = characters.by_ref().take(TITLE_CHARS).collect();
    if characters.next().is_some() {
        title.push('…');
    }
    title
}

/// `/-/public.atom`: everybody's messages.
pub(super) async fn public(
    State(app): State<App>,
    origin: Origin,
    headers: HeaderMap,
) -> PageAnswer {
    let what = What {
        title: "Public Timeline",
        page: "/public",
        path: "/-/public.atom",
    };
    answer(&app, origin, &headers, Scope::Everybody, what).await
}

/// `/{username}/atom`: one person's messages.
pub(super) async fn of_user(
    State(app): State<App>,
    named: Named,
    origin: Origin,
    headers: HeaderMap,
) -> PageAnswer {
    let account = named.account(&app, Deadline::after(PAGE_BUDGET)).await?;
    let title = format!("{}'s Timeline", account.username);
    let page = escape::user_path(&account.username);
    let feed = format!("{page}/atom");
    let what = What {
        title: &title,
        page: &page,
        path: &feed,
    };
    answer(&app, origin, &headers, Scope::Author(account.id), what).await
}

struct What<'a> {
    title: &'a str,
    page: &'a str,
    /// Where the feed itself is.
    path: &'a str,
}

async fn answer(
    app: &App,
    origin: Origin,
    headers: &HeaderMap,
    scope: Scope,
    what: What<'_>,
) -> PageAnswer {
    let key = TimelineKey {
        scope,
        limit: PER_PAGE,
        before: None,
        format: Format::Atom,
    };
    let rendered = app
        .0
        .backend
        .timelines
        .list(key, Deadline::after(PAGE_BUDGET))
        .await?;
    let tag = format!("\"{:x}\"", rendered.version);
    let caching = [
        (header::ETAG, tag.clone()),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
    ];
    if headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|known| known.as_bytes() == tag.as_bytes())
    {
        return Ok((StatusCode::NOT_MODIFIED, caching).into_response());
    }
    let base = base(origin, headers);
    // Where texts have an escaped quote or bracket, so only our own attributes are met.
    let entries = rendered
        .body
        .text()
        .replace("href=\"/", &format!("href=\"{base}/"));
    let entries = entries.replace("<uri>/", &format!("<uri>{base}/"));
    let feed = Feed {
        base: &base,
        title: what.title,
        page: what.page,
        path: what.path,
        updated: escape::machine_time(rendered.first.unwrap_or_default()),
        entries: &entries,
    };
    Ok(atom(
        feed.render().expect("a string takes everything"),
        caching,
    ))
}

fn atom(xml: String, caching: [(header::HeaderName, String); 2]) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/atom+xml; charset=utf-8")];
    (headers, caching, xml).into_response()
}

/// Where the client sees us: `https://host`.
fn base(origin: Origin, headers: &HeaderMap) -> String {
    let scheme = if origin.secure { "https" } else { "http" };
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("localhost");
    format!("{scheme}://{}", escape::escaped(host))
}
