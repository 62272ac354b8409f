//! Connections to PostgreSQL, and how its planner is told about this machine and these statements.

use std::str::FromStr;

use anyhow::Context;
use sqlx::{
    ConnectOptions, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::config::Config;

/// Settings of every connection, each with a statement that needs it.
const PLANNER: [(&str, &str); 4] = [
    // No statement's best plan depends on its parameters: plan it once per connection.
    ("plan_cache_mode", "force_generic_plan"),
    // The data is in memory or on an SSD: a user's newest messages come in index order, unsorted.
    ("random_page_cost", "1.1"),
    // A cache of authors costs more than the index in front of which it stands: without it,
    // 100 messages take half the time.
    ("enable_memoize", "off"),
    ("jit", "off"),
];

/// A pool that is full from the start, each connection with `settings` beyond the planner's.
pub(crate) async fn connect(config: &Config, settings: &[(&str, &str)]) -> anyhow::Result<PgPool> {
    let options = PgConnectOptions::from_str(&config.database_url)
        .context("read the database's URL")?
        .options(PLANNER)
        .options(settings.iter().copied())
        .disable_statement_logging();
    PgPoolOptions::new()
        .max_connections(config.connections)
        .min_connections(config.connections)
        // The test is a round trip on every request; a lost connection shows at its first use.
        .test_before_acquire(false)
        .max_lifetime(None)
        .idle_timeout(None)
        .connect_with(options)
        .await
        .context("connect to the database")
}
