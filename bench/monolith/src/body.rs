//! Request bodies of JSON that the database can store.

use axum::{body::Bytes, extract::rejection::BytesRejection};
use serde::de::DeserializeOwned;

use crate::refusal::Refusal;

pub(crate) fn read<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, Refusal> {
    serde_json::from_slice(&body?)
        .map_err(|_| Refusal::Invalid("the body is not what it has to be"))
}
