//! Connections to PostgreSQL, and the settings of its query planner.

use std::str::FromStr;

use anyhow::Context;
use sqlx::{
    ConnectOptions, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::config::Config;

/// The settings of every connection.
const PLANNER_SETTINGS: [(&str, &str); 4] = [
    // The best plan of each statement is independent of its parameters, so one plan per connection
    // is enough.
    ("plan_cache_mode", "force_generic_plan"),
    // The data is in memory or on an SSD. With this cost, the newest messages of a user are read in
    // the order of the index, without a sort.
    ("random_page_cost", "1.1"),
    // Memoizing authors costs more than the index lookups that it saves. A list of 100 messages
    // takes half the time without it.
    ("enable_memoize", "off"),
    ("jit", "off"),
];

/// Opens all connections of a pool, each with `settings` in addition to the planner's settings.
pub(crate) async fn connect(config: &Config, settings: &[(&str, &str)]) -> anyhow::Result<PgPool> {
    let options = PgConnectOptions::from_str(&config.database_url)
        .context("read the database's URL")?
        .options(PLANNER_SETTINGS)
        .options(settings.iter().copied())
        .disable_statement_logging();
    PgPoolOptions::new()
        .max_connections(config.connections)
        .min_connections(config.connections)
        // The test would add a round trip to every request. A lost connection fails at its next use.
        .test_before_acquire(false)
        .max_lifetime(None)
        .idle_timeout(None)
        .connect_with(options)
        .await
        .context("connect to the database")
}
