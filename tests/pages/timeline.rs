//! Timelines, pages of messages, follow relations and feeds.

use std::collections::HashSet;

use http::header;
use minitwit::{Databases, databases};
use serde_json::json;
use test_database::{Engine, empty_database};

use crate::{
    between,
    harness::{Running, person::Person},
    has,
    moderation::set_moderator,
};

#[tokio::test]
async fn a_message_is_shown_unchanged() {
    let suite = Running::new().await;
    let mut foo = Person::signed_in(suite.pages, "foo").await;
    has(
        &foo.share("test message 1").await,
        &["Your message was recorded"],
    );
    foo.share("<test message 2>").await;
    foo.share("مرحبا \"'& <script>alert(1)</script>").await;
    foo.share("see https://example.org/?a=1&b=2.").await;
    foo.post("/add_message", &[("text", "")]).await.is(302);
    foo.post("/add_message", &[]).await.is(400);
    foo.post("/add_message", &[("text", &"x".repeat(10_001))])
        .await
        .is(400);

    let mut anonymous = Person::new(suite.pages);
    anonymous
        .post("/add_message", &[("text", "no")])
        .await
        .is(401);
    let public = anonymous.visit("/public").await;
    has(
        &public,
        &[
            "<strong><a href=\"/foo\">foo</a></strong> test message 1 <small>— ",
            "&lt;test message 2&gt;",
            "مرحبا &#34;&#39;&amp; &lt;script&gt;alert(1)&lt;/script&gt;",
            "<a href=\"https://example.org/?a=1&amp;b=2\" rel=\"nofollow ugc noopener\">",
        ],
    );
    assert_eq!(public.matches("<li>").count(), 4);
    assert!(!public.contains("twitbox"));

    let link = between(&public, "href=\"/-/message/", "\"")[0];
    let single = anonymous.visit(&format!("/-/message/{link}")).await;
    has(
        &single,
        &["Message by foo", "see <a href=\"https://example.org"],
    );
    assert_eq!(single.matches("<li>").count(), 1);
    anonymous.get("/-/message/nonsense").await.is(404);
    anonymous
        .get("/-/message/00000000-0000-7000-8000-000000000000")
        .await
        .is(404);
}

#[tokio::test]
async fn following_changes_only_the_timeline_of_the_follower() {
    let suite = Running::new().await;
    let mut foo = Person::signed_in(suite.pages, "foo").await;
    foo.share("the message by foo").await;
    let mut bar = Person::signed_in(suite.pages, "bar").await;
    bar.share("the message by bar").await;

    has(
        &bar.visit("/public").await,
        &["the message by foo", "the message by bar"],
    );
    assert!(!bar.visit("/").await.contains("the message by foo"));
    has(
        &bar.visit("/foo").await,
        &["You are not yet following this user.", "class=\"follow\""],
    );
    let followed = bar.visit("/foo/follow").await;
    has(
        &followed,
        &[
            "You are now following &#34;foo&#34;",
            "<title>foo's Timeline | MiniTwit</title>",
            "You are currently following this user.",
            "<b>1</b> follower<",
        ],
    );
    has(
        &bar.visit("/").await,
        &["the message by foo", "the message by bar"],
    );
    has(
        &bar.visit("/bar").await,
        &["This is you!", "<b>1</b> following"],
    );
    has(
        &bar.visit("/foo/followers").await,
        &["<a href=\"/bar\">bar</a>"],
    );
    has(
        &bar.visit("/bar/following").await,
        &["<a href=\"/foo\">foo</a>"],
    );
    let unfollowed = bar.visit("/foo/unfollow").await;
    has(&unfollowed, &["You are no longer following &#34;foo&#34;"]);
    assert!(!bar.visit("/").await.contains("the message by foo"));

    let mut anonymous = Person::new(suite.pages);
    for path in [
        "/foo/follow",
        "/foo/unfollow",
        "/nobody/follow",
        "/-/account",
    ] {
        anonymous.get(path).await.is(401);
    }
    assert!(!anonymous.visit("/foo").await.contains("followstatus"));
    bar.get("/nobody/follow").await.is(404);
    bar.get("/nobody").await.is(404);
}

#[tokio::test]
async fn a_user_with_any_name_has_pages() {
    let suite = Running::new().await;
    let mut reader = Person::signed_in(suite.pages, "reader").await;
    let names = [
        "public",
        "login",
        "-",
        "static",
        ".",
        "..",
        "a/b",
        "100%",
        "Roger Histand",
        "😀",
        "<b>&\"'",
        "?#;=",
        "favicon.ico",
        "register",
        "نور",
    ];
    for name in names {
        Person::signed_in(suite.pages, name)
            .await
            .share("hello")
            .await;
    }
    let public = reader.visit("/public").await;
    let links = between(&public, "<strong><a href=\"", "\"");
    assert_eq!(links.len(), names.len());
    for (link, name) in links.into_iter().rev().zip(names) {
        let escaped = name
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        let escaped = escaped.replace('"', "&#34;").replace('\'', "&#39;");
        has(
            &reader.visit(link).await,
            &[&format!("<h2>{escaped}'s Timeline</h2>"), "hello"],
        );
        let followed = reader.visit(&format!("{link}/follow")).await;
        has(
            &followed,
            &[&format!("You are now following &#34;{escaped}&#34;")],
        );
        has(&reader.visit(&format!("{link}/atom")).await, &["<feed"]);
    }
    for path in [
        "/%FF",
        "/%00",
        "/a%2",
        "/-/user/x",
        "/-/nothing",
        "/a/b/c",
        "/static/x",
    ] {
        let answer = reader.get(path).await;
        assert!(
            [400, 404].contains(&answer.status.as_u16()),
            "{path}: {}",
            answer.status
        );
    }
}

