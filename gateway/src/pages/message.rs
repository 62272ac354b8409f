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
}

/// The list of a timeline, newest first.
pub(crate) fn render(entries: &[Entry], avatars: Avatars) -> Bytes {
    let mut html = String::with_capacity(entries.len() * 700);
    Messages { entries, avatars }
        .render_into(&mut html)
        .expect("a string takes everything");
    html.into()
}
