//! Export of spans to the collector.
//!
//! A finished span enters a queue, and a thread of its own sends the queue in batches. A request
//! never waits for the export. A span is dropped and counted if the queue is full or if the
//! collector does not take the span.

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

use crate::identity::Identity;

/// Maximum number of spans that wait to be sent.
const QUEUE_MAX: usize = 4096;

/// Maximum number of spans in one message to the collector.
const BATCH_MAX: usize = 512;

/// Maximum time that a span waits until a batch is full.
const BATCH_DELAY: Duration = Duration::from_secs(1);

/// Maximum time that the collector may take for a batch.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(3);

/// Settings of the export of spans.
#[derive(Debug)]
pub struct Export {
    /// Address of the collector, for example `http://collector:4317`.
    pub endpoint: String,
    /// Share of the traces started in this process that is sampled, from 0 to 1.
    pub sampling_ratio: f64,
    /// Identity of this process, which every span carries.
    pub identity: Identity,
}

impl Export {
    /// Attributes that all spans of this process share. `OTEL_RESOURCE_ATTRIBUTES` adds more.
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

    /// Processor that queues spans and sends them to the collector.
    pub(super) fn processor(&self) -> anyhow::Result<impl SpanProcessor + 'static> {
        let exporter = Otlp::builder()
            .with_tonic()
            .with_endpoint(&self.endpoint)
            .with_timeout(EXPORT_TIMEOUT)
            .build()
            .with_context(|| format!("cannot send traces to {:?}", self.endpoint))?;
        Ok(bounded_processor(exporter))
    }
}

/// Creates a processor that never blocks and counts the spans that it drops.
fn bounded_processor(exporter: impl SpanExporter + 'static) -> impl SpanProcessor + 'static {
    let queued = Arc::new(AtomicUsize::new(0));
    let counting = CountingExporter {
        inner: Arc::new(exporter),
        runtime: Handle::current(),
        queued: Arc::clone(&queued),
        is_unavailable: AtomicBool::new(false),
        exported: metrics::counter!("minitwit_spans_exported_total"),
        failed: dropped_counter("export"),
    };
    let config = BatchConfigBuilder::default()
        // Larger than `QUEUE_MAX`, so that `BoundedProcessor` drops and counts the spans.
        .with_max_queue_size(2 * QUEUE_MAX)
        .with_max_export_batch_size(BATCH_MAX)
        .with_scheduled_delay(BATCH_DELAY)
        .build();
    BoundedProcessor {
        inner: BatchSpanProcessor::builder(counting)
            .with_batch_config(config)
            .build(),
        queued,
        dropped: dropped_counter("queue_full"),
    }
}

/// Registers the counters of spans at 0, for a process without a collector.
pub(crate) fn register() {
    let _ = (dropped_counter("export"), dropped_counter("queue_full"));
    metrics::counter!("minitwit_spans_exported_total").absolute(0);
}

fn dropped_counter(reason: &'static str) -> Counter {
    metrics::counter!("minitwit_spans_dropped_total", "reason" => reason)
}

/// Processor that drops and counts spans while the queue is full.
#[derive(Debug)]
struct BoundedProcessor {
    inner: BatchSpanProcessor,
    queued: Arc<AtomicUsize>,
    dropped: Counter,
}

impl SpanProcessor for BoundedProcessor {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.queued.fetch_add(1, Relaxed) >= QUEUE_MAX {
            self.queued.fetch_sub(1, Relaxed);
            self.dropped.increment(1);
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

/// Exporter that counts the spans that were sent and the spans that were not.
struct CountingExporter<E> {
    inner: Arc<E>,
    /// Runtime that sends the spans. The processor's own thread is outside tokio, and the
    /// connection needs tokio's timers.
    runtime: Handle,
    queued: Arc<AtomicUsize>,
    is_unavailable: AtomicBool,
    exported: Counter,
    failed: Counter,
}

impl<E> fmt::Debug for CountingExporter<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CountingExporter")
    }
}

impl<E: SpanExporter + 'static> SpanExporter for CountingExporter<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let exporter = Arc::clone(&self.inner);
        let sent = self.runtime.spawn(async move {
            tokio::time::timeout(EXPORT_TIMEOUT, exporter.export(batch))
                .await
                .unwrap_or(Err(OTelSdkError::Timeout(EXPORT_TIMEOUT)))
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

impl<E> CountingExporter<E> {
    /// Counts a batch. Logs when the collector becomes unavailable and when it recovers.
    fn count(&self, spans: usize, error: Option<&OTelSdkError>) {
        let was_unavailable = self.is_unavailable.swap(error.is_some(), Relaxed);
        if let Some(error) = error {
            self.failed.increment(spans as u64);
            if !was_unavailable {
                tracing::warn!(%error, "the collector is unavailable, spans are dropped");
            }
        } else {
            self.exported.increment(spans as u64);
            if was_unavailable {
                tracing::info!("the collector has recovered");
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

    #[derive(Debug)]
    struct UnavailableCollector;

    impl SpanExporter for UnavailableCollector {
        async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
            Err(OTelSdkError::InternalFailure("connection refused".into()))
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn spans_for_an_unavailable_collector_are_counted_as_dropped() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let processor =
            metrics::with_local_recorder(&recorder, || bounded_processor(UnavailableCollector));
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
