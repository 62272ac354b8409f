//! Storage of `latest`, the progress of the simulator.
//!
//! Every request moves `latest`, including reads. With a single row this would be the largest cost, because a row is
//! locked until its commit is on the disk, so all requests would wait for one fsync after the other. Therefore each
//! connection has a row of its own. A stamp tells which row is the newest. The request's own statement moves the row,
//! so a move needs no round trip, no second commit of a write, and no wait for another connection.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
};

use axum::{Json, extract::State};
use serde::Serialize;
use sqlx::{AssertSqlSafe, PgPool, Postgres, postgres::PgArguments, query::Query};

use crate::{
    app::App,
    config::{Config, LatestMode},
    database,
    refusal::Refusal,
};

#[derive(Serialize)]
pub(crate) struct LatestResponse {
    latest: i64,
}

/// `GET /latest`
pub(crate) async fn show(State(app): State<Arc<App>>) -> Result<Json<LatestResponse>, Refusal> {
    Ok(Json(LatestResponse {
        latest: app.latest.read().await?,
    }))
}

/// The stored `latest`, and the way in which it is stored.
pub(crate) struct Latest {
    mode: LatestMode,
    database: PgPool,
    memory: AtomicI64,
}

impl Latest {
    /// Connects to the database. Moves whose commits are not awaited have connections of their own.
    pub(crate) async fn connect(config: &Config, shared: &PgPool) -> anyhow::Result<Self> {
        let database = match config.latest {
            LatestMode::Async => {
                database::connect(config, &[("synchronous_commit", "off")]).await?
            }
            LatestMode::Db | LatestMode::Row | LatestMode::Mem => shared.clone(),
        };
        Ok(Self {
            mode: config.latest,
            database,
            memory: AtomicI64::new(-1),
        })
    }

    /// Begins the move of a request with the value `value`.
    pub(crate) fn begin(&self, value: Option<i64>) -> Move<'_> {
        Move {
            latest: self,
            value,
        }
    }

    async fn read(&self) -> Result<i64, sqlx::Error> {
        let sql = match self.mode {
            LatestMode::Mem => return Ok(self.memory.load(Relaxed)),
            LatestMode::Row | LatestMode::Async => "SELECT value FROM latest WHERE slot = 0",
            LatestMode::Db => "SELECT value FROM latest ORDER BY stamp DESC LIMIT 1",
        };
        sqlx::query_scalar(sql).fetch_one(&self.database).await
    }
}

/// A move of `latest`, within the request's own statement or concurrently.
#[derive(Clone, Copy)]
pub(crate) struct Move<'a> {
    latest: &'a Latest,
    value: Option<i64>,
}

impl Move<'_> {
    /// Returns the request's statement, which begins with the move if the move is within the statement. `$1` is the
    /// move's parameter.
    ///
    /// The text may contain numbers, but no text of a user.
    pub(crate) fn and(self, sql: fmt::Arguments<'_>) -> Query<'static, Postgres, PgArguments> {
        let clause = match (self.latest.mode, self.value) {
            (LatestMode::Db, Some(_)) => MOVE_SLOT,
            (LatestMode::Row, Some(_)) => MOVE_ROW_INSIDE,
            _ => MOVE_NOTHING,
        };
        sqlx::query(AssertSqlSafe(format!("{clause}{sql}"))).bind(self.value)
    }

    /// Runs the request's statement, and the move concurrently if it is not within the statement.
    pub(crate) async fn run<T>(
        self,
        statement: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        match (self.latest.mode, self.value) {
            (LatestMode::Async, Some(value)) => {
                let update = sqlx::query(MOVE_ROW)
                    .bind(value)
                    .execute(&self.latest.database);
                let (moved, answer) = tokio::join!(update, statement);
                moved?;
                answer
            }
            (LatestMode::Mem, Some(value)) => {
                self.latest.memory.store(value, Relaxed);
                statement.await
            }
            _ => statement.await,
        }
    }

    /// Moves `latest` for a request without a statement.
    pub(crate) async fn alone(self) -> Result<(), sqlx::Error> {
        if self.value.is_none() {
            return Ok(());
        }
        let statement = self.and(format_args!(" SELECT"));
        self.run(statement.execute(&self.latest.database))
            .await
            .map(drop)
    }
}

const MOVE_NOTHING: &str = "WITH moved AS (SELECT $1::bigint)";
const MOVE_ROW: &str = "UPDATE latest SET value = $1 WHERE slot = 0";
const MOVE_ROW_INSIDE: &str = "WITH moved AS (UPDATE latest SET value = $1 WHERE slot = 0)";

// Connections that are opened one after the other have consecutive process ids, so they rarely share a row. If two
// connections share a row, one waits for the other.
const MOVE_SLOT: &str = "WITH moved AS (
    UPDATE latest SET value = $1, stamp = nextval('latest_stamp') WHERE slot = pg_backend_pid() % 64
)";
