//! Visitor of a page, and the cookies of the response.

use std::sync::Arc;

use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use chassis::deadline::Deadline;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use minitwit_client::accounts::{Account, AccountRef};
use uuid::Uuid;

use super::{
    csrf::StateChange,
    error::PageError,
    layout::{Layout, render},
};
use crate::{
    App, SIDE_BUDGET,
    origin::Origin,
    session::{SESSION_SECONDS_MAX, Session, now_seconds},
};

/// Cookie of the flashes, which the next page shows once.
pub(super) const FLASH_COOKIE: &str = "flash";

/// Maximum number of flashes in the cookie. Without a maximum, the cookie of a client that never shows
/// a page would grow without end.
const FLASHES_MAX: usize = 5;

/// Validity of the flash cookie, in seconds.
const FLASH_SECONDS_MAX: i64 = 60 * 60;

/// Separator of the flashes in the cookie.
const FLASH_SEPARATOR: char = '\0';

/// Visitor of a page.
pub(super) struct Visitor {
    app: App,
    /// Account of the session. `None` if the visitor is not signed in.
    pub(super) account: Option<SignedIn>,
    pub(super) origin: Origin,
    pub(super) deadline: Deadline,
    flashes: Vec<String>,
    /// Change of the session cookie. `None` if the cookie stays as it is.
    session: Option<SessionChange>,
}

enum SessionChange {
    Set(Session),
    Clear,
}

/// Account of a session.
#[derive(Clone, Debug)]
pub(super) struct SignedIn {
    pub(super) id: Uuid,
    pub(super) username: String,
    /// Epoch of the account's sessions that this session belongs to.
    pub(super) epoch: i64,
    /// Whether the account may flag messages. `false` while the user service is unavailable.
    pub(super) moderator: bool,
    /// Whether the user service confirmed the session. Without a confirmation the visitor can only
    /// read.
    confirmed: bool,
}

impl Visitor {
    /// Visitor without a session.
    pub(super) fn anonymous(
        app: App,
        origin: Origin,
        deadline: Deadline,
        flashes: Vec<String>,
    ) -> Self {
        Self {
            app,
            account: None,
            origin,
            deadline,
            flashes,
            session: None,
        }
    }

    /// Signs the visitor in if the user service confirms the session. If the user service is unavailable,
    /// the visitor is signed in for reading.
    pub(super) async fn resume(&mut self, session: &Session, now: i64) {
        let accounts = &self.app.0.backend.accounts;
        let deadline = self.deadline.at_most(SIDE_BUDGET);
        let mut signed_in = SignedIn {
            id: session.account,
            username: session.username.clone(),
            epoch: session.epoch,
            moderator: false,
            confirmed: true,
        };
        match accounts
            .fetch(AccountRef::Id(session.account), deadline)
            .await
        {
            Ok(Some(account)) if account.session_epoch == session.epoch => {
                if session.needs_renewal(now) {
                    self.session = Some(SessionChange::Set(Session {
                        issued: now,
                        ..session.clone()
                    }));
                }
                signed_in.moderator = account.moderator;
                self.account = Some(signed_in);
            }
            Ok(_) => self.session = Some(SessionChange::Clear),
            Err(status) => {
                tracing::warn!(
                    code = ?status.code(),
                    "session not verified: user service unavailable"
                );
                signed_in.confirmed = false;
                self.account = Some(signed_in);
            }
        }
    }

    /// Returns the account for an action that changes state. The user service must have confirmed the
    /// session.
    pub(super) fn confirmed(&self, _: &StateChange) -> Result<SignedIn, PageError> {
        self.confirmed_account()
    }

    /// Returns the account if it belongs to a moderator.
    pub(super) fn moderator(&self) -> Result<SignedIn, PageError> {
        let account = self.confirmed_account()?;
        if !account.moderator {
            let message = "Only moderators may do that.";
            return Err(PageError::with_message(StatusCode::FORBIDDEN, message));
        }
        Ok(account)
    }

    fn confirmed_account(&self) -> Result<SignedIn, PageError> {
        match &self.account {
            Some(account) if account.confirmed => Ok(account.clone()),
            Some(_) => Err(PageError::new(StatusCode::SERVICE_UNAVAILABLE)),
            None => Err(PageError::unauthorized()),
        }
    }

