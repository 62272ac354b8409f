//! Parses JSON bodies.

use axum::{body::Bytes, extract::rejection::BytesRejection};
use serde::de::DeserializeOwned;

use crate::error::ApiError;

pub(crate) fn read<T: DeserializeOwned>(
    body: Result<Bytes, BytesRejection>,
) -> Result<T, ApiError> {
    serde_json::from_slice(&body?)
        .map_err(|_| ApiError::Invalid("the body is not valid JSON or lacks a field"))
}