#[tokio::test]
async fn pages_show_each_message_once_while_messages_are_added() {
    const MESSAGES: usize = 1000;
    let suite = Running::new().await;
    let mut busy = Person::signed_in(suite.pages, "busy").await;
    for number in 0..MESSAGES {
        let text = format!("number {number}.");
        busy.post("/add_message", &[("text", &text)]).await.is(302);
    }
    for first in ["/public", "/busy"] {
        let mut seen = HashSet::new();
        let mut person = Person::new(suite.pages);
        let mut next = Some(first.to_owned());
        while let Some(path) = next {
            let page = person.visit(&path).await;
            let numbers = between(&page, " number ", ".");
            assert!(
                numbers
                    .iter()
                    .all(|number| seen.insert((*number).to_owned())),
                "{path}"
            );
            let older = between(&page, "rel=\"next\" href=\"", "\"");
            let listed = page.matches("<small>").count();
            assert!(listed == 30 || older.is_empty(), "{path} lists {listed}");
            next = older.first().map(|path| (*path).to_owned());
            busy.post("/add_message", &[("text", "more")]).await.is(302);
        }
        assert_eq!(seen.len(), MESSAGES, "{first}");
    }
}

#[tokio::test]
async fn feeds_contain_the_newest_messages() {
    let suite = Running::new().await;
    let mut foo = Person::signed_in(suite.pages, "foo").await;
    foo.share("<one> & \u{1} two").await;

    for path in ["/-/public.atom", "/foo/atom"] {
        let answer = foo.get(path).await.is(200);
        assert_eq!(
            answer.headers[header::CONTENT_TYPE],
            "application/atom+xml; charset=utf-8"
        );
        let feed = str::from_utf8(&answer.body).unwrap();
        has(
            feed,
            &[
                "&lt;one&gt; &amp; \u{FFFD} two",
                "<author><name>foo</name>",
                &format!("xml:base=\"http://{}/\"", suite.pages),
                "href=\"/-/message/",
            ],
        );
        let tag = answer.headers[header::ETAG].to_str().unwrap();
        foo.clone()
            .with("if-none-match", tag)
            .get(path)
            .await
            .is(304);
    }
    foo.get("/nobody/atom").await.is(404);
}

/// On PostgreSQL the message service can send only the new messages, so the first gateway adds them to
/// its cached pages. A new gateway has an empty cache, so it renders the same pages from all messages.
#[tokio::test]
async fn a_cached_page_with_added_messages_equals_a_new_page() {
    let (folder, messages) = (
        tempfile::tempdir().unwrap(),
        empty_database(Engine::Postgres),
    );
    let messages = messages.await;
    let urls = Databases {
        message: messages.url.clone().into(),
        ..databases::in_folder(folder.path()).unwrap()
    };
    let suite = Running::over(urls, Some(folder)).await;
    let mut reader = Person::signed_in(suite.pages, "reader").await;
    let mut moderator = Person::signed_in(suite.pages, "moderator").await;
    set_moderator(&suite, "moderator", false).await;
    Person::new(suite.pages).register("<author>").await;
    for person in [&mut reader, &mut moderator] {
        person.visit("/%3Cauthor%3E/follow").await;
        person.visit("/public").await;
    }
    let api = suite.simulator();
    let mut number = 0;
    for added in [0, 1, 27, 2, 3, 29, 1, 31] {
        for _ in 0..added {
            number += 1;
            let content = format!("number {number} </li>\n<entry> \u{1} {}", "æ".repeat(100));
            let body = json!({ "content": content });
            api.post("/msgs/%3Cauthor%3E", &body).await.is(204);
        }
        let new = suite.another_gateway().await;
        for person in [&mut reader, &mut moderator] {
            let mut again = Person {
                address: new,
                ..person.clone()
            };
            for path in [
                "/public",
                "/%3Cauthor%3E",
                "/",
                "/-/public.atom",
                "/%3Cauthor%3E/atom",
            ] {
                let grown = person.visit(path).await;
                let rendered = again.visit(path).await;
                let rendered = rendered.replace(&new.to_string(), &suite.pages.to_string());
                assert_eq!(grown, rendered, "{path} with {number} messages");
            }
        }
    }
    suite.stop().await;
}
