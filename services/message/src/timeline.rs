//! Timelines and their versions, in the words that each engine is quick with.
//!
//! A message never changes once written, so the ids of an author's messages say all there is to say of
//! them: their version is a hash of each, folded. PostgreSQL keeps it in a row for each author, in which
//! every write folds what it stores or takes away, so that to ask for it is one look at an index however
//! long the list. The newest id would not do: with several writers ids do not appear in commit order, and
//! a flag takes one away without adding any. The version of everybody's messages is that of the page that
//! is asked for: a row for all would be one that all writers wait for.
//!
//! What is folded can be taken out again. If the messages above the newest one that a caller keeps,
//! taken out of the version, leave the version that it keeps, then they are all that has come to its
//! list, and all that it has to be told. Whatever else happened (a late message with an older id, a flag,
//! more of them than a page holds) leaves another version, and the whole page is read.

mod question;

use std::sync::Arc;

use database::{
    db::Db,
    statement::{Operation, StatementCache, grouped, in_order},
    store::StoreError,
    version,
};
use sqlx::{AssertSqlSafe, FromRow, PgPool, SqlitePool, postgres::PgRow, sqlite::SqliteRow};
use uuid::Uuid;

use crate::store::{Asked, Kept, Listed, Message, Scope, Timeline, TimelineQuery};

pub(crate) use question::fold;
use question::{Answer, Question};

#[derive(Debug)]
pub(crate) struct Timelines {
    db: Db,
    statements: StatementCache<(Question, Answer)>,
    on_sqlite: Operation,
}

/// A page as PostgreSQL hands it over: one row, whatever its length.
#[derive(FromRow)]
struct Page {
    version: i64,
    ids: Vec<Uuid>,
    author_ids: Vec<Uuid>,
    texts: Vec<String>,
}

impl From<Page> for Timeline {
    fn from(page: Page) -> Self {
        let messages = page
            .ids
            .into_iter()
            .zip(page.author_ids)
            .zip(page.texts)
            .map(|((id, author_id), text)| Message {
                id,
                author_id,
                text,
            })
            .collect();
        Self {
            version: page.version,
            messages,
        }
    }
}

/// One of the messages above the newest that a caller keeps, newest first; without a message when
/// there is none. Of what is as the caller keeps it nothing is handed over.
#[derive(FromRow)]
struct Change {
    /// The query that it answers, from 1.
    ord: i64,
    /// The version now.
    version: i64,
    /// The version without these messages, once their `hash`es are taken out of it.
    base: i64,
    id: Option<Uuid>,
    author_id: Option<Uuid>,
    text: Option<String>,
    hash: Option<i64>,
}

impl Change {
    /// What the caller has to be told; `None`: more than these changes.
    fn judge(changes: Vec<Self>, kept: Kept) -> Option<Listed> {
        let first = changes.first();
        let Some(first) = first.filter(|first| first.version != kept.version) else {
            return Some(Listed::Unchanged);
        };
        let (version, base) = (first.version, first.base);
        let hashes = changes.iter().filter_map(|change| change.hash);
        let base = hashes.fold(base, |base, hash| base ^ hash);
        let added = || Timeline {
            version,
            messages: changes.into_iter().filter_map(Self::message).collect(),
        };
        (base == kept.version).then(|| Listed::Added(Arc::new(added())))
    }

    fn message(self) -> Option<Message> {
        Some(Message {
            id: self.id?,
            author_id: self.author_id?,
            text: self.text?,
        })
    }
}

impl Timelines {
    pub(crate) fn new(db: Db) -> Self {
        Self {
            db,
            statements: StatementCache::default(),
            on_sqlite: Operation::new("SELECT message timeline"),
        }
    }

    pub(crate) async fn list(&self, asked: &[Asked]) -> Result<Vec<Listed>, StoreError> {
        match &self.db {
            Db::Sqlite { read, .. } => {
                let mut listed = Vec::with_capacity(asked.len());
                for ask in asked {
                    listed.push(self.list_on_sqlite(read, ask).await?);
                }
                Ok(listed)
            }
            Db::Postgres { pool, .. } => self.list_on_postgres(pool, asked).await,
        }
    }

    /// SQLite is a function call away, so there is nothing to share: one query after the other, and
    /// a changed list is read as a whole.
    async fn list_on_sqlite(&self, pool: &SqlitePool, ask: &Asked) -> Result<Listed, StoreError> {
        if let Some(kept) = ask.kept {
            let ids: Vec<(Uuid,)> = self.ask_sqlite(pool, "id", &ask.query).await?;
            if version::of(ids.iter().map(|(id,)| id)) == kept.version {
                return Ok(Listed::Unchanged);
            }
        }
        let messages: Vec<Message> = self
            .ask_sqlite(pool, "id, author_id, text", &ask.query)
            .await?;
        let version = version::of(messages.iter().map(|message| &message.id));
        Ok(Listed::Whole(Arc::new(Timeline { version, messages })))
    }

