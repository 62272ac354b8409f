//! Rendered timelines, and how new entries are added to them.
//!
//! A rendered timeline is a sequence of entries between an opening and a closing text. The positions
//! of the entries are stored beside the bytes. A timeline that received new messages is therefore the
//! new entries followed by a slice of the old bytes, and only the new entries are rendered.

use bytes::Bytes;
use uuid::Uuid;

use super::{Entry, atom, avatar::Avatars, html, ids, json};

/// Format in which a timeline is rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Format {
    /// The simulator's JSON.
    Json,
    /// HTML list of a page.
    Html(Avatars),
    /// HTML list with buttons that flag messages, for moderators.
    ModeratorHtml(Avatars),
    /// Entries of an Atom feed.
    Atom,
    /// Ids separated by spaces, for live updates.
    Ids,
}

/// Texts around and between the entries of a timeline.
struct Frame {
    open: &'static str,
    separator: &'static str,
    close: &'static str,
    /// Whole body of a timeline without entries.
    empty: &'static str,
}

const JSON_FRAME: Frame = Frame {
    open: "[",
    separator: ",",
    close: "]",
    empty: "[]",
};

const HTML_FRAME: Frame = Frame {
    open: "<ul class=\"messages\">\n",
    separator: "\n",
    close: "\n</ul>",
    empty: "<ul class=\"messages\">\n<li><em>There's no message so far.</em></li>\n</ul>",
};

const ATOM_FRAME: Frame = Frame {
    open: "",
    separator: "\n",
    close: "\n",
    empty: "",
};

const IDS_FRAME: Frame = Frame {
    open: "",
    separator: " ",
    close: "",
    empty: "",
};

/// Positions and ids of the entries in a rendered timeline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EntryIndex {
    /// Start of each entry, in bytes from the start of the body.
    offsets: Box<[u32]>,
    /// Id of each entry. Empty for formats without pages, because only the link to the next page needs
    /// the id of the last entry.
    ids: Box<[Uuid]>,
}

impl EntryIndex {
    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Id of the last entry. `None` for formats without pages.
    pub(crate) fn last_id(&self) -> Option<Uuid> {
        self.ids.last().copied()
    }

    /// Memory that the index uses beside its own size, in bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.offsets) + size_of_val(&*self.ids)
    }
}

/// Rendered timeline with the positions of its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RenderedTimeline {
    pub(crate) body: Bytes,
    pub(crate) index: EntryIndex,
}

impl Format {
    /// Whether a timeline in this format has a link to the next page.
    pub(crate) fn has_pages(self) -> bool {
        matches!(self, Self::Html(_) | Self::ModeratorHtml(_))
    }

    /// Maximum number of entries to show of a timeline that was read with `limit`. A page reads one
    /// message more than it shows, to find out whether a next page exists.
    pub(crate) fn shown(self, limit: u32) -> usize {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if self.has_pages() {
            limit.saturating_sub(1)
        } else {
            limit
        }
    }

    /// Renders a timeline.
    pub(crate) fn render(self, entries: &[Entry]) -> RenderedTimeline {
        let mut writer = Writer::new(self, self.estimate_bytes(entries), entries.len());
        writer.render(entries);
        writer.finish()
    }

    /// Renders a timeline that consists of `newer` entries and the entries of `body`, cut after
    /// `limit` entries. The result is the same as if all entries were rendered again.
    pub(crate) fn grow(
        self,
        body: &[u8],
        index: &EntryIndex,
        newer: &[Entry],
        limit: usize,
    ) -> RenderedTimeline {
        let newer = &newer[..newer.len().min(limit)];
        let kept = index.len().min(limit - newer.len());
        let bytes = self.estimate_bytes(newer) + body.len();
        let mut writer = Writer::new(self, bytes, newer.len() + kept);
        writer.render(newer);
        writer.copy(body, index, kept);
        writer.finish()
    }

    fn frame(self) -> Frame {
        match self {
            Self::Json => JSON_FRAME,
            Self::Html(_) | Self::ModeratorHtml(_) => HTML_FRAME,
            Self::Atom => ATOM_FRAME,
            Self::Ids => IDS_FRAME,
        }
    }

    fn write_entry(self, entry: &Entry, out: &mut Vec<u8>) {
        match self {
            Self::Json => json::write_message(entry, out),
            Self::Html(avatars) => html::write_message(entry, avatars, false, out),
            Self::ModeratorHtml(avatars) => html::write_message(entry, avatars, true, out),
            Self::Atom => atom::write_entry(entry, out),
            Self::Ids => ids::write_id(entry.id, out),
        }
    }

    /// Estimates the size of rendered entries from typical sizes of their markup.
    fn estimate_bytes(self, entries: &[Entry]) -> usize {
        let (markup, texts) = match self {
            Self::Json => (80, 1),
            Self::Html(_) => (560, 1),
            Self::ModeratorHtml(_) => (740, 1),
            Self::Atom => (460, 2),
            Self::Ids => (40, 0),
        };
        entries
            .iter()
            .map(|entry| markup + texts * entry.text.len())
            .sum()
    }
}

