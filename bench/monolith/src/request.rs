//! Extractors for the credentials and the query of a request.

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header::AUTHORIZATION, request::Parts},
};

use crate::error::ApiError;

/// `simulator:super_safe!`
const SIMULATOR: &[u8] = b"Basic c2ltdWxhdG9yOnN1cGVyX3NhZmUh";

/// Maximum number of items in a list.
const NO_MAX: i64 = 10_000;

/// The query of a request with valid credentials.
#[derive(Debug)]
pub(crate) struct AuthenticatedRequest {
    /// The new value of `latest`, if the query has one.
    pub(crate) latest: Option<i64>,
    /// Maximum number of items to list.
    pub(crate) no: i64,
}

impl<S: Sync> FromRequestParts<S> for AuthenticatedRequest {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        if !authorized(&parts.headers) {
            return Err(ApiError::Unauthorized);
        }
        Ok(Self::of(parts.uri.query().unwrap_or_default()))
    }
}

impl AuthenticatedRequest {
    fn of(query: &str) -> Self {
        let mut request = Self {
            latest: None,
            no: 100,
        };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match (&*name, value.parse()) {
                ("latest", Ok(latest)) if latest != -1 => request.latest = Some(latest),
                ("no", Ok(no)) => request.no = no.clamp(0, NO_MAX),
                _ => {}
            }
        }
        request
    }
}

/// The query of a request that needs no credentials. `latest` is only set if they are valid.
#[derive(Debug)]
pub(crate) struct ApiRequest {
    pub(crate) latest: Option<i64>,
}

impl<S: Sync> FromRequestParts<S> for ApiRequest {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let request = AuthenticatedRequest::from_request_parts(parts, state).await;
        Ok(Self {
            latest: request.ok().and_then(|request| request.latest),
        })
    }
}

fn authorized(headers: &HeaderMap) -> bool {
    headers
        .get(AUTHORIZATION)
        .is_some_and(|value| value.as_bytes() == SIMULATOR)
}

#[cfg(test)]
mod tests {
    use super::AuthenticatedRequest;

    #[test]
    fn values_that_are_no_numbers_are_ignored() {
        let request = AuthenticatedRequest::of("latest=soon&no=many");
        assert_eq!((request.latest, request.no), (None, 100));
    }

    #[test]
    fn zero_updates_latest_and_minus_one_does_not() {
        assert_eq!(AuthenticatedRequest::of("latest=0").latest, Some(0));
        assert_eq!(AuthenticatedRequest::of("latest=-1").latest, None);
    }

    #[test]
    fn the_number_of_items_is_clamped() {
        assert_eq!(AuthenticatedRequest::of("no=-5").no, 0);
        assert_eq!(AuthenticatedRequest::of("latest=7&no=20").no, 20);
        assert_eq!(AuthenticatedRequest::of("no=9000000000").no, 10_000);
    }
}
