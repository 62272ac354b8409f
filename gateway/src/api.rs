//! The simulator's API: JSON in and out, on a port of its own.

use axum::{
    Router, middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderValue, StatusCode, header};

use crate::{
    App,
    error::ApiError,
    observe::{self, Observer, Surface},
};

pub(crate) mod caller;
mod docs;
pub(crate) mod follows;
pub(crate) mod latest;
pub(crate) mod messages;
pub(crate) mod register;

/// The routes of the API.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/latest", get(latest::show))
        .route("/register", post(register::register))
        .route("/msgs", get(messages::list_all))
        .route(
            "/msgs/{username}",
            get(messages::list_of_user).post(messages::post),
        )
        .route("/fllws/{username}", get(follows::list).post(follows::set))
        .route("/openapi.json", get(docs::document))
        .route("/docs", get(docs::page))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(
            Observer::new(app.clone(), Surface::Api),
            observe::observe,
        ))
        .with_state(app)
}

async fn unknown() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "there is no such resource")
}

async fn wrong_method() -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "the resource does not take this method",
    )
}

/// What is answered when too much is under way.
pub(crate) fn busy() -> Response {
    let busy = "too many requests are under way, try again";
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, busy).into_response()
}

/// What a handler answers with.
pub(crate) type Answer = Result<Response, ApiError>;

/// A JSON document that is rendered already.
pub(crate) fn rendered(body: bytes::Bytes) -> Response {
    const JSON: HeaderValue = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, JSON)], body).into_response()
}

/// What is answered when a name in the path is nobody's.
pub(crate) fn no_such_user(name: &str) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, format!("there is no user {name:?}"))
}
