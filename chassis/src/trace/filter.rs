//! Filter of the OpenTelemetry layer.

use tracing::{Metadata, dispatcher, level_filters::LevelFilter, subscriber::Interest};
use tracing_subscriber::layer::{Context, Filter};

/// Target of the spans that the [`span!`](crate::span) macro creates.
pub const TARGET: &str = "minitwit::span";

/// Lets only the spans of the [`span!`](crate::span) macro pass, whatever `RUST_LOG` says. Events
/// and the spans of libraries do not pass.
#[derive(Debug)]
pub(super) struct RequestSpans {
    /// Share of the traces started in this process that is sampled, from 0 to 1.
    pub(super) sampling_ratio: f64,
}

impl<S> Filter<S> for RequestSpans {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        metadata.is_span() && metadata.target() == TARGET
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.is_span() && metadata.target() == TARGET {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
    }
}

/// Decides at random whether a new trace is sampled. False if the subscriber exports no spans.
pub(super) fn samples_new_trace() -> bool {
    dispatcher::get_default(|subscriber| {
        subscriber
            .downcast_ref::<RequestSpans>()
            .is_some_and(|spans| rand::random::<f64>() < spans.sampling_ratio)
    })
}
