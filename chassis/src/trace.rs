//! One trace for each request, from the client's `traceparent` header to the SQL statement.
//!
//! The task that works for a request carries the position of the request in its trace as the
//! current OpenTelemetry [`Context`], which holds the ids of trace and span and the sampled flag.
//! Every request has a context, sampled or not, so every log line has the ids.
//!
//! Spans are [`tracing`] spans, which [`layer`] hands to OpenTelemetry. `tracing-opentelemetry`
//! allocates for a span before it asks whether the span is sampled, so the [`span!`](crate::span)
//! macro looks at the sampled flag first. For an unsampled request the macro evaluates no field and
//! returns [`Span::none`].
//!
//! Only a request of a client starts a trace. Work that a process does without a request, such as
//! probes, DNS look-ups and deferred writes, has no trace.

mod export;
mod filter;
mod outcome;
mod parent;
mod propagation;

use std::time::Duration;

use opentelemetry::{
    Context,
    trace::{SpanId, TraceContextExt as _, TraceId, TracerProvider as _},
};
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tonic::Code;
use tracing_subscriber::{Layer, Registry};

use crate::grpc::code_name;

pub use crate::span;
pub use export::Export;
pub use filter::TARGET;
pub use outcome::Outcome;
pub use parent::Parent;
pub use propagation::inject;
#[doc(hidden)]
pub use tracing;
pub use tracing::{Instrument, Span};

pub(crate) use export::register;
pub(crate) use parent::link_members;

/// Maximum number of links of a span. A batch links to each sampled member but the first.
const LINKS_MAX: u32 = 1024;

/// Maximum time to send the last spans when the process ends.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Part of the `tracing` subscriber of the process.
pub type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Creates the layer that exports the spans of requests. Needs a tokio runtime around it.
///
/// # Errors
///
/// The address of the collector is not valid.
pub fn layer(export: &Export) -> anyhow::Result<(BoxedLayer, Traces)> {
    let provider = SdkTracerProvider::builder()
        .with_resource(export.resource())
        // The `span!` macro has already decided that the request is sampled.
        .with_sampler(Sampler::AlwaysOn)
        .with_max_links_per_span(LINKS_MAX)
        .with_span_processor(export.processor()?)
        .build();
    // Entering a span attaches its OpenTelemetry context. `inject`, `current` and `ids` rely on it.
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("minitwit"))
        .with_context_activation(true)
        .with_level(false)
        .with_location(false)
        .with_target(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_filter(filter::RequestSpans {
            sampling_ratio: export.sampling_ratio,
        });
    Ok((Box::new(layer), Traces(Some(provider))))
}

/// Owner of the spans that are not sent yet.
#[derive(Debug, Default)]
pub struct Traces(Option<SdkTracerProvider>);

impl Traces {
    /// Sends the queued spans, for two seconds at most.
    pub fn shutdown(self) {
        if let Some(provider) = self.0
            && let Err(error) = provider.shutdown_with_timeout(FLUSH_TIMEOUT)
        {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

/// Creates a span of the running request, or [`Span::none`] if the request is not sampled.
///
/// The arguments are the span's name and its fields, written as for [`tracing::info_span!`]. No
/// field is evaluated unless the request is sampled. The field `otel.name` replaces the name where
/// the name is known only at run time. `otel.kind` sets the kind. Integers must be `i64`, because
/// OpenTelemetry has no other integer type. The fields that [`Outcome`] records are already
/// declared.
///
/// With `parent: &Parent` as first argument, the span belongs to that request instead of the
/// running one.
#[macro_export]
macro_rules! span {
    (parent: $parent:expr, $name:literal $(, $($field:tt)*)?) => {{
        let parent: &$crate::trace::Parent = $parent;
        if parent.is_sampled() {
            let span = $crate::trace::tracing::info_span!(
                target: $crate::trace::TARGET,
                parent: None,
                $name,
                error.type = $crate::trace::tracing::field::Empty,
                otel.status_description = $crate::trace::tracing::field::Empty,
                $($($field)*)?
            );
            parent.adopt(&span);
            span
        } else {
            $crate::trace::Span::none()
        }
    }};
    ($name:literal $(, $($field:tt)*)?) => {
        if $crate::trace::is_sampled() {
            $crate::trace::tracing::info_span!(
                target: $crate::trace::TARGET,
                $name,
                error.type = $crate::trace::tracing::field::Empty,
                otel.status_description = $crate::trace::tracing::field::Empty,
                $($($field)*)?
            )
        } else {
            $crate::trace::Span::none()
        }
    };
}

/// Position of the running request in its trace, to be handed to another task.
pub fn current() -> Context {
    Context::current()
}

/// Ids of the trace and the span of the running request.
pub fn ids() -> Option<(TraceId, SpanId)> {
    Context::map_current(|context| {
        let span = context.span();
        let span = span.span_context();
        span.is_valid().then(|| (span.trace_id(), span.span_id()))
    })
}

/// Whether the running request is sampled.
pub fn is_sampled() -> bool {
    Context::map_current(is_sampled_in)
}

fn is_sampled_in(context: &Context) -> bool {
    context.span().span_context().is_sampled()
}

/// Whether this process exports a span of the running request. False for a sampled request if the
/// process has no collector.
pub(crate) fn is_recorded() -> bool {
    Context::map_current(|context| context.span().is_recording())
}

/// Converts a number to the integer type of attributes.
pub fn int(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Ends the span of an rpc with its status code.
pub(crate) fn finish_rpc(outcome: Outcome, code: Code) {
    outcome
        .span()
        .record("rpc.response.status_code", code_name(code));
    outcome.finish(rpc_error(code));
}

/// The `error.type` of a status code. `None` for success and for errors that the caller made.
pub(crate) fn rpc_error(code: Code) -> Option<&'static str> {
    use Code as C;
    match code {
        C::Ok
        | C::InvalidArgument
        | C::NotFound
        | C::AlreadyExists
        | C::PermissionDenied
        | C::FailedPrecondition
        | C::OutOfRange
        | C::Unauthenticated => None,
        code => Some(code_name(code)),
    }
}
