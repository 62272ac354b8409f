//! Registration, sign-in, sign-out and the limit of failed sign-ins.

use http::header;

use crate::{
    between,
    harness::{Running, person::Person},
    has,
};

#[tokio::test]
async fn registration_errors_appear_in_the_order_of_the_original_application() {
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
async fn sign_in_and_sign_out_redirect_as_in_the_original_application() {
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
        "a page shows a flash once"
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
async fn a_password_change_ends_all_other_sessions() {
    let suite = Running::new().await;
    let mut here = Person::signed_in(suite.pages, "foo").await;
    let mut there = Person::new(suite.another_gateway().await);
    there.sign_in("foo", "default").await;
    // The same session on another gateway.
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
async fn sign_in_is_blocked_after_ten_wrong_passwords() {
    let suite = Running::new().await;
    let mut guesser = Person::new(suite.pages);
    guesser.register("foo").await;
    for _ in 0..10 {
        has(
            &guesser.sign_in("foo", "guess").await,
            &["Invalid password"],
        );
    }
    let blocked = guesser
        .post("/login", &[("username", "foo"), ("password", "default")])
        .await;
    let blocked = blocked.is(429);
    let seconds = blocked.headers[header::RETRY_AFTER].to_str().unwrap();
    let seconds: u32 = seconds.parse().unwrap();
    // In a slow run, the block started some time ago.
    assert!((600..=900).contains(&seconds), "{seconds}");
    let page = String::from_utf8(blocked.body.to_vec()).unwrap();
    has(
        &page,
        &[
            "Too many failed sign-ins, try again in 15 minutes",
            "class=\"navigation\"",
        ],
    );
}

#[tokio::test]
async fn failed_sign_ins_behind_a_trusted_proxy_count_per_client() {
    let suite = Running::new().await;
    Person::new(suite.pages).register("foo").await;
    let proxied = suite
        .gateway_with(|config| config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()])
        .await;
    let form = |password: &'static str| [("username", "foo"), ("password", password)];
    let from = |address, client: &str| Person::new(address).with("x-forwarded-for", client);
    for _ in 0..10 {
        let mut guesser = from(proxied, "192.0.2.1");
        guesser.post("/login", &form("guess")).await.is(200);
    }
    for (mut person, status) in [
        (from(proxied, "192.0.2.1"), 429),
        // The proxy appends the address of the client to the addresses that the client sent.
        (from(proxied, "192.0.2.2, 192.0.2.1"), 429),
        (from(proxied, "192.0.2.2"), 302),
        (Person::new(proxied), 302),
    ] {
        person.post("/login", &form("default")).await.is(status);
    }

    // A client that is not a trusted proxy cannot choose the address for which failures count.
    for number in 0..10 {
        let mut guesser = from(suite.pages, &format!("192.0.2.{number}"));
        guesser.post("/login", &form("guess")).await.is(200);
    }
    let mut guesser = from(suite.pages, "192.0.2.99");
    guesser.post("/login", &form("default")).await.is(429);
}
