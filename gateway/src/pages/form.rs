//! Fields of submitted forms.

use axum::body::Body;
use chassis::deadline::Deadline;

use super::error::PageError;
use crate::body;

/// Fields of a submitted form, in the order of the body.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a form from a request body.
    pub(super) async fn read(body: Body, deadline: Deadline) -> Result<Self, PageError> {
        let bytes = body::read(body, deadline).await?;
        Ok(Self(form_urlencoded::parse(&bytes).into_owned().collect()))
    }

    /// Value of a field. `None` if the form does not contain the field.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Value of a field. Empty if the form does not contain the field.
    pub(super) fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }
}
