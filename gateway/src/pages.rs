//! Handlers of the pages, which show MiniTwit in a browser.
//!
//! The server renders the pages, so they work without JavaScript. Texts, titles, classes and positions
//! on which existing tests rely are those of the original application. Pages that the original
//! application did not have are below `/-/` or below a user's path, so that they hide no user's page.

use axum::{
    Router, middleware,
    response::Response,
    routing::{MethodRouter, get, post},
};
use http::{HeaderValue, StatusCode};

use crate::{
    App,
    observe::{self, Observer, Surface},
    session::CookieKeys,
};

mod account;
mod assets;
mod avatar;
mod csrf;
mod error;
mod feed;
mod follow;
mod form;
mod layout;
pub(crate) mod live;
mod message;
mod moderation;
mod path_user;
mod request;
mod security_headers;
mod session_claim;
mod settings;
mod status;
mod timeline;
mod visitor;

pub use crate::render::avatar::Avatars;
use error::PageError;

/// Options of the pages.
#[derive(Clone, Debug, Default)]
pub struct PageOptions {
    /// Keys that sign cookies.
    pub cookie_keys: CookieKeys,
    /// Source of avatars.
    pub avatars: Avatars,
}

/// State of the pages.
pub(crate) struct Pages {
    pub(crate) cookie_keys: CookieKeys,
    pub(crate) avatars: Avatars,
    /// Content-Security-Policy of every response.
    content_security_policy: HeaderValue,
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
            content_security_policy: security_headers::content_policy(avatars.sources()),
        }
    }
}

/// Result of a handler.
type PageResult = Result<Response, PageError>;

/// Router of the pages.
pub(crate) fn router(app: App) -> Router {
    let router = routes()
        .into_iter()
        .fold(Router::new(), |router, (path, handlers)| {
            router.route(&path, handlers)
        });
    router
        .fallback(async || PageError::new(StatusCode::NOT_FOUND))
        .method_not_allowed_fallback(async || PageError::new(StatusCode::METHOD_NOT_ALLOWED))
        .layer(middleware::from_fn_with_state(
            app.clone(),
            csrf::reject_cross_site,
        ))
        .layer(middleware::from_fn_with_state(
            app.clone(),
            error::render_errors,
        ))
        .layer(middleware::from_fn_with_state(
            app.clone(),
            security_headers::add,
        ))
        .layer(middleware::from_fn_with_state(
            Observer::new(app.clone(), Surface::Pages),
            observe::observe,
        ))
        .with_state(app)
}

/// Path and handlers of every route. The first segment of each path must be a reserved user name,
/// which a test of this module checks.
fn routes() -> Vec<(String, MethodRouter<App>)> {
    let site = [
        ("/", get(timeline::mine)),
        ("/public", get(timeline::public)),
        ("/login", get(account::login_form).post(account::login)),
        (
            "/register",
            get(account::register_form).post(account::register),
        ),
        ("/logout", get(account::logout)),
        ("/add_message", post(message::add)),
        ("/static/{file}", get(assets::show)),
        ("/-/account", get(settings::show)),
        (
            "/-/account/password",
            get(settings::form).post(settings::change_password),
        ),
        ("/-/account/sessions", post(settings::end_sessions)),
        (
            "/-/account/delete",
            get(settings::form).post(settings::delete),
        ),
        ("/-/avatar/{seed}", get(avatar::show)),
        ("/-/flagged", get(moderation::show)),
        ("/-/live", get(live::watch)),
        ("/-/message/{id}", get(message::show)),
        ("/-/message/{id}/flag", post(moderation::flag)),
        ("/-/message/{id}/unflag", post(moderation::unflag)),
        ("/-/public.atom", get(feed::public)),
        ("/-/status", get(status::show)),
    ];
    site.into_iter()
        .map(|(path, handlers)| (path.to_owned(), handlers))
        .chain(user_routes("/{username}"))
        .chain(user_routes("/-/user/{username}"))
        .collect()
}

/// Routes of a user's pages. Users with a reserved name have their pages below
/// [`USER_PREFIX`](crate::render::path::USER_PREFIX).
fn user_routes(path: &str) -> [(String, MethodRouter<App>); 6] {
    [
        (path.to_owned(), get(timeline::of_user)),
        (format!("{path}/follow"), get(follow::follow)),
        (format!("{path}/unfollow"), get(follow::unfollow)),
        (format!("{path}/followers"), get(follow::followers)),
        (format!("{path}/following"), get(follow::following)),
        (format!("{path}/atom"), get(feed::of_user)),
    ]
}

/// Response when the maximum number of concurrent requests is reached.
pub(crate) fn busy() -> Response {
    PageError::new(StatusCode::SERVICE_UNAVAILABLE).render(None, true)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::render::path::{RESERVED_NAMES, USER_PREFIX};

    /// First segments of all routes, without parameters and without the empty segment of `/`.
    fn first_segments() -> BTreeSet<String> {
        routes()
            .iter()
            .filter_map(|(path, _)| path.split('/').nth(1))
            .filter(|segment| !segment.is_empty() && !segment.starts_with('{'))
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn the_first_segment_of_every_route_is_a_reserved_user_name() {
        for segment in first_segments() {
            assert!(
                RESERVED_NAMES.contains(&segment.as_str()),
                "a user named {segment:?} would have no page: add the name to RESERVED_NAMES"
            );
        }
    }

    #[test]
    fn every_reserved_user_name_is_a_route_or_a_dot_segment() {
        let segments = first_segments();
        for name in RESERVED_NAMES {
            assert!(
                segments.contains(name) || [".", ".."].contains(&name),
                "{name:?}"
            );
        }
    }

    #[test]
    fn users_with_reserved_names_have_all_pages_of_a_user() {
        let paths: BTreeSet<String> = routes().into_iter().map(|(path, _)| path).collect();
        for (path, _) in user_routes("/{username}") {
            let path = format!("{USER_PREFIX}{}", path.trim_start_matches('/'));
            assert!(paths.contains(&path), "{path}");
        }
    }
}
