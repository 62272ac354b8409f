//! Atom feeds of all users and of one user.

use std::borrow::Cow;

use askama::Template;
use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use chassis::deadline::Deadline;
use http::{HeaderMap, HeaderName, StatusCode, header};

use super::{PageResult, path_user::PathUser, timeline::PER_PAGE};
use crate::{
    App, PAGE_BUDGET,
    backend::keys::{Scope, TimelineKey},
    origin::Origin,
    render::{path, time, timeline::Format},
};

#[derive(Template)]
#[template(path = "feed.xml")]
struct Feed<'a> {
    /// Scheme and host name of the request. Links in the entries are relative to it.
    base: &'a str,
    title: &'a str,
    /// Path of the page with the same messages.
    page: &'a str,
    /// Path of the feed.
    path: &'a str,
    updated: String,
    entries: Cow<'a, str>,
}

/// Metadata of a feed.
struct Metadata<'a> {
    title: &'a str,
    /// Path of the page with the same messages.
    page: &'a str,
    /// Path of the feed.
    path: &'a str,
}

/// `/-/public.atom`, the feed of all users.
pub(super) async fn public(
    State(app): State<App>,
    origin: Origin,
    headers: HeaderMap,
) -> PageResult {
    let metadata = Metadata {
        title: "Public Timeline",
        page: "/public",
        path: "/-/public.atom",
    };
    respond(&app, origin, &headers, Scope::Everybody, metadata).await
}

/// `/{username}/atom`, the feed of one user.
pub(super) async fn of_user(
    State(app): State<App>,
    user: PathUser,
    origin: Origin,
    headers: HeaderMap,
) -> PageResult {
    let account = user.account(&app, Deadline::after(PAGE_BUDGET)).await?;
    let title = format!("{}'s Timeline", account.username);
    let page = path::user_path(&account.username);
    let path = format!("{page}/atom");
    let metadata = Metadata {
        title: &title,
        page: &page,
        path: &path,
    };
    respond(&app, origin, &headers, Scope::Author(account.id), metadata).await
}

async fn respond(
    app: &App,
    origin: Origin,
    headers: &HeaderMap,
    scope: Scope,
    metadata: Metadata<'_>,
) -> PageResult {
    let key = TimelineKey::newest(scope, PER_PAGE, Format::Atom);
    let timelines = &app.0.backend.timelines;
    let timeline = timelines.list(key, Deadline::after(PAGE_BUDGET)).await?;
    let tag = format!("\"{:x}\"", timeline.version);
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
    let feed = Feed {
        base: &base(origin, headers),
        title: metadata.title,
        page: metadata.page,
        path: metadata.path,
        updated: time::rfc3339(timeline.first.unwrap_or_default()),
        entries: timeline.body.text(),
    };
    Ok(atom_response(&feed, caching))
}

fn atom_response(feed: &Feed<'_>, caching: [(HeaderName, String); 2]) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/atom+xml; charset=utf-8")];
    let xml = feed.render().expect("a string accepts every write");
    (headers, caching, xml).into_response()
}

