//! The shared state of the handlers, and the router.

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};
use sqlx::PgPool;

use crate::{
    account, config::Config, database, error::ApiError, follow, latest, latest::Latest, message,
    page,
};

/// Maximum size of a request body in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;

pub(crate) struct App {
    pub(crate) database: PgPool,
    pub(crate) latest: Latest,
}

impl App {
    pub(crate) async fn connect(config: &Config) -> anyhow::Result<Arc<Self>> {
        let database = database::connect(config, &[]).await?;
        let latest = Latest::connect(config, &database).await?;
        Ok(Arc::new(Self { database, latest }))
    }

    /// Updates `latest` for a request that is rejected, and returns the error.
    pub(crate) async fn reject<T>(
        &self,
        latest: Option<i64>,
        error: ApiError,
    ) -> Result<T, ApiError> {
        self.latest.update(latest).run_alone().await?;
        Err(error)
    }

    pub(crate) fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/latest", get(latest::show))
            .route("/register", post(account::register))
            .route("/msgs", get(message::list))
            .route(
                "/msgs/{username}",
                get(message::list_of_user).post(message::create),
            )
            .route("/fllws/{username}", get(follow::list).post(follow::change))
            .route("/public", get(page::public))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(self)
    }
}
