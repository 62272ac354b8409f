//! The last value of `latest` that a request had.
//!
//! Every request updates `latest`, including reads. In a single row, these updates would be nearly
//! the whole cost of a request, because a row is locked until its commit is on the disk, and all
//! requests would wait for each other's fsync. Therefore each connection has its own row, with a
//! stamp that identifies the newest row. The update is part of the statement that the request
//! executes anyway, so it needs no further round trip and no further commit of a write.

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
    error::ApiError,
};

#[derive(Serialize)]
pub(crate) struct LatestBody {
    latest: i64,
}

/// `GET /latest`
pub(crate) async fn show(State(app): State<Arc<App>>) -> Result<Json<LatestBody>, ApiError> {
    Ok(Json(LatestBody {
        latest: app.latest.read().await?,
    }))
}

/// The store of `latest` in the configured mode.
pub(crate) struct Latest {
    mode: LatestMode,
    database: PgPool,
    memory: AtomicI64,
}

impl Latest {
    /// Opens the store. Updates with asynchronous commits use separate connections.
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

    /// The update for a request with the given value of `latest`.
    pub(crate) fn update(&self, value: Option<i64>) -> LatestUpdate<'_> {
        LatestUpdate {
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

/// An update of `latest`, which is part of the request's statement or a statement of its own.
#[derive(Clone, Copy)]
pub(crate) struct LatestUpdate<'a> {
    latest: &'a Latest,
    value: Option<i64>,
}

impl LatestUpdate<'_> {
    /// The request's statement, with the update as a CTE if the mode demands it. The parameter `$1` is
    /// reserved for the update.
    ///
    /// The text must not contain input of users.
    pub(crate) fn with(self, sql: fmt::Arguments<'_>) -> Query<'static, Postgres, PgArguments> {
        let clause = match (self.latest.mode, self.value) {
            (LatestMode::Db, Some(_)) => UPDATE_SLOT_CTE,
            (LatestMode::Row, Some(_)) => UPDATE_ROW_CTE,
            _ => NO_UPDATE,
        };
        sqlx::query(AssertSqlSafe(format!("{clause}{sql}"))).bind(self.value)
    }

    /// Runs the request's statement and, if the update is a statement of its own, concurrently the
    /// update.
    pub(crate) async fn run<T>(
        self,
        statement: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        match (self.latest.mode, self.value) {
            (LatestMode::Async, Some(value)) => {
                let update = sqlx::query(UPDATE_ROW)
                    .bind(value)
                    .execute(&self.latest.database);
                let (updated, result) = tokio::join!(update, statement);
                updated?;
                result
            }
            (LatestMode::Mem, Some(value)) => {
                self.latest.memory.store(value, Relaxed);
                statement.await
            }
            _ => statement.await,
        }
    }

    /// Runs the update for a request without a statement.
    pub(crate) async fn run_alone(self) -> Result<(), sqlx::Error> {
        if self.value.is_none() {
            return Ok(());
        }
        let statement = self.with(format_args!(" SELECT"));
        self.run(statement.execute(&self.latest.database))
            .await
            .map(drop)
    }
}

const NO_UPDATE: &str = "WITH latest_update AS (SELECT $1::bigint)";
const UPDATE_ROW: &str = "UPDATE latest SET value = $1 WHERE slot = 0";
const UPDATE_ROW_CTE: &str = "WITH latest_update AS (UPDATE latest SET value = $1 WHERE slot = 0)";

// Connections that are opened one after another have consecutive process ids. Two connections that
// share a row wait for each other, but remain correct.
const UPDATE_SLOT_CTE: &str = "WITH latest_update AS (
    UPDATE latest SET value = $1, stamp = nextval('latest_stamp') WHERE slot = pg_backend_pid() % 64
)";
