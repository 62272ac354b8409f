//! The person whose pages a path leads to.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, MatchedPath, Path},
    http::request::Parts,
};
use chassis::deadline::Deadline;
use http::StatusCode;
use minitwit_client::accounts::Account;

use super::{
    error::PageError,
    escape::{ELSEWHERE, MARK},
};
use crate::App;

/// The name in a path.
pub(crate) struct Named(pub(crate) String);

impl FromRequestParts<App> for Named {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, PageError> {
        // What is no text in UTF-8 is nobody's name.
        let Path(name) = Path::<String>::from_request_parts(parts, app)
            .await
            .map_err(|_| PageError::new(StatusCode::NOT_FOUND))?;
        let route = parts.extensions.get::<MatchedPath>();
        if route.is_some_and(|route| route.as_str().starts_with(ELSEWHERE)) {
            let marked = name.strip_prefix(MARK);
            return marked
                .map(|name| Self(name.to_owned()))
                .ok_or_else(|| PageError::new(StatusCode::NOT_FOUND));
        }
        Ok(Self(name))
    }
}

impl Named {
    /// The account of the name; there being none is told as a page.
    pub(crate) async fn account(
        &self,
        app: &App,
        deadline: Deadline,
    ) -> Result<Arc<Account>, PageError> {
        let found = app
            .0
            .backend
            .accounts
            .find_cached(&self.0, deadline)
            .await?;
        found.ok_or_else(|| {
            PageError::because(StatusCode::NOT_FOUND, "There is nobody of that name.")
        })
    }
}
