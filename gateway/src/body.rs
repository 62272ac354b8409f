//! Request bodies of at most 64 KiB.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use chassis::deadline::Deadline;
use http::StatusCode;
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::ApiError;

/// Maximum size of a request body, in bytes.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;

/// Reads a JSON object.
pub(crate) async fn read_json<T: DeserializeOwned>(
    body: Body,
    deadline: Deadline,
) -> Result<T, ApiError> {
    let bytes = read(body, deadline).await?;
    // Parsing a `Value` first limits the depth of ignored fields too, and lets an array be rejected
    // that would deserialize as a struct.
    let value = serde_json::from_slice(&bytes).map_err(|error| unreadable(&error))?;
    if !matches!(value, Value::Object(_)) {
        return Err(ApiError::bad_request("the body must be a JSON object"));
    }
    T::deserialize(value).map_err(|error| unreadable(&error))
}

fn unreadable(error: &serde_json::Error) -> ApiError {
    ApiError::bad_request(format!("the body is not valid: {error}"))
}

/// Reads a whole body. A body that is too long is still read to its end while time remains, because a
/// client that is sending would report a closed connection as a server error.
pub(crate) async fn read(mut body: Body, deadline: Deadline) -> Result<Bytes, ApiError> {
    let mut bytes = BytesMut::new();
    let mut too_long = false;
    let read = async {
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| ApiError::bad_request("the body ended early"))?;
            if let Ok(data) = frame.into_data() {
                too_long |= bytes.len() + data.len() > BODY_BYTES_MAX;
                if !too_long {
                    bytes.extend_from_slice(&data);
                }
            }
        }
        Ok(())
    };
    let outcome = tokio::time::timeout_at(deadline.instant(), read).await;
    if too_long {
        let message = format!("the body is longer than {BODY_BYTES_MAX} bytes");
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message));
    }
    match outcome {
        Ok(read) => read.map(|()| bytes.freeze()),
        Err(_) => Err(ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body did not arrive in time",
        )),
    }
}
