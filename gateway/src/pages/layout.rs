//! Layout that all pages share.

use askama::Template;
use bytes::Bytes;

/// Values of the layout.
#[derive(Clone, Copy, Default)]
pub(super) struct Layout<'a> {
    /// Name of the signed-in account.
    pub(super) username: Option<&'a str>,
    /// Whether the account may flag messages.
    pub(super) moderator: bool,
    pub(super) flashes: &'a [String],
    /// Path of the page if the navigation has a link to it, otherwise empty.
    pub(super) current: &'static str,
}

impl Layout<'_> {
    /// Attribute of a link in the navigation that marks the link to the current page.
    pub(super) fn aria_current(&self, path: &str) -> &'static str {
        if self.current == path {
            r#" aria-current="page""#
        } else {
            ""
        }
    }
}

/// Renders a page.
pub(super) fn render(page: &impl Template) -> Bytes {
    page.render().expect("a string accepts every write").into()
}
