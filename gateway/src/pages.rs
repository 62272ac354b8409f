//! The pages: MiniTwit in a browser.

use axum::{Router, middleware, response::Html, routing::get};

use crate::{App, meter};

/// The routes of the pages.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/", get(|| async { Html("<!doctype html><title>MiniTwit</title><h1>MiniTwit</h1>") }))
        .layer(middleware::from_fn(meter::measure))
        .with_state(app)
}
