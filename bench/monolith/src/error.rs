//! Responses for errors.

use axum::{
    Json,
    extract::rejection::BytesRejection,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;

#[derive(Debug)]
pub(crate) enum ApiError {
    Invalid(&'static str),
    Unauthorized,
    UnknownUser,
    Body(BytesRejection),
    Database(sqlx::Error),
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> Self {
        Self::Body(rejection)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, message) = match self {
            Self::Invalid(message) => (StatusCode::BAD_REQUEST, message.to_owned()),
            Self::Unauthorized => (
                StatusCode::FORBIDDEN,
                "You are not authorized to use this resource!".to_owned(),
            ),
            Self::UnknownUser => (StatusCode::NOT_FOUND, "no such user".to_owned()),
            Self::Body(rejection) => (rejection.status(), rejection.body_text()),
            Self::Database(error) => {
                tracing::error!(%error, "a statement failed");
                (StatusCode::INTERNAL_SERVER_ERROR, "internal".to_owned())
            }
        };
        let body = Json(json!({ "status": status.as_u16(), "error_msg": message }));
        (status, body).into_response()
    }
}
