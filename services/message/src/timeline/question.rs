//! What PostgreSQL is asked, and how.

use std::collections::BTreeSet;

use database::statement::{Access, Column, Kind, Statement};
use uuid::Uuid;

use crate::store::{Asked, Scope, TimelineQuery};

/// What a statement asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Question {
    /// Everybody's messages; an input row a query.
    Public,
    /// One author's messages; an input row a query.
    Author,
    /// Several authors' messages merged into one page; an input row an author.
    Merged,
}

/// What it is to be answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Answer {
    /// If the version is another one, it and the messages above the newest that is kept.
    Changes,
    /// The page and its version.
    Page,
}

/// An id's part in a version.
const HASH: &str = "uuid_hash_extended(id, 0)";

/// The end of a PostgreSQL statement that stores messages or takes them away: folds those `changes`,
/// rows with `author_id` and `id`, in or out of their authors' versions. Always in one order, so that two
/// statements with the same authors cannot deadlock.
pub(crate) fn fold(changes: &str) -> String {
    format!(
        "INSERT INTO timeline AS present (author_id, version)
         SELECT author_id, bit_xor({HASH}) FROM {changes} GROUP BY author_id ORDER BY author_id
         ON CONFLICT (author_id) DO UPDATE SET version = present.version # excluded.version"
    )
}

impl Question {
    pub(super) fn of(query: &TimelineQuery) -> Self {
        match &query.scope {
            Scope::Everybody => Self::Public,
            Scope::Authors(authors) if authors.len() == 1 => Self::Author,
            Scope::Authors(_) => Self::Merged,
        }
    }

    /// How many queries one statement answers.
    pub(super) fn queries_max(self) -> usize {
        match self {
            Self::Public | Self::Author => usize::MAX,
            Self::Merged => 1,
        }
    }