/// Scheme and host name of the request, such as `https://example.org`.
fn base(origin: Origin, headers: &HeaderMap) -> String {
    let scheme = if origin.secure { "https" } else { "http" };
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("localhost");
    format!("{scheme}://{host}")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use roxmltree::{Document, Node};
    use uuid::Uuid;

    use super::*;
    use crate::render::{Account, Entry};

    const ATOM: &str = "http://www.w3.org/2005/Atom";

    /// Names and texts that XML and HTML treat specially.
    const TEXTS: [&str; 6] = [
        "plain",
        "<b>&amp;</b> & \"quoted\" 'too' ]]> <!-- -->",
        "emoji 😀 \u{202e}مرحبا",
        "tab\tline\nreturn\r\n",
        "\u{1}\u{8}\u{1F}\u{FFFE}\u{FFFF}",
        "",
    ];

    fn entry(number: usize, name: &str, text: &str) -> Entry {
        Entry {
            id: Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + number as u128),
            author: Arc::new(Account {
                id: Uuid::nil(),
                username: name.to_owned(),
                avatar_hash: String::new(),
                session_epoch: 0,
                moderator: false,
            }),
            text: text.to_owned(),
        }
    }

    fn feed(title: &str, entries: &[Entry]) -> String {
        let body = Format::Atom.render(entries).body;
        let page = path::user_path(title);
        let feed = Feed {
            base: "https://mini.twit&co",
            title,
            page: &page,
            path: &format!("{page}/atom"),
            updated: time::rfc3339(Uuid::nil()),
            entries: str::from_utf8(&body).unwrap().into(),
        };
        feed.render().unwrap()
    }

    fn child<'a>(node: Node<'a, 'a>, name: &str) -> Node<'a, 'a> {
        let mut children = node.children();
        let child = children.find(|child| child.has_tag_name((ATOM, name)));
        child.unwrap_or_else(|| panic!("<{name}> is missing in {:?}", node.tag_name()))
    }

    fn text_of<'a>(node: Node<'a, 'a>, name: &str) -> &'a str {
        child(node, name).text().unwrap_or_default()
    }

    /// A text as an XML parser returns it.
    fn expected(text: &str) -> String {
        let forbidden = |character: char| {
            (character < ' ' && !"\t\n\r".contains(character))
                || matches!(character, '\u{FFFE}' | '\u{FFFF}')
        };
        text.replace(forbidden, "\u{FFFD}")
    }

    #[test]
    fn a_feed_is_valid_for_every_name_and_text() {
        let entries: Vec<Entry> = TEXTS
            .iter()
            .flat_map(|name| TEXTS.iter().map(move |text| (name, text)))
            .enumerate()
            .map(|(number, (name, text))| entry(number, name, text))
            .collect();
        for title in TEXTS {
            let xml = feed(title, &entries);
            let document = Document::parse(&xml).unwrap_or_else(|error| panic!("{error}:\n{xml}"));
            let root = document.root_element();
            assert!(root.has_tag_name((ATOM, "feed")));
            let base = root.attribute(("http://www.w3.org/XML/1998/namespace", "base"));
            assert_eq!(base, Some("https://mini.twit&co/"));
            assert_eq!(text_of(root, "title"), expected(title) + " | MiniTwit");
            assert!(text_of(root, "id").starts_with("https://mini.twit&co/"));
            assert_eq!(text_of(root, "updated"), "1970-01-01T00:00:00Z");
            let listed: Vec<Node<'_, '_>> = root
                .children()
                .filter(|child| child.has_tag_name((ATOM, "entry")))
                .collect();
            assert_eq!(listed.len(), entries.len());
            for (node, entry) in listed.into_iter().zip(&entries) {
                assert_eq!(text_of(node, "id"), format!("urn:uuid:{}", entry.id));
                assert_eq!(text_of(node, "title"), expected(&entry.text));
                assert_eq!(text_of(node, "published"), time::rfc3339(entry.id));
                assert_eq!(text_of(node, "updated"), time::rfc3339(entry.id));
                assert_eq!(text_of(node, "content"), expected(&entry.text));
                let author = child(node, "author");
                assert_eq!(text_of(author, "name"), expected(&entry.author.username));
                let uri = path::user_path(&entry.author.username);
                assert_eq!(text_of(author, "uri"), uri);
                let link = child(node, "link").attribute("href");
                assert_eq!(link, Some(&*format!("/-/message/{}", entry.id)));
            }
        }
    }

    #[test]
    fn a_feed_without_entries_is_valid() {
        let xml = feed("nobody", &[]);
        let document = Document::parse(&xml).unwrap();
        let root = document.root_element();
        for name in ["id", "title", "updated", "link", "icon"] {
            child(root, name);
        }
    }
}
