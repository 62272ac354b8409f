//! Request of a page, before its session is verified.

use std::{convert::Infallible, sync::Arc};

use axum::{extract::FromRequestParts, http::request::Parts};
use chassis::deadline::Deadline;

use super::{
    session_claim::SessionClaim,
    visitor::{FLASH_COOKIE, Visitor, parse_flashes},
};
use crate::{
    App, PAGE_BUDGET,
    origin::Origin,
    session::{Session, now_seconds},
};

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
            session: claim.and_then(SessionClaim::session),
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
