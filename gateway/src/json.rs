//! Bodies of the API: JSON objects of at most 64 KiB, whatever else may come.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use chassis::deadline::Deadline;
use http::StatusCode;
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::ApiError;

/// The longest body, in bytes.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;

/// Reads a JSON object.
pub(crate) async fn read<T: DeserializeOwned>(
    body: Body,
    deadline: Deadline,
) -> Result<T, ApiError> {
    let bytes = collect(body, deadline).await?;
    // By way of a `Value`: it bounds the depth also of what nobody asked for, and an array is not
    // taken for an object.
    let value = serde_json::from_slice(&bytes).map_err(|error| unreadable(&error))?;
    if !matches!(value, Value::Object(_)) {
        return Err(ApiError::bad_request("the body must be a JSON object"));
    }
    T::deserialize(value).map_err(|error| unreadable(&error))
}

fn unreadable(error: &serde_json::Error) -> ApiError {
    ApiError::bad_request(format!("the body cannot be read: {error}"))
}

/// Reads a body whole. What is too long is read to its end all the same, as long as there is time:
/// a client that is still sending would take a closed connection for a fault of ours.
pub(crate) async fn collect(mut body: Body, deadline: Deadline) -> Result<Bytes, ApiError> {
    let mut whole = BytesMut::new();
    let mut too_long = false;
    let read = async {
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| ApiError::bad_request("the body ended early"))?;
            if let Ok(data) = frame.into_data() {
                too_long |= whole.len() + data.len() > BODY_BYTES_MAX;
                if !too_long {
                    whole.extend_from_slice(&data);
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
        Ok(read) => read.map(|()| whole.freeze()),
        Err(_) => Err(ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body did not come in time",
        )),
    }
}
