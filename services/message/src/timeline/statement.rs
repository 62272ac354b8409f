//! Statements of PostgreSQL that read timelines.

use std::collections::BTreeSet;

use database::statement::{Access, Column, Kind, Statement};
use uuid::Uuid;

use crate::store::{ConditionalQuery, Scope, TimelineQuery};

/// Kind of a query. Queries of the same kind share a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum QueryKind {
    /// Messages of all authors, with one input row per query.
    Public,
    /// Messages of one author, with one input row per query.
    Author,
    /// Messages of several authors, merged into one page, with one input row per author.
    Merged,
}

/// Kind of the result of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ResultKind {
    /// The version, and the messages newer than the newest known message. There is no row if the version is
    /// known.
    Delta,
    /// The page and its version.
    Page,
}

/// Hash of an id, whose XOR is the version.
const HASH: &str = "uuid_hash_extended(id, 0)";

/// End of a PostgreSQL statement that adds or removes messages. It XORs the ids of the rows in `delta` into the
/// versions of their authors. The rows have the columns `author_id` and `id`. They are sorted by author, so
/// two statements with the same authors cannot deadlock.
pub(crate) fn xor_into_version(delta: &str) -> String {
    format!(
        "INSERT INTO timeline AS stored (author_id, version)
         SELECT author_id, bit_xor({HASH}) FROM {delta} GROUP BY author_id ORDER BY author_id
         ON CONFLICT (author_id) DO UPDATE SET version = stored.version # excluded.version"
    )
}

impl QueryKind {
    pub(super) fn of(query: &TimelineQuery) -> Self {
        match &query.scope {
            Scope::Everybody => Self::Public,
            Scope::Authors(authors) if authors.len() == 1 => Self::Author,
            Scope::Authors(_) => Self::Merged,
        }
    }

    /// Maximum number of queries of one statement.
    pub(super) fn queries_max(self) -> usize {
        match self {
            Self::Public | Self::Author => usize::MAX,
            Self::Merged => 1,
        }
    }

