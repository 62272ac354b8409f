//! The pages: MiniTwit in a browser.
//!
//! Rendered here, working without JavaScript. What others may hold on to, texts, titles, classes
//! and positions, is as in the old system; what the old one did not have lives under `/-/…` or below
//! a user's own path, so that it shadows nobody.

use axum::{
    Router, middleware,
    response::Response,
    routing::{get, post},
};
use http::{HeaderValue, StatusCode};

use crate::{
    App,
    observe::{self, Observer, Surface},
    session::CookieKeys,
};

mod account;
mod assets;
pub mod avatar;
mod error;
pub(crate) mod escape;
pub(crate) mod feed;
mod follow;
mod form;
mod guard;
mod layout;
pub(crate) mod live;
pub(crate) mod message;
mod moderation;
pub(crate) mod people;
mod person;
mod post;
mod settings;
mod status;
mod timeline;
mod visitor;

use avatar::Avatars;
use error::PageError;

/// How the pages behave.
#[derive(Clone, Debug, Default)]
pub struct PageOptions {
    /// What cookies are signed with.
    pub cookie_keys: CookieKeys,
    /// Where pictures of people come from.
    pub avatars: Avatars,
}

/// What every page has at hand.
pub(crate) struct Pages {
    pub(crate) cookie_keys: CookieKeys,
    pub(crate) avatars: Avatars,
    /// The Content-Security-Policy of every answer.
    policy: HeaderValue,
}

impl From<PageOptions> for Pages {
    fn from(options: PageOptions) -> Self {
        let PageOptions {
            cookie_keys,
            avatars,
        } = options;
        Self {
            cookie_keys,
            avatars,
            policy: guard::policy(avatars.sources()),
        }
    }
}

/// What a handler answers with.
type PageAnswer = Result<Response, PageError>;

/// The routes of the pages.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/", get(timeline::mine))
        .route("/public", get(timeline::public))
        .route("/login", get(account::login_form).post(account::login))
        .route(
            "/register",
            get(account::register_form).post(account::register),
        )
        .route("/logout", get(account::logout))
        .route("/add_message", post(post::add_message))
        .route("/static/{file}", get(assets::show))
        .route("/-/account", get(settings::show))
        .route(
            "/-/account/password",
            get(settings::form).post(settings::change_password),
        )
        .route("/-/account/sessions", post(settings::end_sessions))
        .route(
            "/-/account/delete",
            get(settings::form).post(settings::delete),
        )
        .route("/-/avatar/{seed}", get(avatar::show))
        .route("/-/flagged", get(moderation::show))
        .route("/-/live", get(live::watch))
        .route("/-/message/{id}", get(post::show))
        .route("/-/message/{id}/flag", post(moderation::flag))
        .route("/-/message/{id}/unflag", post(moderation::unflag))
        .route("/-/public.atom", get(feed::public))
        .route("/-/status", get(status::show))
        .merge(of_people("/{username}"))
        // Those whose names are routes have their pages here.
        .merge(of_people("/-/user/{username}"))
        .fallback(async || PageError::new(StatusCode::NOT_FOUND))
        .method_not_allowed_fallback(async || PageError::new(StatusCode::METHOD_NOT_ALLOWED))
        .layer(middleware::from_fn_with_state(app.clone(), guard::guard))
        .layer(middleware::from_fn_with_state(
            Observer::new(app.clone(), Surface::Pages),
            observe::observe,
        ))
        .with_state(app)
}

/// What is answered when too much is under way.
pub(crate) fn busy() -> Response {
    PageError::new(StatusCode::SERVICE_UNAVAILABLE).render(None, true)
}

fn of_people(path: &str) -> Router<App> {
    Router::new()
        .route(path, get(timeline::of_user))
        .route(&format!("{path}/follow"), get(follow::follow))
        .route(&format!("{path}/unfollow"), get(follow::unfollow))
        .route(&format!("{path}/followers"), get(follow::followers))
        .route(&format!("{path}/following"), get(follow::following))
        .route(&format!("{path}/atom"), get(feed::of_user))
}
