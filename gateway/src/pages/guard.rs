//! What keeps other sites from acting in a visitor's name, and from more than that.

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use super::{error::PageError, escape::now_seconds};
use crate::{
    App,
    origin::{Origin, Peer},
    session::Session,
};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");
const PURPOSE: HeaderName = HeaderName::from_static("purpose");

/// Refuses what comes from where it must not, and dresses every answer.
pub(super) async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let cookies: Vec<HeaderValue> = request
        .headers()
        .get_all(header::COOKIE)
        .iter()
        .cloned()
        .collect();
    let by_link = request.method().is_safe();
    let response = match objection(&app, &request) {
        Some(objection) => objection.into_response(),
        None => next.run(request).await,
    };
    dress(&app, response, cookies, by_link)
}

/// Why a request that would change something is not let in.
fn objection(app: &App, request: &Request) -> Option<PageError> {
    let changes = match *request.method() {
        Method::GET | Method::HEAD | Method::OPTIONS => changes_by_link(request),
        _ => true,
    };
    if !changes {
        return None;
    }
    let peer = request.extensions().get::<Peer>().copied();
    let proxied = Origin::is_proxied(peer, app);
    let message = if is_elsewhere(request.headers(), request.method(), proxied) {
        "This request came from another site, so nothing was done."
    } else if is_prefetch(request.headers()) {
        "This is nothing to be fetched in advance."
    } else {
        return None;
    };
    Some(PageError::because(StatusCode::FORBIDDEN, message))
}

/// The links that change something, as in the old system.
fn changes_by_link(request: &Request) -> bool {
    let route = request.extensions().get::<MatchedPath>();
    route.is_some_and(|route| {
        let route = route.as_str();
        route == "/logout" || route.ends_with("/follow") || route.ends_with("/unfollow")
    })
}

/// Whether a browser says that another site's page has sent this. Who says nothing is no browser.
fn is_elsewhere(headers: &HeaderMap, method: &Method, proxied: bool) -> bool {
    let text = |name| {
        headers
            .get(name)
            .map(|value: &HeaderValue| value.to_str().unwrap_or("?"))
    };
    if let Some(site) = text(SEC_FETCH_SITE) {
        return !matches!(site, "same-origin" | "none");
    }
    // Over plain http there is no such header, so the names of the hosts are compared.
    let here = |url: &str| {
        let authority = url
            .split_once("://")
            .map(|(_, rest)| rest.split('/').next().unwrap_or(rest));
        let forwarded = if proxied {
            text(HeaderName::from_static("x-forwarded-host"))
        } else {
            None
        };
        let mut hosts = text(header::HOST).into_iter().chain(forwarded);
        authority.is_some_and(|authority| hosts.any(|host| host.eq_ignore_ascii_case(authority)))
    };
    if let Some(origin) = text(header::ORIGIN) {
        return !here(origin);
    }
    // A link carries no origin; where it was clicked is all there is.
    let by_link = method == Method::GET || method == Method::HEAD;
    by_link && text(header::REFERER).is_some_and(|referer| !here(referer))
}

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

/// Makes a page of a failure, and tells browsers what they may do.
fn dress(app: &App, mut response: Response, cookies: Vec<HeaderValue>, by_link: bool) -> Response {
    if let Some(error) = response.extensions_mut().remove::<PageError>() {
        // Nobody is asked whether the session still holds: the page shows nothing but the name.
        let cookies = cookies
            .into_iter()
            .map(|cookie| (header::COOKIE, cookie))
            .collect();
        let session = Session::of(&cookies, &app.0.pages.cookie_keys, now_seconds());
        let me = session.as_ref().map(|session| session.username.as_str());
        response = error.render(me, by_link);
    }
    let headers = response.headers_mut();
    headers.reserve(8);
    headers.insert(header::CONTENT_SECURITY_POLICY, app.0.pages.policy.clone());
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    // With `no-referrer` a page's own forms would come with `Origin: null`.
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("same-origin"),
    );
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("private, no-cache"));
    response
}

/// What a page may load and do.
pub(crate) fn policy(images: &str) -> HeaderValue {
    let policy = format!(
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
         img-src {images}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).expect("only our own words")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elsewhere(method: &Method, headers: &[(&'static str, &'static str)]) -> bool {
        let pairs = headers.iter().chain(&[("host", "mini.twit:5000")]);
        let headers = pairs.map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        is_elsewhere(&headers.collect(), method, false)
    }

    #[test]
    fn a_browser_that_comes_from_another_site_says_so() {
        let post = |headers| elsewhere(&Method::POST, headers);
        assert!(post(&[("sec-fetch-site", "cross-site")]));
        assert!(post(&[("sec-fetch-site", "same-site")]));
        assert!(post(&[("origin", "http://evil.example")]));
        assert!(post(&[("origin", "http://mini.twit:5001")]));
        assert!(post(&[("origin", "null")]));
        assert!(elsewhere(
            &Method::GET,
            &[("referer", "http://evil.example/mini.twit:5000")]
        ));
    }

    #[test]
    fn our_own_pages_and_those_who_say_nothing_pass() {
        let post = |headers| elsewhere(&Method::POST, headers);
        assert!(!post(&[]));
        assert!(!post(&[
            ("sec-fetch-site", "same-origin"),
            ("origin", "null")
        ]));
        assert!(!post(&[("sec-fetch-site", "none")]));
        assert!(!post(&[("origin", "http://MINI.twit:5000")]));
        assert!(!post(&[("origin", "https://mini.twit:5000")]));
        assert!(!elsewhere(
            &Method::GET,
            &[("referer", "http://mini.twit:5000/x")]
        ));
    }
}
