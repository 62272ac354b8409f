//! What a page says when it cannot be what was asked for, in the same dress as every other page.

use std::borrow::Cow;

use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use tonic::Status;

use super::layout::Layout;
use crate::error::ApiError;

/// A failure on its way to becoming a page. The response carries it to the [`guard`](super::guard),
/// who knows who asked.
#[derive(Clone, Debug)]
pub(crate) struct PageError {
    status: StatusCode,
    /// What else there is to say; most often the status says it all.
    message: Option<Cow<'static, str>>,
    /// When the same may succeed, in seconds from now.
    retry_after_seconds: Option<u32>,
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    layout: Layout<'a>,
    status: u16,
    title: &'static str,
    explanation: &'a str,
    /// Whether signing in may help.
    sign_in: bool,
    /// Whether the same again may help, and that is a link's work.
    again: bool,
    /// Whether the same again may help, and that is a form's work.
    back: bool,
}

impl PageError {
    pub(crate) fn new(status: StatusCode) -> Self {
        Self {
            status,
            message: None,
            retry_after_seconds: None,
        }
    }

    pub(crate) fn because(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            message: Some(message.into()),
            ..Self::new(status)
        }
    }

    /// Nobody is signed in where somebody has to be.
    pub(crate) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED)
    }

    fn words(&self) -> (&'static str, &'static str) {
        match self.status {
            StatusCode::BAD_REQUEST => (
                "That did not work",
                "Something in what was sent is not right.",
            ),
            StatusCode::UNAUTHORIZED => ("Sign in first", "You have to be signed in to do that."),
            StatusCode::FORBIDDEN => ("Not from there", "That is not allowed."),
            StatusCode::NOT_FOUND => ("Nothing here", "There is no such page, person or message."),
            StatusCode::METHOD_NOT_ALLOWED => {
                ("Not that way", "This page cannot be used like that.")
            }
            StatusCode::PAYLOAD_TOO_LARGE => {
                ("Too much", "That was more than can be taken at once.")
            }
            StatusCode::TOO_MANY_REQUESTS => ("Slow down", "That was too often. Try again later."),
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => (
                "Back in a moment",
                "A part of MiniTwit cannot be reached right now.",
            ),
            _ => ("Something broke", "That is our fault, not yours."),
        }
    }

    /// The page, for whoever is signed in; `by_link` if a link has led to it, not a form.
    pub(super) fn render(&self, me: Option<&str>, by_link: bool) -> Response {
        let (title, explanation) = self.words();
        let server_is_away = matches!(
            self.status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
        );
        let page = ErrorPage {
            layout: Layout {
                me,
                moderator: false,
                flashes: &[],
                here: "",
            },
            status: self.status.as_u16(),
            title,
            explanation: self.message.as_deref().unwrap_or(explanation),
            sign_in: self.status == StatusCode::UNAUTHORIZED,
            again: server_is_away && by_link,
            back: server_is_away && !by_link,
        };
        let html = Html(page.render().expect("a string takes everything"));
        let mut response = (self.status, html).into_response();
        let retry_after = self.retry_after_seconds.or(server_is_away.then_some(1));
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
        let message = message.then(|| capitalised(&error.message).into());
        Self {
            status: error.status,
            message,
            retry_after_seconds: error.retry_after_seconds,
        }
    }
}

impl From<Status> for PageError {
    /// Logged there, where the API's are.
    fn from(status: Status) -> Self {
        ApiError::from(status).into()
    }
}

fn capitalised(message: &str) -> String {
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
