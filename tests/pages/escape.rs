//! Escaping of names and messages on every page.

use crate::{
    between,
    harness::{Running, person::Person},
    has,
};

const SCRIPT: &str = "<script>alert(1)</script>";
const NAMES: [&str; 2] = ["<script>alert(1)</script>&\"'", "نور \u{202e}الهدى"];

/// Escapes a text as the pages do.
fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let text = text.replace('>', "&gt;").replace('"', "&#34;");
    text.replace('\'', "&#39;")
}

#[track_caller]
fn is_text(page: &str, path: &str, texts: &[&str]) {
    assert!(
        !page.contains(SCRIPT),
        "{path} contains the script of a user"
    );
    assert!(page.matches("<script").count() <= 1, "{path}");
    for text in texts {
        let text = escaped(text);
        assert!(page.contains(&text), "{text} is missing on {path}:\n{page}");
    }
}

#[tokio::test]
async fn names_and_messages_are_escaped_on_every_page() {
    let suite = Running::new().await;
    let message = format!("{SCRIPT} \"quoted\" & 'so' مرحبا بالعالم");
    for name in NAMES {
        let mut person = Person::new(suite.pages);
        person.register(name).await;
        is_text(&person.register(name).await, "/register", &[name]);
        is_text(&person.sign_in(name, "wrong").await, "/login", &[name]);
        let mind = format!("What's on your mind {}?", escaped(name));
        has(&person.sign_in(name, "default").await, &[&mind]);
        is_text(&person.share(&message).await, "/", &[name, &message]);
        let public = person.visit("/public").await;
        let path = between(&public, "<strong><a href=\"", "\"")[0].to_owned();
        let id = between(&public, "href=\"/-/message/", "\"")[0];
        for (path, texts) in [
            ("/public", vec![name, &message]),
            (&path, vec![name, &message]),
            (&format!("{path}/followers"), vec![name]),
            (&format!("{path}/following"), vec![name]),
            (&format!("/-/message/{id}"), vec![name, &message]),
            ("/-/account", vec![name]),
            ("/-/public.atom", vec![name, &message]),
            (&format!("{path}/atom"), vec![name, &message]),
            ("/nobody", vec![name]),
        ] {
            is_text(&person.visit(path).await, path, &texts);
        }
        let flash = format!("You are now following \"{name}\"");
        let followed = person.visit(&format!("{path}/follow")).await;
        is_text(&followed, "a flash", &[&flash]);
        let followers = person.visit(&format!("{path}/followers")).await;
        has(&followers, &[&format!(">{}</a></li>", escaped(name))]);
    }
}