    /// The input of a statement; the order of the columns is that of [`Self::statement`].
    pub(super) fn input<'a>(
        self,
        answer: Answer,
        asked: impl Iterator<Item = &'a Asked>,
    ) -> Vec<Column> {
        let (mut authors, mut before) = (Vec::new(), Vec::new());
        let (mut known, mut newest) = (Vec::new(), Vec::new());
        for ask in asked {
            let rows = match &ask.query.scope {
                Scope::Everybody => 1,
                Scope::Authors(several) => {
                    // Somebody who is named twice is still read once.
                    let several: BTreeSet<Uuid> = several.iter().copied().collect();
                    let rows = several.len();
                    authors.extend(several);
                    rows
                }
            };
            before.resize(before.len() + rows, ask.query.before);
            if let (Answer::Changes, Some(kept)) = (answer, ask.kept) {
                known.resize(known.len() + rows, kept.version);
                // Nothing is newer than the greatest id.
                newest.resize(newest.len() + rows, kept.newest.unwrap_or(Uuid::max()));
            }
        }
        let mut input = Vec::new();
        if self != Self::Public {
            input.push(Column::Id(authors));
        }
        input.push(Column::Id(before));
        if answer == Answer::Changes {
            input.extend([Column::Int(known), Column::Id(newest)]);
        }
        input
    }

    pub(super) fn statement(self, answer: Answer, limit: u32) -> Statement {
        let mut columns = Vec::new();
        if self != Self::Public {
            columns.push(("author_id", Kind::Id));
        }
        columns.push(("before", Kind::Id));
        let (summary, sql) = match answer {
            Answer::Changes => {
                columns.extend([("known", Kind::Int), ("newest", Kind::Id)]);
                ("SELECT message timeline changes", self.changes(limit))
            }
            Answer::Page => ("SELECT message timeline", self.page(limit)),
        };
        Statement::per_engine(Access::Read, summary, "", &sql, &columns)
    }

    fn page(self, limit: u32) -> String {
        const LISTS: &str = "COALESCE(array_agg(id), '{}') AS ids,
            COALESCE(array_agg(author_id), '{}') AS author_ids,
            COALESCE(array_agg(text), '{}') AS texts";
        match self {
            Self::Public => format!(
                "SELECT answer.* FROM {{input}} CROSS JOIN LATERAL (
                     SELECT COALESCE(bit_xor({HASH}), 0) AS version, {LISTS} FROM {}
                 ) AS answer ORDER BY ord",
                newest("true", limit)
            ),
            Self::Author => format!(
                "SELECT COALESCE(timeline.version, 0) AS version, answer.* FROM {{input}}
                 LEFT JOIN timeline ON timeline.author_id = input.author_id
                 CROSS JOIN LATERAL (SELECT {LISTS} FROM {}) AS answer ORDER BY ord",
                newest(OF_AUTHOR, limit)
            ),
            Self::Merged => format!(
                "WITH input AS MATERIALIZED (SELECT input.* FROM {{input}}), {MERGED_VERSION}
                 SELECT (SELECT version FROM now), {LISTS}
                 FROM (SELECT page.* FROM input CROSS JOIN LATERAL {}
                       ORDER BY page.id DESC LIMIT {limit}) AS page",
                newest(OF_AUTHOR, limit)
            ),
        }
    }

    /// Where the version is the same, nothing else is read, and no row is handed over.
    fn changes(self, limit: u32) -> String {
        const COLUMNS: &str = "now.version, added.id, added.author_id, added.text";
        const ADDED: &str = "id > input.newest";
        const HAVE_CHANGED: &str = "WHERE now.version <> input.known ORDER BY ord, added.id DESC";
        match self {
            // What was kept is the page below what has come: if it still is.
            Self::Public => format!(
                "SELECT ord, {COLUMNS}, below.version AS base, 0::bigint AS hash FROM {{input}}
                 CROSS JOIN LATERAL (
                     SELECT COALESCE(bit_xor({HASH}), 0) AS version FROM {}) AS now
                 CROSS JOIN LATERAL (
                     SELECT COALESCE(bit_xor({HASH}), 0) AS version FROM {}) AS below
                 LEFT JOIN LATERAL (SELECT page.* FROM {}) AS added ON true
                 {HAVE_CHANGED}",
                newest("true", limit),
                newest("id <= input.newest", limit),
                newest(ADDED, limit)
            ),
            Self::Author => format!(
                "SELECT ord, {COLUMNS}, now.version AS base, uuid_hash_extended(added.id, 0) AS hash
                 FROM {{input}}
                 LEFT JOIN timeline ON timeline.author_id = input.author_id
                 CROSS JOIN LATERAL (SELECT COALESCE(timeline.version, 0) AS version) AS now
                 LEFT JOIN LATERAL (SELECT page.* FROM {}) AS added ON true
                 {HAVE_CHANGED}",
                newest(&format!("{OF_AUTHOR} AND {ADDED}"), limit)
            ),
            // Of nobody's messages, an input without a row, the version that is known is not here.
            Self::Merged => format!(
                "WITH input AS MATERIALIZED (SELECT input.* FROM {{input}}), {MERGED_VERSION}
                 SELECT 1::bigint AS ord, {COLUMNS}, now.version AS base,
                        uuid_hash_extended(added.id, 0) AS hash
                 FROM now LEFT JOIN LATERAL (
                     SELECT page.* FROM input CROSS JOIN LATERAL {}
                     ORDER BY page.id DESC LIMIT {limit}) AS added ON true
                 WHERE now.version IS DISTINCT FROM (SELECT min(known) FROM input)
                 ORDER BY added.id DESC",
                newest(&format!("{OF_AUTHOR} AND {ADDED}"), limit)
            ),
        }
    }
}

/// Those of the author of a row of input.
const OF_AUTHOR: &str = "author_id = input.author_id";

/// No two authors have a message in common, so what is folded of theirs can be folded again.
const MERGED_VERSION: &str = "now AS (
    SELECT COALESCE(bit_xor(timeline.version), 0) AS version FROM input
    JOIN timeline ON timeline.author_id = input.author_id)";

/// The newest messages before a row of input, of those `which` are meant.
fn newest(which: &str, limit: u32) -> String {
    format!(
        "(SELECT id, author_id, text FROM message
          WHERE {which} AND id < input.before AND NOT flagged
          ORDER BY id DESC LIMIT {limit}) AS page"
    )
}
