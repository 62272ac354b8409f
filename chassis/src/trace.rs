//! One trace for each request, from the edge's `traceparent` to the statement.
//!
//! Where a request stands in its trace travels with its task, as OpenTelemetry's [`Context`]: ids and
//! whether it is sampled. Everything that works for the request asks for a [`Span`] here and runs its
//! future inside it; for a request that is not sampled that is a look at a flag, and neither a name
//! nor an attribute is made. The ids alone are always handed on, so that every log line has them.
//!
//! Only a request that comes from outside begins a trace. What a process does on its own account
//! (probes, look-ups, what was held back) has none.

mod export;
mod propagation;

use std::{
    borrow::Cow,
    future::Future,
    sync::OnceLock,
    time::{Duration, SystemTime},
};

use futures_util::future::Either;
use http::HeaderMap;
use opentelemetry::{
    Context, KeyValue, Value,
    context::{FutureExt as _, WithContext},
    trace::{
        Link, Span as _, SpanBuilder, SpanContext, SpanId, Status, TraceContextExt as _,
        TraceFlags, TraceId, TraceState, Tracer as _, TracerProvider as _,
    },
};
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use tonic::Code;

use crate::grpc::code_name;

pub use export::Export;
pub use opentelemetry::trace::SpanKind;
pub use propagation::inject;

/// The tracer of the process, once an exporter is there.
static TRACER: OnceLock<Tracer> = OnceLock::new();

/// The most links of a span: as many as a batch has members.
const LINKS_MAX: u32 = 1024;

/// How long the last spans may take to leave when the process ends.
const FLUSH: Duration = Duration::from_secs(2);

struct Tracer {
    sdk: SdkTracer,
    ratio: f64,
}

/// Begins to make spans: of each trace that was sampled where it began, and of a share of those that
/// begin here.
///
/// # Errors
///
/// The exporter's address is not valid, or traces were set up before.
pub fn init(export: &Export) -> anyhow::Result<Traces> {
    let ratio = export.ratio;
    let provider = SdkTracerProvider::builder()
        .with_resource(export.resource())
        // Whether a request is sampled is decided before its first span is made.
        .with_sampler(Sampler::AlwaysOn)
        .with_max_links_per_span(LINKS_MAX)
        .with_span_processor(export.processor()?)
        .build();
    let sdk = provider.tracer("minitwit");
    if TRACER.set(Tracer { sdk, ratio }).is_err() {
        anyhow::bail!("traces were set up before");
    }
    Ok(Traces(Some(provider)))
}

/// Makes the counters of spans be there at 0 although none are made.
pub(crate) fn register() {
    export::register();
}

/// What is to be flushed before the process ends.
#[derive(Debug, Default)]
pub struct Traces(Option<SdkTracerProvider>);

