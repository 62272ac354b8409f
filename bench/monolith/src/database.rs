//! Connections to PostgreSQL, with settings of the planner for this machine and these statements.

use std::str::FromStr;

use anyhow::Context;
use sqlx::{
    ConnectOptions, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::config::Config;

/// Settings of every connection, each with its reason.
const PLANNER: [(&str, &str); 4] = [
    // The best plan of a statement does not depend on its parameters, so one plan per connection is enough.
    ("plan_cache_mode", "force_generic_plan"),
    // The data is in memory or on an SSD, so a user's newest messages are read in the order of the index.
    ("random_page_cost", "1.1"),
    // A cache of authors is slower than the index. Without the cache, 100 messages take half the time.
    ("enable_memoize", "off"),
    ("jit", "off"),
];

/// Opens all connections of a pool, each with `settings` in addition to those of the planner.
pub(crate) async fn connect(config: &Config, settings: &[(&str, &str)]) -> anyhow::Result<PgPool> {
    let options = PgConnectOptions::from_str(&config.database_url)
        .context("read the database's URL")?
        .options(PLANNER)
        .options(settings.iter().copied())
        .disable_statement_logging();
    PgPoolOptions::new()
        .max_connections(config.connections)
        .min_connections(config.connections)
        // A test would be a round trip for every request. A lost connection is noticed at its first use.
        .test_before_acquire(false)
        .max_lifetime(None)
        .idle_timeout(None)
        .connect_with(options)
        .await
        .context("connect to the database")
}
