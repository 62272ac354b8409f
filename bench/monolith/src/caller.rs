//! Credentials and parameters of a request.

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header::AUTHORIZATION, request::Parts},
};

use crate::refusal::Refusal;

/// `simulator:super_safe!`
const SIMULATOR: &[u8] = b"Basic c2ltdWxhdG9yOnN1cGVyX3NhZmUh";

/// Maximum number of items in a response.
const NO_MAX: i64 = 10_000;

/// The simulator, identified by its credentials.
#[derive(Debug)]
pub(crate) struct Caller {
    /// The request's `latest`, if there is one.
    pub(crate) latest: Option<i64>,
    /// Maximum number of listed items.
    pub(crate) no: i64,
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        if !authorized(&parts.headers) {
            return Err(Refusal::Unauthorized);
        }
        Ok(Self::of(parts.uri.query().unwrap_or_default()))
    }
}

impl Caller {
    fn of(query: &str) -> Self {
        let mut caller = Self {
            latest: None,
            no: 100,
        };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match (&*name, value.parse()) {
                ("latest", Ok(latest)) if latest != -1 => caller.latest = Some(latest),
                ("no", Ok(no)) => caller.no = no.clamp(0, NO_MAX),
                _ => {}
            }
        }
        caller
    }
}

/// The `latest` of a request that is allowed without credentials. Only with credentials it is moved.
#[derive(Debug)]
pub(crate) struct Anyone {
    pub(crate) latest: Option<i64>,
}

impl<S: Sync> FromRequestParts<S> for Anyone {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let caller = Caller::from_request_parts(parts, state).await;
        Ok(Self {
            latest: caller.ok().and_then(|caller| caller.latest),
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
    use super::Caller;

    #[test]
    fn what_is_no_number_is_not_there() {
        let caller = Caller::of("latest=soon&no=many");
        assert_eq!((caller.latest, caller.no), (None, 100));
    }

    #[test]
    fn zero_moves_latest_and_minus_one_does_not() {
        assert_eq!(Caller::of("latest=0").latest, Some(0));
        assert_eq!(Caller::of("latest=-1").latest, None);
    }

    #[test]
    fn the_number_of_items_is_kept_in_bounds() {
        assert_eq!(Caller::of("no=-5").no, 0);
        assert_eq!(Caller::of("latest=7&no=20").no, 20);
        assert_eq!(Caller::of("no=9000000000").no, 10_000);
    }
}
