//! What all pages have in common.

/// What the frame of a page shows.
#[derive(Clone, Copy)]
pub(crate) struct Layout<'a> {
    /// Who is signed in.
    pub(crate) me: Option<&'a str>,
    /// Whether they may flag messages.
    pub(crate) moderator: bool,
    /// What has just happened.
    pub(crate) flashes: &'a [String],
    /// The path of the page, if the navigation leads to it.
    pub(crate) here: &'static str,
}

impl Layout<'_> {
    /// What marks the link to the page itself.
    pub(super) fn current(&self, path: &str) -> &'static str {
        if self.here == path {
            r#" aria-current="page""#
        } else {
            ""
        }
    }
}
