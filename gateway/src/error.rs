//! Errors of requests, and the HTTP status of each gRPC status.

use axum::response::{IntoResponse, Response};
use chassis::retry_after;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use tonic::{Code, Status};

/// Maps a gRPC status code to an HTTP status.
pub(crate) fn http_status(code: Code) -> StatusCode {
    match code {
        Code::InvalidArgument | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists => StatusCode::CONFLICT,
        Code::Unavailable | Code::ResourceExhausted => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded | Code::Cancelled => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Error response of the API, `{"status":…,"error_msg":…}`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    /// Time after which the client can send the request again, in seconds.
    pub(crate) retry_after_seconds: Option<u32>,
}

#[derive(Serialize)]
struct Body<'a> {
    status: u16,
    error_msg: &'a str,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            retry_after_seconds: (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1),
        }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "You are not authorized to use this resource!",
        )
    }
}

impl From<Status> for ApiError {
    /// Logs server errors, once. The client receives a general message without internal text.
    fn from(status: Status) -> Self {
        // A status with a retry time comes from a rate limit. Overload has no retry time.
        if let (Code::ResourceExhausted, Some(seconds)) =
            (status.code(), retry_after::seconds(&status))
        {
            return Self {
                retry_after_seconds: Some(seconds),
                ..Self::new(StatusCode::TOO_MANY_REQUESTS, status.message())
            };
        }
        let http = http_status(status.code());
        let message = match http {
            StatusCode::INTERNAL_SERVER_ERROR => {
                tracing::error!(code = ?status.code(), message = status.message(), "call failed");
                "something went wrong"
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                tracing::warn!(code = ?status.code(), message = status.message(), "call failed");
                "the service is not available right now, try again"
            }
            StatusCode::GATEWAY_TIMEOUT => {
                tracing::warn!(code = ?status.code(), message = status.message(), "call failed");
                "the service did not respond in time, try again"
            }
            _ => status.message(),
        };
        Self::new(http, message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = Body {
            status: self.status.as_u16(),
            error_msg: &self.message,
        };
        let mut response = (self.status, axum::Json(body)).into_response();
        if let Some(seconds) = self.retry_after_seconds {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
