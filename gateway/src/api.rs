//! Handlers of the simulator's JSON API, which has its own port.

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

mod docs;
mod follows;
mod latest;
mod messages;
mod register;
mod request;

/// Routes of the API.
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
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(
            Observer::new(app.clone(), Surface::Api),
            observe::observe,
        ))
        .with_state(app)
}

async fn not_found() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "there is no such resource")
}

async fn method_not_allowed() -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "the resource does not support this method",
    )
}

/// Response when the maximum number of concurrent requests is reached.
pub(crate) fn busy() -> Response {
    let message = "the server has too many requests, try again";
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message).into_response()
}

/// Result of a handler.
type ApiResult = Result<Response, ApiError>;

/// Response with a body that is already JSON.
fn json_response(body: bytes::Bytes) -> Response {
    const JSON: HeaderValue = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, JSON)], body).into_response()
}

/// Error for a user name without an account.
fn no_such_user(name: &str) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, format!("there is no user {name:?}"))
}
