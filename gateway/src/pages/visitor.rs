//! Who looks at a page, and what the answer leaves in the browser.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::FromRequestParts,
    http::request::Parts,
    response::{Html, IntoResponse, Response},
};
use bytes::Bytes;
use chassis::deadline::Deadline;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use minitwit_client::accounts::{Account, AccountRef};
use uuid::Uuid;

use super::{error::PageError, escape::now_seconds, layout::Layout};
use crate::{
    App, PAGE_BUDGET, SIDE_BUDGET,
    error::Never,
    origin::Origin,
    session::{CookieKeys, SESSION_SECONDS_MAX, Session},
};

/// The cookie of what has just happened, to be told once.
const FLASH: &str = "flash";

/// More than this is not told: a client that never looks must not grow its cookie for ever.
const FLASHES_MAX: usize = 5;

/// What keeps one flash from the next.
const FLASH_END: char = '\0';

/// Someone who looks at a page.
pub(crate) struct Visitor {
    app: App,
    /// Who is signed in.
    pub(crate) account: Option<SignedIn>,
    pub(crate) origin: Origin,
    pub(crate) deadline: Deadline,
    flashes: Vec<String>,
    /// The session's cookie as it is to be from now on; `None` as it is.
    session: Option<Change>,
}

enum Change {
    Set(Session),
    Clear,
}

/// Someone who is signed in.
#[derive(Clone, Debug)]
pub(crate) struct SignedIn {
    pub(crate) id: Uuid,
    pub(crate) username: String,
    /// The generation of the account's sessions that this one is of.
    pub(crate) epoch: i64,
    /// Whether the account may flag messages; nobody may while the user service is away.
    pub(crate) moderator: bool,
    /// Whether the user service says so, too; else it is away, and the cookie's word is good for
    /// reading alone.
    pub(crate) confirmed: bool,
}

impl FromRequestParts<App> for Visitor {
    type Rejection = Never;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Never> {
        let Ok(origin) = Origin::from_request_parts(parts, app).await;
        let deadline = Deadline::after(PAGE_BUDGET);
        let mut visitor = Self {
            app: app.clone(),
            account: None,
            origin,
            deadline,
            flashes: flashes(&parts.headers, &app.0.pages.cookie_keys),
            session: None,
        };
        let now = now_seconds();
        if let Some(session) = Session::of(&parts.headers, &app.0.pages.cookie_keys, now) {
            visitor.resume(session, now).await;
        }
        Ok(visitor)
    }
}

impl Visitor {
    /// Believes a session as far as the user service does.
    async fn resume(&mut self, session: Session, now: i64) {
        let accounts = &self.app.0.backend.accounts;
        let deadline = self.deadline.at_most(SIDE_BUDGET);
        let Session {
            account,
            epoch,
            username,
            ..
        } = session.clone();
        let mut signed_in = SignedIn {
            id: account,
            username,
            epoch,
            moderator: false,
            confirmed: true,
        };
        match accounts.fetch(AccountRef::Id(account), deadline).await {
            Ok(Some(account)) if account.session_epoch == epoch => {
                if session.is_old(now) {
                    self.session = Some(Change::Set(Session {
                        issued: now,
                        ..session
                    }));
                }
                signed_in.moderator = account.moderator;
                self.account = Some(signed_in);
            }
            Ok(_) => self.session = Some(Change::Clear),
            Err(status) => {
                tracing::warn!(code = ?status.code(), "a session is believed unconfirmed");
                signed_in.confirmed = false;
                self.account = Some(signed_in);
            }
        }
    }

    /// The account, for what changes something: a session that nobody could confirm is not enough.
    pub(crate) fn confirmed(&self) -> Result<SignedIn, PageError> {
        match &self.account {
            Some(account) if account.confirmed => Ok(account.clone()),
            Some(_) => Err(PageError::new(StatusCode::SERVICE_UNAVAILABLE)),
            None => Err(PageError::unauthorized()),
        }
    }

    /// Whether the visitor may flag messages.
    pub(crate) fn is_moderator(&self) -> bool {
        self.account
            .as_ref()
            .is_some_and(|account| account.moderator)
    }

