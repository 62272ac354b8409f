//! Who calls the API, and what every call has in common: authorisation, a deadline, `latest`.

use std::time::Duration;

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
    response::{IntoResponse, Response},
};
use chassis::deadline::Deadline;
use http::header;
use uuid::Uuid;

use crate::{App, api::Answer, error::ApiError, origin::Origin};

/// How many entries a list has when the caller does not say.
const NO_DEFAULT: u32 = 100;

/// The longest list that is handed out.
const NO_MAX: u32 = minitwit_proto::limits::TIMELINE_MESSAGES_MAX;

/// Anyone who calls, known by credentials or not.
pub(crate) struct Anyone {
    app: App,
    /// The API client's name, when the credentials are right.
    pub(crate) client: Option<String>,
    pub(crate) key: Uuid,
    pub(crate) deadline: Deadline,
    latest: Option<i64>,
    /// How long a list is wanted.
    pub(crate) no: u32,
}

/// A caller whose credentials are right; others are answered 403 before anything else is looked at.
pub(crate) struct Caller(pub(crate) Anyone);

impl FromRequestParts<App> for Anyone {
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
            deadline: Deadline::after(budget(app.0.api_budget, waited)),
            latest: latest.filter(|latest| *latest != -1),
            no: list_length(no),
        })
    }
}

/// The name in the path.
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

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let anyone = Anyone::from_request_parts(parts, app).await?;
        if anyone.client.is_none() {
            let counters = &app.0.backend.counters;
            counters.api_requests.increment(1);
            counters.api_errors.increment(1);
            return Err(ApiError::unauthorized());
        }
        Ok(Self(anyone))
    }
}

impl Anyone {
    /// Carries out the action and stores the caller's `latest` beside it; the answer waits for
    /// both. `latest` counts whatever becomes of the action.
    pub(crate) async fn answer(&self, action: impl Future<Output = Answer>) -> Response {
        let backend = &self.app.0.backend;
        let answer = match (&self.client, self.latest) {
            (Some(client), Some(latest)) => {
                let set = backend.latest.set(client, latest, self.key, self.deadline);
                tokio::join!(action, set).0
            }
            _ => action.await,
        };
        let response = answer.unwrap_or_else(ApiError::into_response);
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

/// What is left of the time that a request may take when it has waited at the edge, for a gateway that
/// did not answer. Clocks may differ, so it is never less than two fifths: time enough for nearly all.
fn budget(whole: Duration, waited: Duration) -> Duration {
    whole.saturating_sub(waited).max(whole * 2 / 5)
}

fn list_length(no: Option<i64>) -> u32 {
    match no {
        Some(no) if no >= 0 => u32::try_from(no).unwrap_or(NO_MAX).min(NO_MAX),
        _ => NO_DEFAULT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_request_has_what_is_left_of_its_time() {
        let left = |waited| budget(Duration::from_millis(250), Duration::from_millis(waited));
        assert_eq!(left(0), Duration::from_millis(250));
        assert_eq!(left(120), Duration::from_millis(130));
        // However far apart the clocks are, a request is tried.
        assert_eq!(left(3_600_000), Duration::from_millis(100));
    }

    #[test]
    fn any_length_asked_for_comes_to_a_sane_list() {
        assert_eq!(list_length(None), 100);
        assert_eq!(list_length(Some(0)), 0);
        assert_eq!(list_length(Some(30)), 30);
        assert_eq!(list_length(Some(10_000)), 10_000);
        assert_eq!(list_length(Some(-5)), 100);
        assert_eq!(list_length(Some(i64::MAX)), 10_000);
    }
}
