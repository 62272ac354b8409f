//! Position of a request in its trace when its work arrives at this process or at a batch.

use http::HeaderMap;
use opentelemetry::{
    Context,
    context::{FutureExt as _, WithContext},
    trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState},
};
use tracing::{
    Span,
    instrument::{Instrument as _, Instrumented},
};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::{filter::samples_new_trace, is_sampled_in, propagation::extract};

/// Parent of the first span of a request in this process. The default value stands for work without
/// a trace.
#[derive(Clone, Debug, Default)]
pub struct Parent {
    context: Context,
    is_sampled: bool,
}

impl Parent {
    /// The parent of a client's request. Without a valid `traceparent` header a new trace starts,
    /// and the sampling ratio decides whether the trace is sampled.
    pub fn of_client(headers: &HeaderMap) -> Self {
        if let Some(context) = extract(headers) {
            return context.into();
        }
        if samples_new_trace() {
            // The first span has no parent and creates the ids.
            return Self {
                context: Context::new(),
                is_sampled: true,
            };
        }
        Self {
            context: Context::new().with_remote_span_context(SpanContext::new(
                TraceId::from(rand::random::<u128>()),
                SpanId::from(rand::random::<u64>()),
                TraceFlags::NOT_SAMPLED,
                false,
                TraceState::NONE,
            )),
            is_sampled: false,
        }
    }

    /// The parent of an rpc, from the caller's headers. An rpc without a `traceparent` header, such
    /// as a probe, has no trace.
    pub fn of_caller(headers: &HeaderMap) -> Self {
        extract(headers).map_or_else(Self::default, Self::from)
    }

    /// The parent of a batch, which is the first sampled member. If no member is sampled, the batch
    /// uses the ids of the first member that has a trace.
    pub(crate) fn of_batch<'a>(mut members: impl Iterator<Item = &'a Context> + Clone) -> Self {
        let sampled = members.clone().find(|member| is_sampled_in(member));
        let parent = sampled.or_else(|| members.find(|member| member.has_active_span()));
        parent.cloned().map_or_else(Self::default, Self::from)
    }

    /// Whether the request is sampled.
    pub fn is_sampled(&self) -> bool {
        self.is_sampled
    }

    /// Makes `span` a part of the request. Only the [`span!`](crate::span) macro calls this method.
    #[doc(hidden)]
    pub fn adopt(&self, span: &Span) {
        // The span is disabled if the process has no collector. Then there is nothing to set.
        let _ = span.set_parent(self.context.clone());
    }

    /// Runs `future` inside `span`. If there is no span, log lines and outgoing rpcs get the ids of
    /// the parent.
    pub fn run<F: Future>(self, span: Span, future: F) -> WithContext<Instrumented<F>> {
        future.instrument(span).with_context(self.context)
    }
}

impl From<Context> for Parent {
    fn from(context: Context) -> Self {
        Self {
            is_sampled: is_sampled_in(&context),
            context,
        }
    }
}

/// Links the span of a batch with the spans of its sampled `members`, in both directions. The first
/// sampled member is the parent of the batch and gets no link.
pub(crate) fn link_members<'a>(batch: &Span, members: impl Iterator<Item = &'a Context>) {
    if batch.is_disabled() {
        return;
    }
    let context = batch.context();
    let batch = context.span();
    for member in members.filter(|member| is_sampled_in(member)).skip(1) {
        let member = member.span();
        batch.add_link(member.span_context().clone(), Vec::new());
        member.add_link(batch.span_context().clone(), Vec::new());
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::trace;

    #[tokio::test]
    async fn a_sampled_request_without_a_collector_has_ids_but_no_span() {
        let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let headers = HeaderMap::from_iter([(
            http::HeaderName::from_static("traceparent"),
            HeaderValue::from_static(traceparent),
        )]);
        let parent = Parent::of_client(&headers);
        let span = trace::span!(parent: &parent, "request");
        assert!(span.is_disabled());
        let work = parent.run(span, async {
            assert!(trace::is_sampled());
            assert!(!trace::is_recorded());
            assert!(trace::span!("child").is_disabled());
            trace::ids()
        });
        let (trace_id, span_id) = work.await.unwrap();
        assert_eq!(trace_id.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(span_id.to_string(), "b7ad6b7169203331");
    }

    #[tokio::test]
    async fn a_new_trace_without_a_collector_is_not_sampled_and_has_ids() {
        let parent = Parent::of_client(&HeaderMap::new());
        assert!(!parent.is_sampled());
        let ids = parent.run(Span::none(), async { trace::ids() }).await;
        assert!(ids.is_some());
    }
}
