//! Duration and span of a statement.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use metrics::Histogram;

use chassis::trace::{self, Instrument as _, Outcome};

use crate::{db::Db, store::StoreError};

/// Engine, and `error_type` of a failed statement.
type DurationLabels = (&'static str, Option<&'static str>);

/// A statement under the name that it has in metrics and traces.
#[derive(Debug)]
pub struct Operation {
    summary: &'static str,
    /// First word of the summary, for example `SELECT`.
    name: &'static str,
    /// Second word of the summary, which is the table.
    collection: &'static str,
    seconds: Mutex<HashMap<DurationLabels, Histogram>>,
}

impl Operation {
    /// The operation with this summary. The summary consists of the SQL command, the table, and
    /// words that distinguish the operation from similar ones.
    pub fn new(summary: &'static str) -> Self {
        let mut words = summary.split(' ');
        Self {
            summary,
            name: words.next().unwrap_or_default(),
            collection: words.next().unwrap_or_default(),
            seconds: Mutex::default(),
        }
    }

    /// Runs `query`, which sends the statement `text`. Measures the statement and translates its
    /// error. `text` must not contain client data.
    pub async fn watch<R>(
        &self,
        db: &Db,
        text: &str,
        query: impl Future<Output = sqlx::Result<R>>,
    ) -> Result<R, StoreError> {
        let began = Instant::now();
        let engine = db.engine();
        let span = trace::span!(
            "statement",
            otel.name = self.summary,
            otel.kind = "client",
            db.system.name = engine,
            db.operation.name = self.name,
            db.collection.name = self.collection,
            db.query.summary = self.summary,
            db.query.text = text,
        );
        let outcome = Outcome::of(&span);
        let running_statement = db.meter().statement();
        let result = async {
            db.check_available().await?;
            query.await
        };
        let result = result.instrument(span).await;
        drop(running_statement);
        let error_type = result.as_ref().err().map(error_type);
        if error_type == Some(POOL_TIMEOUT) {
            db.meter().timed_out();
        }
        outcome.finish(error_type);
        self.record((engine, error_type), began);
        result.map_err(|error| db.classify_error(error))
    }

    fn record(&self, labels: DurationLabels, began: Instant) {
        let mut seconds = self.seconds.lock().unwrap_or_else(PoisonError::into_inner);
        seconds
            .entry(labels)
            .or_insert_with(|| {
                metrics::histogram!(
                    "db_client_operation_duration_seconds",
                    "db_system_name" => labels.0,
                    "db_query_summary" => self.summary,
                    "error_type" => labels.1.unwrap_or_default(),
                )
            })
            .record(began.elapsed().as_secs_f64());
    }
}

/// The `error_type` of a statement that got no connection in time.
const POOL_TIMEOUT: &str = "pool_timeout";

/// The `error_type` of an error. There are few distinct values.
fn error_type(error: &sqlx::Error) -> &'static str {
    let cause = match error {
        sqlx::Error::PoolTimedOut => return POOL_TIMEOUT,
        sqlx::Error::PoolClosed => return "pool_closed",
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => return "connection",
        sqlx::Error::Database(cause) => cause,
        _ => return "other",
    };
    if cause.is_unique_violation() {
        return "conflict";
    }
    match cause.code().as_deref() {
        Some("57014") => "statement_timeout",
        // The codes of PostgreSQL, then the codes of SQLite.
        Some("40001" | "40P01" | "55P03" | "5" | "6") => "contention",
        Some("25006") => "read_only",
        Some(code) if code.starts_with("57P") => "shutdown",
        _ => "database",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_names_operation_and_table() {
        let operation = Operation::new("SELECT message timeline version");
        assert_eq!(
            (operation.name, operation.collection),
            ("SELECT", "message")
        );
    }

    #[test]
    fn an_error_without_a_type_of_its_own_is_other() {
        assert_eq!(error_type(&sqlx::Error::PoolTimedOut), "pool_timeout");
        assert_eq!(error_type(&sqlx::Error::RowNotFound), "other");
    }
}
