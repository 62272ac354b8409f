//! User whose name is in the path.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, MatchedPath, Path},
    http::request::Parts,
};
use chassis::deadline::Deadline;
use http::StatusCode;
use minitwit_client::accounts::Account;

use super::error::PageError;
use crate::{
    App,
    render::path::{ESCAPE, USER_PREFIX},
};

/// User name in the path of a request.
pub(super) struct PathUser(String);

impl FromRequestParts<App> for PathUser {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, PageError> {
        // A segment that is not UTF-8 cannot be a name.
        let Path(name) = Path::<String>::from_request_parts(parts, app)
            .await
            .map_err(|_| PageError::new(StatusCode::NOT_FOUND))?;
        let route = parts.extensions.get::<MatchedPath>();
        if route.is_some_and(|route| route.as_str().starts_with(USER_PREFIX)) {
            return name
                .strip_prefix(ESCAPE)
                .map(|name| Self(name.to_owned()))
                .ok_or_else(|| PageError::new(StatusCode::NOT_FOUND));
        }
        Ok(Self(name))
    }
}

impl PathUser {
    /// Finds the account with this name.
    pub(super) async fn account(
        &self,
        app: &App,
        deadline: Deadline,
    ) -> Result<Arc<Account>, PageError> {
        let account = app
            .0
            .backend
            .accounts
            .find_by_name(&self.0, deadline)
            .await?;
        account.ok_or_else(|| {
            PageError::with_message(StatusCode::NOT_FOUND, "There is no user with this name.")
        })
    }
}
