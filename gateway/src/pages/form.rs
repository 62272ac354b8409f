//! What a form sends.

use axum::body::Body;
use chassis::deadline::Deadline;

use super::error::PageError;
use crate::json;

/// The fields of a form, in the order of the page.
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a form of at most 64 KiB.
    pub(crate) async fn read(body: Body, deadline: Deadline) -> Result<Self, PageError> {
        let bytes = json::collect(body, deadline).await?;
        Ok(Self(form_urlencoded::parse(&bytes).into_owned().collect()))
    }

    /// A field, if the form has it.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// A field's text; empty if the form does not have it.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }
}
