//! What others see of a statement: its duration by engine and failure, and its span.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use metrics::Histogram;

use chassis::trace::{Span, SpanKind};

use crate::{db::Db, store::StoreError};

/// Engine and kind of failure, if it failed.
type Outcome = (&'static str, Option<&'static str>);

/// One statement of ours, under the name that it has in metrics and traces.
#[derive(Debug)]
pub struct Operation {
    summary: &'static str,
    /// `SELECT`, and the table.
    name: &'static str,
    collection: &'static str,
    seconds: Mutex<HashMap<Outcome, Histogram>>,
}

impl Operation {
    /// An operation by its summary: what it does, the table, and what tells it from others.
    pub fn new(summary: &'static str) -> Self {
        let mut words = summary.split(' ');
        Self {
            summary,
            name: words.next().unwrap_or_default(),
            collection: words.next().unwrap_or_default(),
            seconds: Mutex::default(),
        }
    }

    /// Waits for the rows of `ask`, which sends the statement `text`; measures it, and translates
    /// its failure. `text` holds no value that came from outside.
    pub async fn watch<R>(
        &self,
        db: &Db,
        text: &str,
        ask: impl Future<Output = sqlx::Result<R>>,
    ) -> Result<R, StoreError> {
        let began = Instant::now();
        let engine = db.engine();
        let span = Span::child(SpanKind::Client, || self.summary.into());
        if span.is_recording() {
            span.set("db.system.name", engine);
            span.set("db.operation.name", self.name);
            span.set("db.collection.name", self.collection);
            span.set("db.query.summary", self.summary);
            span.set("db.query.text", text.to_owned());
        }
        let place = db.meter().statement();
        let answer = async {
            db.check_available().await?;
            ask.await
        };
        let answer = span.run(answer).await;
        drop(place);
        let error = answer.as_ref().err().map(kind);
        if error == Some(POOL_TIMEOUT) {
            db.meter().timed_out();
        }
        span.finish(error);
        self.record((engine, error), began);
        answer.map_err(|error| db.failed(error))
    }

    fn record(&self, outcome: Outcome, began: Instant) {
        let mut seconds = self.seconds.lock().unwrap_or_else(PoisonError::into_inner);
        seconds
            .entry(outcome)
            .or_insert_with(|| {
                metrics::histogram!(
                    "db_client_operation_duration_seconds",
                    "db_system_name" => outcome.0,
                    "db_query_summary" => self.summary,
                    "error_type" => outcome.1.unwrap_or_default(),
                )
            })
            .record(began.elapsed().as_secs_f64());
    }
}

/// No connection was free in time.
const POOL_TIMEOUT: &str = "pool_timeout";

/// The kind of a failure, of few values.
fn kind(error: &sqlx::Error) -> &'static str {
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
        // Of PostgreSQL, then of SQLite.
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
    fn failures_have_few_names() {
        assert_eq!(kind(&sqlx::Error::PoolTimedOut), "pool_timeout");
        assert_eq!(kind(&sqlx::Error::RowNotFound), "other");
    }
}
