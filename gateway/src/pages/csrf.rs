//! Protection against cross-site requests and against prefetching.

use axum::{
    extract::{FromRequestParts, Request, State},
    http::request::Parts,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use super::error::PageError;
use crate::{
    App,
    origin::{Origin, Peer},
};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");
const PURPOSE: HeaderName = HeaderName::from_static("purpose");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Rejects cross-site requests with a method that changes state. Links that change state are GET
/// requests, so their handlers take a [`StateChange`].
pub(super) async fn reject_cross_site(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Response {
    if !request.method().is_safe() {
        let (headers, method) = (request.headers(), request.method());
        if let Err(error) = check(&app, headers, method, request.extensions()) {
            return error.into_response();
        }
    }
    next.run(request).await
}

/// Proof that a request passed the cross-site check.
///
/// Methods of [`Visitor`](super::visitor::Visitor) that act for the visitor take this proof. A handler
/// that changes state must therefore extract it, and the extraction performs the check.
pub(super) struct StateChange(());

impl FromRequestParts<App> for StateChange {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, PageError> {
        check(app, &parts.headers, &parts.method, &parts.extensions).map(|()| Self(()))
    }
}

/// Checks a request that changes state.
fn check(
    app: &App,
    headers: &HeaderMap,
    method: &Method,
    extensions: &Extensions,
) -> Result<(), PageError> {
    let proxied = Origin::is_proxied(extensions.get::<Peer>().copied(), app);
    let message = if is_cross_site(headers, method, proxied) {
        "This request came from another site, so MiniTwit did not execute it."
    } else if is_prefetch(headers) {
        "This link changes something, so it cannot be prefetched."
    } else {
        return Ok(());
    };
    Err(PageError::with_message(StatusCode::FORBIDDEN, message))
}

/// Whether the headers of a browser report that another site's page sent the request. A request with
/// none of these headers is not from a browser and is allowed.
fn is_cross_site(headers: &HeaderMap, method: &Method, proxied: bool) -> bool {
    let text = |name| {
        headers
            .get(name)
            .map(|value: &HeaderValue| value.to_str().unwrap_or("?"))
    };
    if let Some(site) = text(SEC_FETCH_SITE) {
        return !matches!(site, "same-origin" | "none");
    }
    // Browsers do not send this header over plain HTTP, so the host names are compared.
    let is_own_host = |url: &str| {
        let authority = url
            .split_once("://")
            .map(|(_, rest)| rest.split('/').next().unwrap_or(rest));
        let forwarded = if proxied {
            text(X_FORWARDED_HOST)
        } else {
            None
        };
        let mut hosts = text(header::HOST).into_iter().chain(forwarded);
        authority.is_some_and(|authority| hosts.any(|host| host.eq_ignore_ascii_case(authority)))
    };
    if let Some(origin) = text(header::ORIGIN) {
        return !is_own_host(origin);
    }
    // Browsers send no origin with a link, only the address of the page that contains the link.
    let by_link = method == Method::GET || method == Method::HEAD;
    by_link && text(header::REFERER).is_some_and(|referer| !is_own_host(referer))
}

/// Whether a browser loads the link in advance.
fn is_prefetch(headers: &HeaderMap) -> bool {
    [SEC_PURPOSE, PURPOSE]
        .iter()
        .filter_map(|name| headers.get(name))
        .any(|purpose| {
            purpose
                .to_str()
                .is_ok_and(|purpose| purpose.contains("prefetch") || purpose.contains("preview"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cross_site(method: &Method, headers: &[(&'static str, &'static str)]) -> bool {
        let pairs = headers.iter().chain(&[("host", "mini.twit:5000")]);
        let headers = pairs.map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        is_cross_site(&headers.collect(), method, false)
    }

    #[test]
    fn a_browser_reports_that_another_site_sent_the_request() {
        let post = |headers| cross_site(&Method::POST, headers);
        assert!(post(&[("sec-fetch-site", "cross-site")]));
        assert!(post(&[("sec-fetch-site", "same-site")]));
        assert!(post(&[("origin", "http://evil.example")]));
        assert!(post(&[("origin", "http://mini.twit:5001")]));
        assert!(post(&[("origin", "null")]));
        assert!(cross_site(
            &Method::GET,
            &[("referer", "http://evil.example/mini.twit:5000")]
        ));
    }

    #[test]
    fn requests_of_own_pages_and_requests_without_headers_are_allowed() {
        let post = |headers| cross_site(&Method::POST, headers);
        assert!(!post(&[]));
        assert!(!post(&[
            ("sec-fetch-site", "same-origin"),
            ("origin", "null")
        ]));
        assert!(!post(&[("sec-fetch-site", "none")]));
        assert!(!post(&[("origin", "http://MINI.twit:5000")]));
        assert!(!post(&[("origin", "https://mini.twit:5000")]));
        assert!(!cross_site(
            &Method::GET,
            &[("referer", "http://mini.twit:5000/x")]
        ));
    }
}
