//! State of all handlers, and their routes.

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};
use sqlx::PgPool;

use crate::{
    account, config::Config, database, follow, latest, latest::Latest, message, page,
    refusal::Refusal,
};

/// Maximum size of a request's body in bytes.
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

    /// Refuses a request. A refused request also moves `latest`.
    pub(crate) async fn refuse<T>(
        &self,
        latest: Option<i64>,
        refusal: Refusal,
    ) -> Result<T, Refusal> {
        self.latest.begin(latest).alone().await?;
        Err(refusal)
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
