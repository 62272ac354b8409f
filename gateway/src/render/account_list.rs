//! Formats of account lists.

use super::avatar::Avatars;

/// Format in which a list of accounts is rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Format {
    /// Names in the simulator's JSON.
    Json,
    /// Ids of the listed accounts and of the account itself, as one byte string. They are the
    /// authors of the account's own timeline.
    AuthorIds,
    /// HTML list of a page.
    Html(Avatars),
}

impl Format {
    /// Maximum number of accounts to show of a list that was read with `limit`. A page reads one
    /// account more than it shows, to find out whether a next page exists.
    pub(crate) fn shown(self, limit: u32) -> usize {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        match self {
            Self::Html(_) => limit.saturating_sub(1),
            Self::Json | Self::AuthorIds => limit,
        }
    }
}
