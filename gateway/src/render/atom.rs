//! Atom entries of a timeline (RFC 4287).
//!
//! Links in an entry are relative to the `xml:base` of the feed, so cached entries are the same for
//! every host name under which clients reach the gateway.

use std::io::Write;

use askama::Template;

use super::{Entry, path, time};

/// Maximum length of an entry's title, in characters.
const TITLE_CHARS_MAX: usize = 60;

#[derive(Template)]
#[template(path = "feed_entry.xml")]
struct FeedEntry<'a> {
    entry: &'a Entry,
    title: String,
}

/// Writes one entry of a feed.
pub(super) fn write_entry(entry: &Entry, out: &mut impl Write) {
    let title = title(&entry.text);
    FeedEntry { entry, title }
        .write_into(out)
        .expect("a byte vector accepts every write");
}

/// Returns the start of a message, which serves as its title.
fn title(text: &str) -> String {
    let mut characters = text.chars();
    let mut title: String = characters.by_ref().take(TITLE_CHARS_MAX).collect();
    if characters.next().is_some() {
        title.push('…');
    }
    title
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_cut_after_sixty_characters() {
        assert_eq!(title("short"), "short");
        let longest = "æ".repeat(TITLE_CHARS_MAX);
        assert_eq!(title(&longest), longest);
        assert_eq!(title(&format!("{longest}x")), format!("{longest}…"));
    }
}