    /// The account, for what only moderators do.
    pub(crate) fn moderator(&self) -> Result<SignedIn, PageError> {
        let account = self.confirmed()?;
        if !account.moderator {
            let message = "Only moderators may do that.";
            return Err(PageError::because(StatusCode::FORBIDDEN, message));
        }
        Ok(account)
    }

    /// What the frame of a page shows to this visitor.
    pub(crate) fn layout(&self, here: &'static str) -> Layout<'_> {
        let me = self
            .account
            .as_ref()
            .map(|account| account.username.as_str());
        Layout {
            me,
            moderator: self.is_moderator(),
            flashes: &self.flashes,
            here,
        }
    }

    /// Whether there is nothing to tell this visitor that everybody else is not told.
    pub(crate) fn is_anybody(&self) -> bool {
        self.account.is_none() && self.session.is_none() && self.flashes.is_empty()
    }

    /// Tells something with the next page.
    pub(crate) fn flash(&mut self, text: impl Into<String>) {
        self.flashes.push(text.into());
    }

    /// Begins a session.
    pub(crate) fn sign_in(&mut self, account: &Arc<Account>) {
        self.session = Some(Change::Set(Session {
            account: account.id,
            epoch: account.session_epoch,
            issued: now_seconds(),
            username: account.username.clone(),
        }));
    }

    /// Ends the session in this browser.
    pub(crate) fn sign_out(&mut self) {
        self.session = Some(Change::Clear);
    }

    /// A page; what has just happened is told by it, and not again.
    pub(crate) fn page(&self, page: &impl Template) -> Response {
        let mut response = Html(rendered(page)).into_response();
        let mut cookies = self.session_cookie();
        if !self.flashes.is_empty() {
            cookies.push(self.cookie(FLASH, "", 0));
        }
        set(response.headers_mut(), cookies);
        response
    }

    /// Sends the browser on, to where what has just happened is told.
    pub(crate) fn redirect(&self, path: &str) -> Response {
        let location = HeaderValue::from_str(path).expect("a path is encoded");
        let mut response = (StatusCode::FOUND, [(header::LOCATION, location)]).into_response();
        let mut cookies = self.session_cookie();
        if !self.flashes.is_empty() {
            let told = self.flashes.len().saturating_sub(FLASHES_MAX);
            let text = self.flashes[told..].join(&FLASH_END.to_string());
            let value = self.app.0.pages.cookie_keys.sign(FLASH, text.as_bytes());
            cookies.push(self.cookie(FLASH, &value, 60 * 60));
        }
        set(response.headers_mut(), cookies);
        response
    }

    fn session_cookie(&self) -> Vec<String> {
        let change = self.session.as_ref().map(|change| match change {
            Change::Set(session) => {
                let value = self
                    .app
                    .0
                    .pages
                    .cookie_keys
                    .sign(Session::COOKIE, &session.encode());
                self.cookie(Session::COOKIE, &value, SESSION_SECONDS_MAX)
            }
            Change::Clear => self.cookie(Session::COOKIE, "", 0),
        });
        change.into_iter().collect()
    }

    fn cookie(&self, name: &str, value: &str, seconds: i64) -> String {
        let secure = if self.origin.secure { "; Secure" } else { "" };
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
    }
}

/// A page, ready to be sent.
pub(crate) fn rendered(page: &impl Template) -> Bytes {
    page.render().expect("a string takes everything").into()
}

fn set(headers: &mut HeaderMap, cookies: Vec<String>) {
    for cookie in cookies {
        let cookie = HeaderValue::try_from(cookie).expect("a cookie is encoded");
        headers.append(header::SET_COOKIE, cookie);
    }
}

fn flashes(headers: &HeaderMap, keys: &CookieKeys) -> Vec<String> {
    let text = keys
        .cookie(headers, FLASH)
        .and_then(|bytes| String::from_utf8(bytes).ok());
    text.map(|text| text.split(FLASH_END).map(str::to_owned).collect())
        .unwrap_or_default()
}
