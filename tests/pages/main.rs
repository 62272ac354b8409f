//! The pages as a browser without JavaScript sees them.

#![expect(clippy::unwrap_used, reason = "the harness is of the tests")]

mod account;
mod away;
mod escape;
mod guard;
#[path = "../harness/mod.rs"]
mod harness;
mod live;
mod looks;
mod moderation;
mod session;
mod status;
mod timeline;

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
