//! Messages as pages list them.

use askama::Template;
use bytes::Bytes;

use super::{avatar::Avatars, escape};
use crate::backend::timelines::Entry;

#[derive(Template)]
#[template(path = "messages.html")]
struct Messages<'a> {
    entries: &'a [Entry],
    avatars: Avatars,
    /// Whether they can be flagged.
    moderated: bool,
}

/// The list of a timeline, newest first; `moderated` when the reader may flag what it lists.
pub(crate) fn render(entries: &[Entry], avatars: Avatars, moderated: bool) -> Bytes {
    let mut html = String::with_capacity(entries.len() * 700);
    let messages = Messages {
        entries,
        avatars,
        moderated,
    };
    messages
        .render_into(&mut html)
        .expect("a string takes everything");
    html.into()
}
