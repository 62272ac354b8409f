//! Requests of the API, with authentication, deadline and `latest`.

use std::time::Duration;

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
    response::{IntoResponse, Response},
};
use chassis::deadline::Deadline;
use http::header;
use uuid::Uuid;

use super::ApiResult;
use crate::{App, error::ApiError, origin::Origin};

/// Maximum number of entries in a list without the parameter `no`.
const LIST_LENGTH_DEFAULT: u32 = 100;

/// Maximum number of entries in any list.
const LIST_LENGTH_MAX: u32 = 10_000;

/// Request of the API, with or without valid credentials.
pub(crate) struct ApiRequest {
    app: App,
    /// Name of the API client. `None` without valid credentials.
    pub(crate) client: Option<String>,
    /// Key of the write.
    pub(crate) key: Uuid,
    pub(crate) deadline: Deadline,
    latest: Option<i64>,
    /// Maximum number of entries in the requested list.
    pub(crate) no: u32,
}

/// Request with valid credentials. A request without them receives status 403 before any other check.
pub(crate) struct AuthenticatedRequest(pub(crate) ApiRequest);

impl FromRequestParts<App> for ApiRequest {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let Ok(Origin { key, waited, .. }) = Origin::from_request_parts(parts, app).await;
        let client = parts
            .headers
            .get(header::AUTHORIZATION)
            .and_then(|header| app.0.credentials.client(header))
            .map(str::to_owned);
        let (mut latest, mut no) = (None, None);
        let query = parts.uri.query().unwrap_or_default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "latest" => latest = latest.or_else(|| value.trim().parse::<i64>().ok()),
                "no" => no = no.or_else(|| value.trim().parse::<i64>().ok()),
                _ => {}
            }
        }
        Ok(Self {
            app: app.clone(),
            client,
            key,
            deadline: Deadline::after(remaining_budget(app.0.api_budget, waited)),
            latest: latest.filter(|latest| *latest != -1),
            no: list_length(no),
        })
    }
}

/// User name in the path.
pub(crate) struct Username(pub(crate) String);

impl FromRequestParts<App> for Username {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        match Path::<String>::from_request_parts(parts, app).await {
            Ok(Path(name)) => Ok(Self(name)),
            Err(_) => Err(ApiError::bad_request("the name in the path is not UTF-8")),
        }
    }
}

impl FromRequestParts<App> for AuthenticatedRequest {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let request = ApiRequest::from_request_parts(parts, app).await?;
        if request.client.is_none() {
            let counters = &app.0.backend.counters;
            counters.api_requests.increment(1);
            counters.api_errors.increment(1);
            return Err(ApiError::unauthorized());
        }
        Ok(Self(request))
    }
}

impl ApiRequest {
    /// Executes the action and stores the request's `latest` concurrently. The response waits for both.
    /// `latest` is stored even if the action fails.
    pub(crate) async fn answer(&self, action: impl Future<Output = ApiResult>) -> Response {
        let backend = &self.app.0.backend;
        let result = match (&self.client, self.latest) {
            (Some(client), Some(latest)) => {
                let set = backend.latest.set(client, latest, self.key, self.deadline);
                tokio::join!(action, set).0
            }
            _ => action.await,
        };
        let response = result.unwrap_or_else(ApiError::into_response);
        let counters = &backend.counters;
        counters.api_requests.increment(1);
        if response.status().is_success() {
            counters.api_successes.increment(1);
        } else {
            counters.api_errors.increment(1);
        }
        response
    }
}

/// Remaining time of a request that waited at a proxy, because another gateway did not respond. The
/// clocks of the hosts can differ, so the result is at least two fifths of the whole budget, which is
/// enough for nearly all requests.
fn remaining_budget(whole: Duration, waited: Duration) -> Duration {
    whole.saturating_sub(waited).max(whole * 2 / 5)
}

/// Converts the parameter `no` to a list length.
fn list_length(no: Option<i64>) -> u32 {
    match no {
        Some(no) if no >= 0 => u32::try_from(no)
            .unwrap_or(LIST_LENGTH_MAX)
            .min(LIST_LENGTH_MAX),
        _ => LIST_LENGTH_DEFAULT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_request_has_its_remaining_time() {
        let left =
            |waited| remaining_budget(Duration::from_millis(250), Duration::from_millis(waited));
        assert_eq!(left(0), Duration::from_millis(250));
        assert_eq!(left(120), Duration::from_millis(130));
        // A request has time even if the clocks differ by an hour.
        assert_eq!(left(3_600_000), Duration::from_millis(100));
    }

    #[test]
    fn every_requested_length_becomes_a_length_within_the_limits() {
        assert_eq!(list_length(None), 100);
        assert_eq!(list_length(Some(0)), 0);
        assert_eq!(list_length(Some(30)), 30);
        assert_eq!(list_length(Some(10_000)), 10_000);
        assert_eq!(list_length(Some(-5)), 100);
        assert_eq!(list_length(Some(i64::MAX)), 10_000);
    }
}
