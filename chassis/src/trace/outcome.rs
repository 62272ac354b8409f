//! Result of the work that a span measures.

use std::mem;

use tracing::Span;

/// The `error.type` of a span whose work was dropped before it completed.
const CANCELLED: &str = "cancelled";

/// Result of the work that a span measures. A value that is dropped before [`Outcome::finish`]
/// marks the span as cancelled, for example because the caller stopped waiting.
#[derive(Debug)]
#[must_use = "a span whose outcome is dropped counts as cancelled"]
pub struct Outcome(Span);

impl Outcome {
    /// The outcome of the work that `span` measures.
    pub fn of(span: &Span) -> Self {
        Self(span.clone())
    }

    /// The span, to record more fields.
    pub fn span(&self) -> &Span {
        &self.0
    }

    /// Ends the work. `error_type` is the kind of failure and has few distinct values.
    pub fn finish(mut self, error_type: Option<&'static str>) {
        let span = mem::replace(&mut self.0, Span::none());
        if let Some(error_type) = error_type {
            span.record("error.type", error_type);
            // A description sets the status of the span to error.
            span.record("otel.status_description", error_type);
        }
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        self.0.record("error.type", CANCELLED);
    }
}
