//! Error pages.

use std::borrow::Cow;

use askama::Template;
use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{Html, IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use tonic::Status;

use super::{
    layout::{Layout, render},
    session_claim::SessionClaim,
};
use crate::{App, error::ApiError, validate::InvalidInput};

/// Error of a handler or an extractor. [`render_errors`] turns the error into a page, because only the
/// middleware knows the visitor for every error.
#[derive(Clone, Debug)]
pub(super) struct PageError {
    status: StatusCode,
    /// Explanation. `None` for the general explanation of the status.
    message: Option<Cow<'static, str>>,
    /// Time after which the client can send the request again, in seconds.
    retry_after_seconds: Option<u32>,
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    layout: Layout<'a>,
    status: u16,
    title: &'static str,
    explanation: &'a str,
    /// Whether the page has a link to the sign-in form.
    sign_in: bool,
    /// Whether the page has a link that repeats the request.
    retry_link: bool,
    /// Whether the page asks the visitor to submit the form again.
    resubmit_hint: bool,
}

/// Reads the session cookie of each request, and renders errors as pages. An error page shows the name
/// from the cookie without asking the user service.
pub(super) async fn render_errors(
    State(app): State<App>,
    mut request: Request,
    next: Next,
) -> Response {
    let claim = SessionClaim::read(request.headers(), &app.0.pages.cookie_keys);
    let by_link = request.method().is_safe();
    request.extensions_mut().insert(claim.clone());
    let mut response = next.run(request).await;
    match response.extensions_mut().remove::<PageError>() {
        Some(error) => error.render(claim.username(), by_link),
        None => response,
    }
}

impl PageError {
    pub(super) fn new(status: StatusCode) -> Self {
        Self {
            status,
            message: None,
            retry_after_seconds: None,
        }
    }

    pub(super) fn with_message(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            message: Some(message.into()),
            ..Self::new(status)
        }
    }

    /// Error of a page that requires a session.
    pub(super) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED)
    }

    /// Title and general explanation of the status.
    fn texts(&self) -> (&'static str, &'static str) {
        match self.status {
            StatusCode::BAD_REQUEST => {
                ("Invalid request", "Something in the request is not valid.")
            }
            StatusCode::UNAUTHORIZED => ("Sign in first", "You have to be signed in to do that."),
            StatusCode::FORBIDDEN => ("Not allowed", "You are not allowed to do that."),
            StatusCode::NOT_FOUND => ("Not found", "There is no such page, user or message."),
            StatusCode::METHOD_NOT_ALLOWED => (
                "Not supported",
                "This page does not support that kind of request.",
            ),
            StatusCode::PAYLOAD_TOO_LARGE => ("Too large", "The request is too large."),
            StatusCode::TOO_MANY_REQUESTS => {
                ("Too many attempts", "Wait a while and try again later.")
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => (
                "Temporarily unavailable",
                "A part of MiniTwit cannot be reached right now.",
            ),
            _ => ("Something went wrong", "MiniTwit has an internal error."),
        }
    }

    /// Renders the error page. `by_link` is true if the request came from a link, and false if it came
    /// from a form.
    pub(super) fn render(&self, username: Option<&str>, by_link: bool) -> Response {
        let (title, explanation) = self.texts();
        let unavailable = matches!(
            self.status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
        );
        let page = ErrorPage {
            layout: Layout {
                username,
                ..Layout::default()
            },
            status: self.status.as_u16(),
            title,
            explanation: self.message.as_deref().unwrap_or(explanation),
            sign_in: self.status == StatusCode::UNAUTHORIZED,
            retry_link: unavailable && by_link,
            resubmit_hint: unavailable && !by_link,
        };
        let mut response = (self.status, Html(render(&page))).into_response();
        let retry_after = self.retry_after_seconds.or(unavailable.then_some(1));
        if let Some(seconds) = retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<ApiError> for PageError {
    fn from(error: ApiError) -> Self {
        let message = error.status.is_client_error();
        let message = message.then(|| as_sentence(&error.message).into());
        Self {
            status: error.status,
            message,
            retry_after_seconds: error.retry_after_seconds,
        }
    }
}

impl From<InvalidInput> for PageError {
    fn from(invalid: InvalidInput) -> Self {
        ApiError::from(invalid).into()
    }
}

impl From<Status> for PageError {
    /// Logs server errors, as [`ApiError`] does.
    fn from(status: Status) -> Self {
        ApiError::from(status).into()
    }
}

/// Capitalises a message and adds a full stop.
fn as_sentence(message: &str) -> String {
    let mut rest = message.chars();
    let first = rest.next().map(char::to_uppercase).into_iter().flatten();
    first.chain(rest).chain(['.']).collect()
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