/// Writer of a timeline, which records where entries start.
struct Writer {
    format: Format,
    frame: Frame,
    body: Vec<u8>,
    offsets: Vec<u32>,
    ids: Vec<Uuid>,
}

impl Writer {
    fn new(format: Format, bytes: usize, entries: usize) -> Self {
        let frame = format.frame();
        let frame_bytes = frame.open.len() + frame.close.len();
        Self {
            body: Vec::with_capacity(bytes + frame_bytes),
            offsets: Vec::with_capacity(entries),
            ids: Vec::with_capacity(if format.has_pages() { entries } else { 0 }),
            format,
            frame,
        }
    }

    /// Renders entries and appends them.
    fn render(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.start_entry();
            self.format.write_entry(entry, &mut self.body);
            if self.format.has_pages() {
                self.ids.push(entry.id);
            }
        }
    }

    /// Copies the first `count` entries of a rendered timeline behind those that were written before.
    fn copy(&mut self, body: &[u8], index: &EntryIndex, count: usize) {
        let offsets = &index.offsets[..count];
        let Some(&first) = offsets.first() else {
            return;
        };
        let end = match index.offsets.get(count) {
            Some(&next) => next as usize - self.frame.separator.len(),
            None => body.len() - self.frame.close.len(),
        };
        let start = self.start_entry();
        self.body.extend_from_slice(&body[first as usize..end]);
        let copied = offsets[1..].iter().map(|offset| offset - first + start);
        self.offsets.extend(copied);
        if self.format.has_pages() {
            self.ids.extend_from_slice(&index.ids[..count]);
        }
    }

    /// Writes the text before an entry and records where the entry starts.
    fn start_entry(&mut self) -> u32 {
        let before = if self.offsets.is_empty() {
            self.frame.open
        } else {
            self.frame.separator
        };
        self.body.extend_from_slice(before.as_bytes());
        let start = u32::try_from(self.body.len()).expect("a timeline is smaller than 4 GiB");
        self.offsets.push(start);
        start
    }

    fn finish(mut self) -> RenderedTimeline {
        let end = if self.offsets.is_empty() {
            self.frame.empty
        } else {
            self.frame.close
        };
        self.body.extend_from_slice(end.as_bytes());
        RenderedTimeline {
            body: self.body.into(),
            index: EntryIndex {
                offsets: self.offsets.into(),
                ids: self.ids.into(),
            },
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::render::Account;

    /// Every format.
    pub(crate) const FORMATS: [Format; 6] = [
        Format::Json,
        Format::Html(Avatars::Identicon),
        Format::Html(Avatars::Gravatar),
        Format::ModeratorHtml(Avatars::Identicon),
        Format::Atom,
        Format::Ids,
    ];

    /// Texts that look like the markup of a format, and random texts.
    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            Just(String::new()),
            Just("]".to_owned()),
            Just(r#"{"content":"not the start of a message"},{"content":""#.to_owned()),
            Just(r#"\","pub_date":1,"user":"x"},{"content":"#.to_owned()),
            Just("\n</ul>\n<li></li></entry>\n<entry>".to_owned()),
            Just("\u{1} \r\u{FFFE} & <b> \"'".to_owned()),
            any::<String>(),
        ]
    }

    prop_compose! {
        fn entry()(
            id in any::<u128>(),
            username in text(),
            avatar_hash in "[0-9a-f]{32}",
            text in text(),
        ) -> Entry {
            let author = Arc::new(Account {
                id: Uuid::nil(),
                username,
                avatar_hash,
                session_epoch: 0,
                moderator: false,
            });
            Entry { id: Uuid::from_u128(id), author, text }
        }
    }

    /// Entries of a timeline, newest first.
    pub(crate) fn entries(max: usize) -> impl Strategy<Value = Vec<Entry>> {
        prop::collection::vec(entry(), 0..=max)
    }

    proptest! {
        #[test]
        fn a_timeline_that_grows_again_and_again_equals_a_timeline_rendered_at_once(
            entries in entries(12),
            steps in prop::collection::vec(0_usize..4, 0..8),
            limit in 0_usize..14,
        ) {
            for format in FORMATS {
                let mut first = entries.len();
                let mut grown = format.render(&[]);
                for step in &steps {
                    let newer = &entries[first.saturating_sub(*step)..first];
                    first -= newer.len();
                    grown = format.grow(&grown.body, &grown.index, newer, limit);
                    let shown = &entries[first..][..(entries.len() - first).min(limit)];
                    let expected = format.render(shown);
                    prop_assert_eq!(&grown, &expected, "{:?}", format);
                }
            }
        }
    }

    #[test]
    fn a_timeline_has_the_texts_of_its_format_around_the_entries() {
        let bodies = FORMATS.map(|format| format.render(&[]).body);
        assert_eq!(bodies[0], "[]");
        assert_eq!(bodies[1], HTML_FRAME.empty);
        assert_eq!(bodies[4], "");
        assert_eq!(bodies[5], "");
    }
}
