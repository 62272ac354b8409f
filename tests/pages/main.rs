//! Tests of the pages with a client that behaves like a browser without JavaScript.

#![expect(clippy::unwrap_used, reason = "the harness is part of the tests")]

mod account;
mod browser_security;
mod escape;
#[path = "../harness/mod.rs"]
mod harness;
mod live;
mod moderation;
mod session;
mod snapshot;
mod status;
mod timeline;
mod unavailable;

/// Asserts that a page contains each of the texts.
#[track_caller]
fn has(page: &str, texts: &[&str]) {
    for text in texts {
        assert!(page.contains(text), "{text:?} is missing in:\n{page}");
    }
}

/// Returns every text between `start` and `end`.
fn between<'a>(page: &'a str, start: &str, end: &str) -> Vec<&'a str> {
    let parts = page.split(start).skip(1);
    parts.map(|part| part.split(end).next().unwrap()).collect()
}
