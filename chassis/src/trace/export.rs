//! Spans on their way to the collector: queued, sent in batches by a thread of their own, counted.
//!
//! A request never waits for it. What finds the queue full, and what a collector that is away does
//! not take, is dropped and counted.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Context as _;
use metrics::Counter;
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter as Otlp, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    trace::{BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor},
};
use tokio::runtime::Handle;

use crate::telemetry::Identity;

/// How many spans may wait to be sent.
const QUEUE_MAX: usize = 4096;

/// How many are sent at once.
const BATCH_MAX: usize = 512;

/// How long a span waits for others to be sent with.
const DELAY: Duration = Duration::from_secs(1);

/// How long the collector may take for a batch.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Where spans go, and how many there are.
#[derive(Debug)]
pub struct Export {
    /// The collector's address, for example `http://collector:4317`.
    pub endpoint: String,
    /// Which share of the traces that begin here is sampled, from 0 to 1.
    pub ratio: f64,
    /// Who makes the spans.
    pub identity: Identity,
}

impl Export {
    /// What every span of this process has in common; `OTEL_RESOURCE_ATTRIBUTES` adds to it.
    pub(super) fn resource(&self) -> Resource {
        let Identity {
            service,
            version,
            replica,
        } = &self.identity;
        Resource::builder()
            .with_attributes([
                KeyValue::new("service.namespace", "minitwit"),
                KeyValue::new("service.name", *service),
                KeyValue::new("service.version", version.clone()),
                KeyValue::new("service.instance.id", replica.clone()),
            ])
            .build()
    }

    pub(super) fn processor(&self) -> anyhow::Result<impl SpanProcessor + 'static> {
        let exporter = Otlp::builder()
            .with_tonic()
            .with_endpoint(&self.endpoint)
            .with_timeout(TIMEOUT)
            .build()
            .with_context(|| format!("cannot send traces to {:?}", self.endpoint))?;
        Ok(bounded(exporter))
    }
}

/// A processor that never blocks and counts what it loses.
fn bounded(exporter: impl SpanExporter + 'static) -> impl SpanProcessor + 'static {
    let queued = Arc::new(AtomicUsize::new(0));
    let counted = Counted {
        inner: Arc::new(exporter),
        runtime: Handle::current(),
        queued: Arc::clone(&queued),
        away: AtomicBool::new(false),
        exported: metrics::counter!("minitwit_spans_exported_total"),
        failed: dropped("export"),
    };
    let config = BatchConfigBuilder::default()
        // Above our own bound, so that it is ours that counts.
        .with_max_queue_size(2 * QUEUE_MAX)
        .with_max_export_batch_size(BATCH_MAX)
        .with_scheduled_delay(DELAY)
        .build();
    Bounded {
        inner: BatchSpanProcessor::builder(counted)
            .with_batch_config(config)
            .build(),
        queued,
        full: dropped("queue_full"),
    }
}

/// Makes the counters be there at 0 where no exporter is.
pub(super) fn register() {
    let _ = (dropped("export"), dropped("queue_full"));
    metrics::counter!("minitwit_spans_exported_total").absolute(0);
}

fn dropped(reason: &'static str) -> Counter {
    metrics::counter!("minitwit_spans_dropped_total", "reason" => reason)
}

/// Counts what is queued, and drops what would be too much.
#[derive(Debug)]
struct Bounded {
    inner: BatchSpanProcessor,
    queued: Arc<AtomicUsize>,
    full: Counter,
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.queued.fetch_add(1, Relaxed) >= QUEUE_MAX {
            self.queued.fetch_sub(1, Relaxed);
            self.full.increment(1);
            return;
        }
        self.inner.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Counts what was sent and what was not.
struct Counted<E> {
    inner: Arc<E>,
    /// The processor's thread is none of tokio's, on which the connection's timers depend.
    runtime: Handle,
    queued: Arc<AtomicUsize>,
    away: AtomicBool,
    exported: Counter,
    failed: Counter,
}

impl<E> fmt::Debug for Counted<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Counted")
    }
}

impl<E: SpanExporter + 'static> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let exporter = Arc::clone(&self.inner);
        let sent = self.runtime.spawn(async move {
            tokio::time::timeout(TIMEOUT, exporter.export(batch))
                .await
                .unwrap_or(Err(OTelSdkError::Timeout(TIMEOUT)))
        });
        let result = sent
            .await
            .unwrap_or_else(|error| Err(OTelSdkError::InternalFailure(error.to_string())));
        self.queued.fetch_sub(spans, Relaxed);
        self.count(spans, result.as_ref().err());
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        if let Some(exporter) = Arc::get_mut(&mut self.inner) {
            exporter.set_resource(resource);
        }
    }
}

impl<E> Counted<E> {
    /// Tells once that the collector is away and once that it is back.
    fn count(&self, spans: usize, error: Option<&OTelSdkError>) {
        let away = error.is_some();
        let was_away = self.away.swap(away, Relaxed);
        if let Some(error) = error {
            self.failed.increment(spans as u64);
            if !was_away {
                tracing::warn!(%error, "the collector does not take traces; they are dropped");
            }
        } else {
            self.exported.increment(spans as u64);
            if was_away {
                tracing::info!("the collector takes traces again");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;
    use opentelemetry::trace::{Tracer as _, TracerProvider as _};
    use opentelemetry_sdk::trace::SdkTracerProvider;

    use super::*;

    /// A collector that is away.
    #[derive(Debug)]
    struct Away;

    impl SpanExporter for Away {
        async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
            Err(OTelSdkError::InternalFailure("connection refused".into()))
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn what_a_collector_that_is_away_does_not_take_is_counted() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let processor = metrics::with_local_recorder(&recorder, || bounded(Away));
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .build();
        let tracer = provider.tracer("test");
        for _ in 0..7 {
            drop(tracer.start("span"));
        }
        assert!(provider.force_flush().is_err());
        let text = recorder.handle().render();
        assert!(
            text.contains("minitwit_spans_dropped_total{reason=\"export\"} 7"),
            "{text}"
        );
    }
}
