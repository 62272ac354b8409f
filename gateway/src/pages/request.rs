//! Request of a page, before its session is verified.

use std::{convert::Infallible, sync::Arc};

use axum::{extract::FromRequestParts, http::request::Parts};
use chassis::deadline::Deadline;
use http::HeaderMap;
use time::UtcDateTime;

use super::visitor::{FLASH_COOKIE, Visitor, parse_flashes};
use crate::{
    App, PAGE_BUDGET,
    origin::Origin,
    session::{CookieKeys, Session},
};

/// Session of a request's cookie. The signature is valid, but the user service has not yet confirmed
/// that the session still exists. A middleware adds the session to each request as an extension.
#[derive(Clone)]
pub(super) struct SessionClaim(Option<Arc<Session>>);

impl SessionClaim {
    /// Reads the session cookie.
    pub(super) fn read(headers: &HeaderMap, keys: &CookieKeys) -> Self {
        Self(Session::from_headers(headers, keys, now_seconds()).map(Arc::new))
    }

    /// Name of the account in the cookie.
    pub(super) fn username(&self) -> Option<&str> {
        self.0.as_deref().map(|session| session.username.as_str())
    }
}

/// Request of a page. Extraction calls no service. Handlers call [`Self::verify_session`].
pub(super) struct PageRequest {
    app: App,
    session: Option<Arc<Session>>,
    flashes: Vec<String>,
    origin: Origin,
    deadline: Deadline,
}

impl FromRequestParts<App> for PageRequest {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let Ok(origin) = Origin::from_request_parts(parts, app).await;
        let claim = parts.extensions.get::<SessionClaim>();
        let flashes = app.0.pages.cookie_keys.read(&parts.headers, FLASH_COOKIE);
        Ok(Self {
            app: app.clone(),
            session: claim.and_then(|claim| claim.0.clone()),
            flashes: flashes.map(parse_flashes).unwrap_or_default(),
            origin,
            deadline: Deadline::after(PAGE_BUDGET),
        })
    }
}

impl PageRequest {
    /// Asks the user service whether the session still exists, and returns the visitor. Calls no service
    /// if the request has no session.
    pub(super) async fn verify_session(self) -> Visitor {
        let mut visitor = Visitor::anonymous(self.app, self.origin, self.deadline, self.flashes);
        if let Some(session) = self.session {
            visitor.resume(&session, now_seconds()).await;
        }
        visitor
    }
}

/// Current time, in seconds since 1970.
pub(super) fn now_seconds() -> i64 {
    UtcDateTime::now().unix_timestamp()
}