impl Traces {
    /// Sends what is still held back, for two seconds at the most.
    pub fn shutdown(self) {
        if let Some(provider) = self.0
            && let Err(error) = provider.shutdown_with_timeout(FLUSH)
        {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

/// Where a request that comes from outside stands: in the trace that its headers name, or in a new
/// one, which is sampled by ratio.
pub fn from_outside(headers: &HeaderMap) -> Context {
    propagation::extract(headers).unwrap_or_else(|| {
        let sampled = TRACER
            .get()
            .is_some_and(|tracer| rand::random::<f64>() < tracer.ratio);
        if sampled {
            // The first span makes the ids.
            return Context::new();
        }
        Context::new().with_remote_span_context(SpanContext::new(
            TraceId::from(rand::random::<u128>()),
            SpanId::from(rand::random::<u64>()),
            TraceFlags::NOT_SAMPLED,
            false,
            TraceState::NONE,
        ))
    })
}

/// Where an rpc stands: in its caller's trace, or in none.
pub fn from_caller(headers: &HeaderMap) -> Option<Context> {
    propagation::extract(headers)
}

/// Where the running task stands, to be handed to another one.
pub fn current() -> Context {
    Context::current()
}

/// The ids of the trace and the span that the running task works for.
pub fn ids() -> Option<(TraceId, SpanId)> {
    Context::map_current(|context| {
        let span = context.span();
        let span = span.span_context();
        span.is_valid().then(|| (span.trace_id(), span.span_id()))
    })
}

/// Whether the running task works for a request that is sampled.
pub fn is_sampled() -> bool {
    TRACER.get().is_some() && Context::map_current(is_sampled_in)
}

fn is_sampled_in(context: &Context) -> bool {
    context.span().span_context().is_sampled()
}

/// Some work for a request, from its beginning to its end. Dropped before it is finished, it counts
/// as cancelled.
#[derive(Debug)]
#[must_use = "a span measures until it is finished"]
pub struct Span {
    /// `None`: what runs inside stands where its task stands.
    context: Option<Context>,
    recording: bool,
}

impl Span {
    /// No span: what runs inside stands where its task stands.
    pub const fn none() -> Self {
        Self {
            context: None,
            recording: false,
        }
    }

    /// The first span of this process for a request that stands at `parent`.
    pub fn server(parent: Context, name: impl FnOnce() -> Cow<'static, str>) -> Self {
        let begins = !parent.has_active_span();
        match TRACER.get().filter(|_| begins || is_sampled_in(&parent)) {
            Some(tracer) => Self::start(tracer, &parent, SpanKind::Server, name(), Vec::new()),
            None => Self {
                context: Some(parent),
                recording: false,
            },
        }
    }

    /// A part of what the running task does; `name` is called only when the request is sampled.
    pub fn child(kind: SpanKind, name: impl FnOnce() -> Cow<'static, str>) -> Self {
        match TRACER.get() {
            Some(tracer) if Context::map_current(is_sampled_in) => {
                Self::start(tracer, &Context::current(), kind, name(), Vec::new())
            }
            _ => Self::none(),
        }
    }

    /// What is done once for several `members`: a part of what the first sampled one does, linked to
    /// and from the others. Without a sampled one only the first one's ids are handed on.
    pub fn shared<'a>(
        mut members: impl Iterator<Item = &'a Context> + Clone,
        name: impl FnOnce() -> Cow<'static, str>,
    ) -> Self {
        let mut sampled = members.clone().filter(|member| is_sampled_in(member));
        let (Some(tracer), Some(first)) = (TRACER.get(), sampled.next()) else {
            return Self {
                context: members.find(|one| one.has_active_span()).cloned(),
                recording: false,
            };
        };
        let others = sampled.clone();
        let links = sampled
            .map(|member| Link::with_context(member.span().span_context().clone()))
            .collect();
        let span = Self::start(tracer, first, SpanKind::Internal, name(), links);
        if let Some(context) = &span.context {
            let here = context.span().span_context().clone();
            for other in others {
                other.span().add_link(here.clone(), Vec::new());
            }
        }
        span
    }

    fn start(
        tracer: &Tracer,
        parent: &Context,
        kind: SpanKind,
        name: Cow<'static, str>,
        links: Vec<Link>,
    ) -> Self {
        let builder = SpanBuilder::from_name(name)
            .with_kind(kind)
            .with_links(links);
        let span = tracer.sdk.build_with_context(builder, parent);
        Self {
            recording: span.is_recording(),
            context: Some(parent.with_span(span)),
        }
    }

    /// Whether anybody will see it: attributes that cost something to make are made only then.
    pub fn is_recording(&self) -> bool {
        self.recording
    }

    /// Sets an attribute.
    pub fn set(&self, key: &'static str, value: impl Into<Value>) {
        if let Some(context) = self.context.as_ref().filter(|_| self.recording) {
            context.span().set_attribute(KeyValue::new(key, value));
        }
    }

    /// Runs `future` inside the span.
    pub fn run<F: Future>(&self, future: F) -> Either<WithContext<F>, F> {
        match &self.context {
            Some(context) => Either::Left(future.with_context(context.clone())),
            None => Either::Right(future),
        }
    }

    /// Ends the span with what came of it; `error` is the failure's kind, of few values.
    pub fn finish(mut self, error: Option<&'static str>) {
        self.end(error);
    }

    fn end(&mut self, error: Option<&'static str>) {
        if !std::mem::take(&mut self.recording) {
            return;
        }
        if let Some(context) = &self.context {
            let span = context.span();
            if let Some(error) = error {
                span.set_attribute(KeyValue::new("error.type", error));
                if error != CANCELLED {
                    span.set_status(Status::error(error));
                }
            }
            span.end_with_timestamp(SystemTime::now());
        }
    }
}

/// A number as an attribute has it.
pub fn int(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Ends the span of an rpc with its status.
pub(crate) fn finish_rpc(span: Span, method: &str, code: Code) {
    if span.is_recording() {
        span.set("rpc.system.name", "grpc");
        span.set("rpc.method", method.to_owned());
        span.set("rpc.response.status_code", code_name(code));
    }
    span.finish(rpc_error(code));
}

/// The kind of failure that a status tells of; none where it tells of the caller's own.
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

/// The kind of failure of what nobody waited for any more.
const CANCELLED: &str = "cancelled";

impl Drop for Span {
    fn drop(&mut self) {
        self.end(Some(CANCELLED));
    }
}
