//! The pages as a browser without JavaScript sees them.

#![expect(clippy::unwrap_used, reason = "the harness is of the tests")]

use std::collections::HashSet;

use harness::{Running, person::Person};
use http::header;

mod harness;

/// Asserts that a page contains each of some texts.
#[track_caller]
fn has(page: &str, texts: &[&str]) {
    for text in texts {
        assert!(page.contains(text), "{text:?} is missing in:\n{page}");
    }
}

/// What stands between two marks, each time.
fn between<'a>(page: &'a str, start: &str, end: &str) -> Vec<&'a str> {
    let parts = page.split(start).skip(1);
    parts.map(|part| part.split(end).next().unwrap()).collect()
}

#[tokio::test]
async fn registering_says_what_is_wrong_in_the_old_order() {
    let suite = Running::new().await;
    let mut person = Person::new(suite.pages);
    let mut register = async |username: &str, email: &str, password: &str, again: &str| {
        let fields = [
            ("username", username),
            ("email", email),
            ("password", password),
            ("password2", again),
        ];
        person.submit("/register", &fields).await
    };

    let fine = register("foo", "foo@x.org", "default", "default").await;
    has(
        &fine,
        &[
            "You were successfully registered and can login now",
            "<title>Sign In | MiniTwit",
        ],
    );
    for (fields, error) in [
        (["", "broken", "", "x"], "You have to enter a username"),
        (
            ["meh", "broken", "", "x"],
            "You have to enter a valid email address",
        ),
        (
            ["meh", "meh@x.org", "", "x"],
            "You have to enter a password",
        ),
        (
            ["foo", "meh@x.org", "a", "b"],
            "The two passwords do not match",
        ),
        (
            ["foo", "meh@x.org", "a", "a"],
            "The username is already taken",
        ),
    ] {
        let page = register(fields[0], fields[1], fields[2], fields[3]).await;
        has(
            &page,
            &[
                &format!("<strong>Error:</strong> {error}"),
                "<h2>Sign Up</h2>",
            ],
        );
    }
    let kept = register("\"><b>", "'broken", "a", "a").await;
    has(
        &kept,
        &["value=\"&#34;&gt;&lt;b&gt;\"", "value=\"&#39;broken\""],
    );
    let inputs: Vec<&str> = between(&kept, "<input ", ">");
    let order = [
        "name=\"username\"",
        "name=\"email\"",
        "name=\"password\"",
        "name=\"password2\"",
    ];
    for (input, name) in inputs.iter().zip(order) {
        has(input, &[name]);
    }
    has(inputs[4], &["type=\"submit\"", "value=\"Sign Up\""]);
    assert_eq!(inputs.len(), 5);
}

#[tokio::test]
async fn signing_in_and_out_leads_where_it_always_did() {
    let suite = Running::new().await;
    let mut person = Person::new(suite.pages);
    person.register("foo").await;

    has(
        &person.sign_in("foo", "wrong").await,
        &["Invalid password", "value=\"foo\""],
    );
    has(
        &person.sign_in("bar", "default").await,
        &["Invalid username"],
    );
    let home = person.sign_in("foo", "default").await;
    has(
        &home,
        &[
            "<li>You were logged in</li>",
            "<title>My Timeline | MiniTwit</title>",
            "<h1>MiniTwit</h1>",
            "sign out [foo]",
            "What's on your mind foo?",
            "There's no message so far.",
        ],
    );
    assert!(
        !person.visit("/").await.contains("You were logged in"),
        "told once"
    );
    for path in ["/login", "/register"] {
        assert_eq!(
            person.get(path).await.is(302).headers[header::LOCATION],
            "/"
        );
    }
    let public = person.visit("/logout").await;
    has(
        &public,
        &[
            "You were logged out",
            "<title>Public Timeline | MiniTwit</title>",
            "sign in",
        ],
    );
    assert_eq!(
        person.get("/").await.is(302).headers[header::LOCATION],
        "/public"
    );
}

#[tokio::test]
async fn a_message_is_shown_as_it_was_written() {
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
async fn following_changes_one_s_own_timeline_alone() {
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
async fn any_name_has_its_pages() {
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
async fn paging_shows_each_message_once_while_others_post() {
    const MESSAGES: usize = 1000;
    let suite = Running::new().await;
    let simulator = suite.simulator();
    simulator.register("busy").await.is(204);
    for number in 0..MESSAGES {
        let body = serde_json::json!({ "content": format!("number {number}.") });
        simulator.post("/msgs/busy", &body).await.is(204);
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
            simulator
                .post("/msgs/busy", &serde_json::json!({ "content": "more" }))
                .await
                .is(204);
        }
        assert_eq!(seen.len(), MESSAGES, "{first}");
    }
}

#[tokio::test]
async fn other_sites_cannot_act_in_somebody_s_name() {
    let suite = Running::new().await;
    Person::signed_in(suite.pages, "bar").await;
    let foo = Person::signed_in(suite.pages, "foo").await;
    let host = format!("http://{}", suite.pages);

    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "http://evil.example"),
        ("origin", "null"),
    ] {
        let mut elsewhere = foo.clone().with(name, value);
        for path in ["/bar/follow", "/bar/unfollow", "/logout"] {
            elsewhere.get(path).await.is(403);
        }
        for path in [
            "/add_message",
            "/login",
            "/register",
            "/-/account/password",
            "/-/account/sessions",
        ] {
            elsewhere.post(path, &[("text", "forged")]).await.is(403);
        }
        elsewhere.get("/public").await.is(200);
    }
    foo.clone()
        .with("sec-purpose", "prefetch")
        .get("/logout")
        .await
        .is(403);
    for (name, value) in [("sec-fetch-site", "same-origin"), ("origin", host.as_str())] {
        let mut here = foo.clone().with(name, value);
        here.post("/add_message", &[("text", "mine")]).await.is(302);
        here.get("/bar/follow").await.is(302);
    }
    assert!(!foo.clone().visit("/public").await.contains("forged"));
}

