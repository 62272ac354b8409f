//! Session cookie of a request, before the user service has verified the session.

use std::sync::Arc;

use http::HeaderMap;

use crate::session::{CookieKeys, Session, now_seconds};

/// Session of a request's cookie. The signature is valid, but the user service has not yet confirmed
/// that the session still exists. A middleware adds the session to each request as an extension.
#[derive(Clone)]
pub(super) struct SessionClaim(Option<Arc<Session>>);

impl SessionClaim {
    /// Reads the session cookie.
    pub(super) fn read(headers: &HeaderMap, keys: &CookieKeys) -> Self {
        Self(Session::from_headers(headers, keys, now_seconds()).map(Arc::new))
    }

    /// The session, if the cookie has one.
    pub(super) fn session(&self) -> Option<Arc<Session>> {
        self.0.clone()
    }

    /// Name of the account in the cookie.
    pub(super) fn username(&self) -> Option<&str> {
        self.0.as_deref().map(|session| session.username.as_str())
    }
}