    /// Whether the visitor may flag messages.
    pub(super) fn is_moderator(&self) -> bool {
        self.account
            .as_ref()
            .is_some_and(|account| account.moderator)
    }

    /// Layout of a page for this visitor. `current` is the path of the page if the navigation has a link
    /// to it, otherwise empty.
    pub(super) fn layout(&self, current: &'static str) -> Layout<'_> {
        let username = self
            .account
            .as_ref()
            .map(|account| account.username.as_str());
        Layout {
            username,
            moderator: self.is_moderator(),
            flashes: &self.flashes,
            current,
        }
    }

    /// Whether the visitor sees the same page as all visitors without session and flashes.
    pub(super) fn is_anonymous(&self) -> bool {
        self.account.is_none() && self.session.is_none() && self.flashes.is_empty()
    }

    /// Adds a flash, which the next page shows.
    pub(super) fn flash(&mut self, text: impl Into<String>) {
        self.flashes.push(text.into());
    }

    /// Starts a session.
    pub(super) fn sign_in(&mut self, account: &Arc<Account>, _: &StateChange) {
        self.session = Some(SessionChange::Set(Session {
            account: account.id,
            epoch: account.session_epoch,
            issued: now_seconds(),
            username: account.username.clone(),
        }));
    }

    /// Ends the session in this browser.
    pub(super) fn sign_out(&mut self, _: &StateChange) {
        self.session = Some(SessionChange::Clear);
    }

    /// Response with a page. The page shows the flashes, so the response removes their cookie.
    pub(super) fn page(&self, page: &impl Template) -> Response {
        let mut response = Html(render(page)).into_response();
        let mut cookies = self.session_cookie();
        if !self.flashes.is_empty() {
            cookies.push(self.cookie(FLASH_COOKIE, "", 0));
        }
        append_cookies(response.headers_mut(), cookies);
        response
    }

    /// Response that redirects to a path. The flashes stay in their cookie for the next page.
    pub(super) fn redirect(&self, path: &str) -> Response {
        let location = HeaderValue::from_str(path).expect("a path is percent-encoded");
        let mut response = (StatusCode::FOUND, [(header::LOCATION, location)]).into_response();
        let mut cookies = self.session_cookie();
        if !self.flashes.is_empty() {
            let first = self.flashes.len().saturating_sub(FLASHES_MAX);
            let text = self.flashes[first..].join(&FLASH_SEPARATOR.to_string());
            let keys = &self.app.0.pages.cookie_keys;
            let value = keys.sign(FLASH_COOKIE, text.as_bytes());
            cookies.push(self.cookie(FLASH_COOKIE, &value, FLASH_SECONDS_MAX));
        }
        append_cookies(response.headers_mut(), cookies);
        response
    }

    fn session_cookie(&self) -> Vec<String> {
        let keys = &self.app.0.pages.cookie_keys;
        let cookie = self.session.as_ref().map(|change| match change {
            SessionChange::Set(session) => {
                let value = keys.sign(Session::COOKIE, &session.encode());
                self.cookie(Session::COOKIE, &value, SESSION_SECONDS_MAX)
            }
            SessionChange::Clear => self.cookie(Session::COOKIE, "", 0),
        });
        cookie.into_iter().collect()
    }

    fn cookie(&self, name: &str, value: &str, seconds: i64) -> String {
        let secure = if self.origin.secure { "; Secure" } else { "" };
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
    }
}

fn append_cookies(headers: &mut HeaderMap, cookies: Vec<String>) {
    for cookie in cookies {
        let cookie = HeaderValue::try_from(cookie).expect("a cookie is printable ASCII");
        headers.append(header::SET_COOKIE, cookie);
    }
}

/// Splits the payload of the flash cookie.
pub(super) fn parse_flashes(payload: Vec<u8>) -> Vec<String> {
    String::from_utf8(payload)
        .map(|text| text.split(FLASH_SEPARATOR).map(str::to_owned).collect())
        .unwrap_or_default()
}