#[tokio::test]
async fn every_answer_tells_browsers_what_they_may_do() {
    let suite = Running::new().await;
    let mut person = Person::new(suite.pages);
    for path in ["/public", "/nobody", "/static/style.css", "/-/public.atom"] {
        let headers = person.get(path).await.headers;
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        has(
            policy,
            &[
                "default-src 'none'",
                "script-src 'self'",
                "frame-ancestors 'none'",
            ],
        );
        assert!(!policy.contains("unsafe"));
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(headers[header::REFERRER_POLICY], "same-origin");
    }
    person.register("foo").await;
    let answer = person
        .post("/login", &[("username", "foo"), ("password", "default")])
        .await;
    for cookie in answer.headers.get_all(header::SET_COOKIE) {
        has(
            cookie.to_str().unwrap(),
            &["HttpOnly", "SameSite=Lax", "Path=/"],
        );
    }
    let page = person.visit("/public").await;
    assert!(!page.contains("<style") && !page.contains("style=\"") && !page.contains("onclick"));
}

#[tokio::test]
async fn sessions_end_everywhere_with_the_password() {
    let suite = Running::new().await;
    let mut here = Person::signed_in(suite.pages, "foo").await;
    let mut there = Person::new(suite.another_gateway().await);
    there.sign_in("foo", "default").await;
    // One and the same session on another gateway.
    let mut moved = Person {
        address: there.address,
        ..here.clone()
    };
    has(&moved.visit("/").await, &["sign out [foo]"]);

    let change = async |person: &mut Person, old: &str, new: &str| {
        let fields = [("password", old), ("new", new), ("new2", new)];
        person.submit("/-/account/password", &fields).await
    };
    has(
        &change(&mut here, "wrong", "better").await,
        &["Invalid password"],
    );
    has(
        &change(&mut here, "default", "").await,
        &["You have to enter a password"],
    );
    has(
        &change(&mut here, "default", "better").await,
        &["Your password was changed", "[foo]"],
    );
    there.get("/-/account").await.is(401);
    has(
        &there.sign_in("foo", "better").await,
        &["You were logged in"],
    );

    has(
        &here.submit("/-/account/sessions", &[]).await,
        &["You were logged out everywhere"],
    );
    there.get("/-/account").await.is(401);
    there.post("/add_message", &[("text", "no")]).await.is(401);

    let mut forged = Person::signed_in(suite.pages, "bar").await;
    for session in forged.cookies.values_mut() {
        session.replace_range(..4, "AAAA");
    }
    forged.get("/-/account").await.is(401);
}

#[tokio::test]
async fn guessing_a_password_is_held_off() {
    let suite = Running::new().await;
    let mut guesser = Person::new(suite.pages);
    guesser.register("foo").await;
    for _ in 0..10 {
        has(
            &guesser.sign_in("foo", "guess").await,
            &["Invalid password"],
        );
    }
    let held = guesser
        .post("/login", &[("username", "foo"), ("password", "default")])
        .await;
    let held = held.is(429);
    assert!(
        held.headers[header::RETRY_AFTER]
            .to_str()
            .unwrap()
            .parse::<u32>()
            .unwrap()
            > 60
    );
    let page = String::from_utf8(held.body.to_vec()).unwrap();
    has(
        &page,
        &[
            "Too many failed sign-ins, try again in 15 minutes",
            "class=\"navigation\"",
        ],
    );
}

#[tokio::test]
async fn without_the_follower_service_what_can_be_shown_is_shown() {
    let suite = Running::new().await;
    let mut foo = Person::signed_in(suite.pages, "foo").await;
    foo.share("mine").await;
    Person::signed_in(suite.pages, "bar")
        .await
        .share("theirs")
        .await;
    foo.visit("/bar/follow").await;

    foo.address = suite.gateway_without_follower().await;
    let home = foo.visit("/").await;
    has(&home, &["class=\"notice\"", "mine", "sign out [foo]"]);
    assert!(!home.contains("theirs"));
    has(&foo.visit("/public").await, &["mine", "theirs"]);
    has(
        &foo.visit("/bar").await,
        &["theirs", "cannot be told right now", "<b>1</b> message"],
    );
    foo.post("/add_message", &[("text", "still here")])
        .await
        .is(302);
    let away = foo.get("/bar/follow").await.is(503);
    assert!(away.headers.contains_key(header::RETRY_AFTER));
    has(
        str::from_utf8(&away.body).unwrap(),
        &["sign out [foo]", "Back in a moment"],
    );
}

#[tokio::test]
async fn feeds_tell_the_newest_messages_to_programs() {
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
                &format!("href=\"http://{}/-/message/", suite.pages),
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