    /// Input of a statement. The columns have the order of [`Self::statement`].
    pub(super) fn input<'a>(
        self,
        result_kind: ResultKind,
        queries: impl Iterator<Item = &'a ConditionalQuery>,
    ) -> Vec<Column> {
        let (mut authors, mut before) = (Vec::new(), Vec::new());
        let (mut known_versions, mut newest) = (Vec::new(), Vec::new());
        for conditional in queries {
            let rows = match &conditional.query.scope {
                Scope::Everybody => 1,
                Scope::Authors(ids) => {
                    // An author that occurs twice in the query is read once.
                    let ids: BTreeSet<Uuid> = ids.iter().copied().collect();
                    let rows = ids.len();
                    authors.extend(ids);
                    rows
                }
            };
            before.resize(before.len() + rows, conditional.query.before);
            if let (ResultKind::Delta, Some(known)) = (result_kind, conditional.known) {
                known_versions.resize(known_versions.len() + rows, known.version);
                // No message is newer than the greatest id, so no message counts as added.
                newest.resize(newest.len() + rows, known.newest.unwrap_or(Uuid::max()));
            }
        }
        let mut input = Vec::new();
        if self != Self::Public {
            input.push(Column::Id(authors));
        }
        input.push(Column::Id(before));
        if result_kind == ResultKind::Delta {
            input.extend([Column::Int(known_versions), Column::Id(newest)]);
        }
        input
    }

    pub(super) fn statement(self, result_kind: ResultKind, limit: u32) -> Statement {
        let mut columns = Vec::new();
        if self != Self::Public {
            columns.push(("author_id", Kind::Id));
        }
        columns.push(("before", Kind::Id));
        let (summary, sql) = match result_kind {
            ResultKind::Delta => {
                columns.extend([("known_version", Kind::Int), ("newest", Kind::Id)]);
                ("SELECT message timeline changes", self.delta(limit))
            }
            ResultKind::Page => ("SELECT message timeline", self.page(limit)),
        };
        Statement::per_engine(Access::Read, summary, "", &sql, &columns)
    }

    fn page(self, limit: u32) -> String {
        const LISTS: &str = "COALESCE(array_agg(id), '{}') AS ids,
            COALESCE(array_agg(author_id), '{}') AS author_ids,
            COALESCE(array_agg(text), '{}') AS texts";
        match self {
            Self::Public => format!(
                "SELECT result.* FROM {{input}} CROSS JOIN LATERAL (
                     SELECT COALESCE(bit_xor({HASH}), 0) AS version, {LISTS} FROM {}
                 ) AS result ORDER BY ord",
                newest("true", limit)
            ),
            Self::Author => format!(
                "SELECT COALESCE(timeline.version, 0) AS version, result.* FROM {{input}}
                 LEFT JOIN timeline ON timeline.author_id = input.author_id
                 CROSS JOIN LATERAL (SELECT {LISTS} FROM {}) AS result ORDER BY ord",
                newest(OF_AUTHOR, limit)
            ),
            Self::Merged => format!(
                "WITH input AS MATERIALIZED (SELECT input.* FROM {{input}}), {MERGED_VERSION}
                 SELECT (SELECT version FROM current), {LISTS}
                 FROM (SELECT page.* FROM input CROSS JOIN LATERAL {}
                       ORDER BY page.id DESC LIMIT {limit}) AS page",
                newest(OF_AUTHOR, limit)
            ),
        }
    }

    /// If the version is known, the messages are not read, and the query returns no row.
    fn delta(self, limit: u32) -> String {
        const COLUMNS: &str = "current.version, added.id, added.author_id, added.text";
        const ADDED: &str = "id > input.newest";
        const HAVE_CHANGED: &str =
            "WHERE current.version <> input.known_version ORDER BY ord, added.id DESC";
        match self {
            // The page of the caller should be the part of the current page below the added messages. So the
            // version of that part is compared with the known version.
            Self::Public => format!(
                "SELECT ord, {COLUMNS}, below.version AS version_below, 0::bigint AS hash FROM {{input}}
                 CROSS JOIN LATERAL (
                     SELECT COALESCE(bit_xor({HASH}), 0) AS version FROM {}) AS current
                 CROSS JOIN LATERAL (
                     SELECT COALESCE(bit_xor({HASH}), 0) AS version FROM {}) AS below
                 LEFT JOIN LATERAL (SELECT page.* FROM {}) AS added ON true
                 {HAVE_CHANGED}",
                newest("true", limit),
                newest("id <= input.newest", limit),
                newest(ADDED, limit)
            ),
            Self::Author => format!(
                "SELECT ord, {COLUMNS}, current.version AS version_below, uuid_hash_extended(added.id, 0) AS hash
                 FROM {{input}}
                 LEFT JOIN timeline ON timeline.author_id = input.author_id
                 CROSS JOIN LATERAL (SELECT COALESCE(timeline.version, 0) AS version) AS current
                 LEFT JOIN LATERAL (SELECT page.* FROM {}) AS added ON true
                 {HAVE_CHANGED}",
                newest(&format!("{OF_AUTHOR} AND {ADDED}"), limit)
            ),
            // A query without authors has no input row and so no known version. The comparison with NULL is
            // true then.
            Self::Merged => format!(
                "WITH input AS MATERIALIZED (SELECT input.* FROM {{input}}), {MERGED_VERSION}
                 SELECT 1::bigint AS ord, {COLUMNS}, current.version AS version_below,
                        uuid_hash_extended(added.id, 0) AS hash
                 FROM current LEFT JOIN LATERAL (
                     SELECT page.* FROM input CROSS JOIN LATERAL {}
                     ORDER BY page.id DESC LIMIT {limit}) AS added ON true
                 WHERE current.version IS DISTINCT FROM (SELECT min(known_version) FROM input)
                 ORDER BY added.id DESC",
                newest(&format!("{OF_AUTHOR} AND {ADDED}"), limit)
            ),
        }
    }
}

/// Condition for the messages of the author of an input row.
const OF_AUTHOR: &str = "author_id = input.author_id";

/// Version of several authors. It is the XOR of their versions, because no message has two authors.
const MERGED_VERSION: &str = "current AS (
    SELECT COALESCE(bit_xor(timeline.version), 0) AS version FROM input
    JOIN timeline ON timeline.author_id = input.author_id)";

/// The newest messages that fulfil a condition and are older than `before` of an input row.
fn newest(condition: &str, limit: u32) -> String {
    format!(
        "(SELECT id, author_id, text FROM message
          WHERE {condition} AND id < input.before AND NOT flagged
          ORDER BY id DESC LIMIT {limit}) AS page"
    )
}
