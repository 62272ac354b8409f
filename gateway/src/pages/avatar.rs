//! `/-/avatar/{seed}`, drawn avatars.

use axum::{
    extract::Path,
    response::{IntoResponse as _, Response},
};
use http::{StatusCode, header};

use super::{assets::CACHE_FOREVER, error::PageError};
use crate::render::avatar::Seed;

/// Draws an avatar. The address contains the seed, so the image never changes.
pub(super) async fn show(Path(seed): Path<String>) -> Result<Response, PageError> {
    let seed = Seed::parse(&seed).ok_or_else(|| PageError::new(StatusCode::NOT_FOUND))?;
    let headers = [
        (header::CONTENT_TYPE, "image/svg+xml"),
        (header::CACHE_CONTROL, CACHE_FOREVER),
    ];
    Ok((headers, seed.draw()).into_response())
}
