//! How far the simulator has come: the last `latest` that a request brought.
//!
//! Every request moves it, reads included, so its cost is everyone's. In one row it is nearly all
//! the cost there is: a row is locked until its commit is on the disk, and all requests of the site
//! queue for one fsync after the other. So each connection has a row of its own, with a stamp that
//! says which is the newest, and moves it in whatever statement the request makes anyway: no round
//! trip more, no commit more of a write, nobody to wait for.

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
pub(crate) struct Shown {
    latest: i64,
}

/// `GET /latest`
pub(crate) async fn show(State(app): State<Arc<App>>) -> Result<Json<Shown>, Refusal> {
    Ok(Json(Shown {
        latest: app.latest.read().await?,
    }))
}

/// Where `latest` is kept, and by which of the ways.
pub(crate) struct Latest {
    mode: LatestMode,
    database: PgPool,
    memory: AtomicI64,
}

impl Latest {
    /// Moves whose commits are not awaited are statements of their own, on connections of their own.
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

    /// What a request that brings `value` has to move.
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

/// A move of `latest`: inside of the request's own statement, or beside it.
#[derive(Clone, Copy)]
pub(crate) struct Move<'a> {
    latest: &'a Latest,
    value: Option<i64>,
}

impl Move<'_> {
    /// The request's statement, beginning with the move if that is to be inside. `$1` is the move's.
    ///
    /// The text may hold numbers, never what a user typed.
    pub(crate) fn and(self, sql: fmt::Arguments<'_>) -> Query<'static, Postgres, PgArguments> {
        let clause = match (self.latest.mode, self.value) {
            (LatestMode::Db, Some(_)) => MOVE_SLOT,
            (LatestMode::Row, Some(_)) => MOVE_ROW_INSIDE,
            _ => MOVE_NOTHING,
        };
        sqlx::query(AssertSqlSafe(format!("{clause}{sql}"))).bind(self.value)
    }

    /// Runs the request's statement, and the move at the same time if it is to be beside.
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

    /// Moves it for a request that makes no statement.
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

// Connections opened one after the other have neighbouring process ids. Where two do share a row,
// one waits for the other, and that is all.
const MOVE_SLOT: &str = "WITH moved AS (
    UPDATE latest SET value = $1, stamp = nextval('latest_stamp') WHERE slot = pg_backend_pid() % 64
)";