    async fn ask_sqlite<R>(
        &self,
        pool: &SqlitePool,
        columns: &str,
        query: &TimelineQuery,
    ) -> Result<Vec<R>, StoreError>
    where
        R: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        let whose = match &query.scope {
            Scope::Everybody => "true",
            Scope::Authors(authors) if authors.len() == 1 => "author_id = $3",
            Scope::Authors(_) => "author_id IN (SELECT unhex(value) FROM json_each($3))",
        };
        let sql: Arc<str> = format!(
            "SELECT {columns} FROM message WHERE {whose} AND id < $1 AND NOT flagged
             ORDER BY id DESC LIMIT $2"
        )
        .into();
        let ask = sqlx::query_as(AssertSqlSafe(Arc::clone(&sql)))
            .bind(query.before)
            .bind(query.limit);
        let ask = match &query.scope {
            Scope::Everybody => ask,
            Scope::Authors(authors) if authors.len() == 1 => ask.bind(authors[0]),
            Scope::Authors(authors) => ask.bind(json_of(authors)),
        };
        let ask = ask.fetch_all(pool);
        self.on_sqlite.watch(&self.db, &sql, ask).await
    }

    /// First what has come to those that are kept, then the others as a whole.
    async fn list_on_postgres(
        &self,
        pool: &PgPool,
        asked: &[Asked],
    ) -> Result<Vec<Listed>, StoreError> {
        let kept: Vec<&Asked> = asked.iter().filter(|ask| ask.kept.is_some()).collect();
        let changes = self.ask_postgres(pool, Answer::Changes, &kept, by_query);
        let mut changes = changes.await?.into_iter();
        let mut listed: Vec<Option<Listed>> = Vec::with_capacity(asked.len());
        for ask in asked {
            let judge = |kept| Change::judge(changes.next()?, kept);
            listed.push(ask.kept.and_then(judge));
        }

        let others = asked.iter().zip(&listed);
        let others: Vec<&Asked> = others
            .filter_map(|(ask, listed)| listed.is_none().then_some(ask))
            .collect();
        let pages: Vec<Page> = self
            .ask_postgres(pool, Answer::Page, &others, |pages, _| pages)
            .await?;
        let places = listed.iter_mut().filter(|listed| listed.is_none());
        for (place, page) in places.zip(pages) {
            *place = Some(Listed::Whole(Arc::new(page.into())));
        }
        Ok(listed.into_iter().flatten().collect())
    }

    /// Queries of one kind and limit go together; `by_query` makes an answer to each of the queries of a
    /// statement, in their order, from its rows and their number.
    async fn ask_postgres<R, A>(
        &self,
        pool: &PgPool,
        answer: Answer,
        asked: &[&Asked],
        by_query: impl Fn(Vec<R>, usize) -> Vec<A>,
    ) -> Result<Vec<A>, StoreError>
    where
        R: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let mut answers = Vec::with_capacity(asked.len());
        let key = |ask: &&Asked| (Question::of(&ask.query), ask.query.limit);
        for ((question, limit), places) in grouped(asked, key) {
            let make = || question.statement(answer, limit);
            let statement = self.statements.get((question, answer), limit, make);
            for places in places.chunks(question.queries_max()) {
                let asked = places.iter().map(|&place| asked[place]);
                let input = question.input(answer, asked);
                let rows = statement.fetch_postgres(&self.db, pool, input).await?;
                let by_query = by_query(rows, places.len());
                answers.extend(places.iter().copied().zip(by_query));
            }
        }
        in_order(answers, asked.len())
    }
}

/// The changes that answer each of the queries of a statement.
fn by_query(changes: Vec<Change>, queries: usize) -> Vec<Vec<Change>> {
    let mut by_query: Vec<Vec<Change>> = (0..queries).map(|_| Vec::new()).collect();
    for change in changes {
        let place = usize::try_from(change.ord - 1).unwrap_or(usize::MAX);
        if let Some(changes) = by_query.get_mut(place) {
            changes.push(change);
        }
    }
    by_query
}

fn json_of(ids: &[Uuid]) -> String {
    let quoted: Vec<String> = ids
        .iter()
        .map(|id| format!("\"{}\"", id.simple()))
        .collect();
    format!("[{}]", quoted.join(","))
}
