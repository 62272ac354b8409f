//! Set-up of logs, metrics and traces, and their flush when the process ends.

use std::{
    io::{IsTerminal as _, stdout},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::time::MissedTickBehavior;
use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::{
    args::{LogFormat, TelemetryArgs},
    identity::Identity,
    log,
    trace::{self, BoxedLayer, Export, Traces},
};

/// Bucket bounds for durations, in seconds. They are OpenTelemetry's bounds with finer ones below,
/// and include the simulator's timeout of 0.3 s.
const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.5, 0.75,
    1.0, 2.5, 5.0, 7.5, 10.0,
];

/// Bucket bounds for the number of callers that share a batch.
const SIZES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// Interval at which the values of histograms are folded into their buckets.
const FOLD_INTERVAL: Duration = Duration::from_secs(1);

/// Telemetry of the running process.
#[derive(Debug)]
pub struct Telemetry {
    /// Renders the metrics in the text format of Prometheus.
    pub metrics: PrometheusHandle,
    traces: Traces,
}

/// Sets up logs, metrics and traces of the process called `name`. Needs a tokio runtime around it.
///
/// # Errors
///
/// An option is not valid, or telemetry was set up before.
pub fn init(name: &'static str, args: &TelemetryArgs) -> anyhow::Result<Telemetry> {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)
        .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_size".into()), SIZES))
        .context("the bucket bounds of the metrics are not valid")?;
    let metrics = if args.otel_sdk_disabled {
        // No metric reaches this recorder, so its page is empty.
        builder.build_recorder().handle()
    } else {
        let installed = builder.install_recorder();
        let metrics = installed.context("metrics were set up before")?;
        tokio::spawn(fold(metrics.clone()));
        metrics
    };
    let identity = Identity::of(name, args);
    metrics::gauge!(
        "build_info",
        "service_name" => name,
        "service_version" => identity.version.clone(),
        "service_revision" => args.service_revision.clone(),
    )
    .set(1);
    // Answers of the health service carry the version. A second call does not change the identity.
    identity.publish();
    let mut layers: Vec<BoxedLayer> = vec![log_layer(args, identity.clone())?];
    let traces = if let Some(export) = span_export(args, identity)? {
        let (layer, traces) = trace::layer(&export)?;
        layers.push(layer);
        traces
    } else {
        trace::register();
        Traces::default()
    };
    tracing_subscriber::registry()
        .with(layers)
        .try_init()
        .context("logs were set up before")?;
    Ok(Telemetry { metrics, traces })
}

/// Folds the values of histograms into their buckets, forever. The recorder stores each value and
/// folds the values only when its page is read. Without this task, the values would fill the memory
/// of a process whose page is never read.
async fn fold(metrics: PrometheusHandle) {
    let mut interval = tokio::time::interval(FOLD_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        metrics.run_upkeep();
    }
}

/// Creates the filter of the log layer. The filter rejects the spans of requests, because log lines
/// take the ids of the trace from the OpenTelemetry context.
fn log_filter(filter: &str) -> anyhow::Result<Targets> {
    let targets: Targets = filter
        .parse()
        .with_context(|| format!("cannot read the log filter {filter:?}"))?;
    Ok(targets.with_target(trace::TARGET, LevelFilter::OFF))
}

/// Creates the layer that writes log lines.
fn log_layer(args: &TelemetryArgs, identity: Identity) -> anyhow::Result<BoxedLayer> {
    let filter = log_filter(&args.log)?;
    let format = args.log_format.unwrap_or_else(|| {
        if stdout().is_terminal() {
            LogFormat::Text
        } else {
            LogFormat::Json
        }
    });
    let lines = tracing_subscriber::fmt::layer();
    Ok(match format {
        LogFormat::Text => lines.with_target(false).with_filter(filter).boxed(),
        LogFormat::Json => lines
            .event_format(log::Json(identity))
            .with_filter(filter)
            .boxed(),
    })
}

/// Settings of the export of spans. `None` if traces are switched off.
fn span_export(args: &TelemetryArgs, identity: Identity) -> anyhow::Result<Option<Export>> {
    let sampling_ratio = args.otel_traces_sampler_arg;
    ensure!(
        (0.0..=1.0).contains(&sampling_ratio),
        "OTEL_TRACES_SAMPLER_ARG is {sampling_ratio}, use a number from 0 to 1"
    );
    let endpoint = args.otel_exporter_otlp_endpoint.clone();
    // An empty variable switches traces off, like a variable that is not set.
    let is_wanted = |endpoint: &String| !endpoint.is_empty() && !args.otel_sdk_disabled;
    Ok(endpoint.filter(is_wanted).map(|endpoint| Export {
        endpoint,
        sampling_ratio,
        identity,
    }))
}

impl Telemetry {
    /// Sends the queued spans.
    pub fn shutdown(self) {
        self.traces.shutdown();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_layer_rejects_the_spans_of_requests() {
        for filter in ["trace", "error", "minitwit=trace"] {
            let lines = tracing_subscriber::fmt::layer().with_filter(log_filter(filter).unwrap());
            let subscriber = tracing_subscriber::registry().with(lines);
            tracing::subscriber::with_default(subscriber, || {
                let span = tracing::info_span!(target: trace::TARGET, "request");
                assert!(span.is_disabled(), "{filter}");
                assert!(tracing::enabled!(target: "minitwit", tracing::Level::ERROR));
            });
        }
    }

    #[tokio::test(start_paused = true)]
    async fn metrics_without_a_reader_take_no_more_memory() {
        let recorder = PrometheusBuilder::new()
            .set_buckets(SECONDS)
            .unwrap()
            .build_recorder();
        let folding = tokio::spawn(fold(recorder.handle()));
        let histogram =
            metrics::with_local_recorder(&recorder, || metrics::histogram!("waited_seconds"));
        let hour = async |hours: usize| {
            for _ in 0..hours * 3_600 {
                (0..200).for_each(|_| histogram.record(0.01));
                tokio::time::sleep(FOLD_INTERVAL).await;
            }
        };
        hour(1).await;
        let before = resident_bytes();
        hour(5).await;
        let grown = resident_bytes().saturating_sub(before);
        folding.abort();
        // Each stored value takes 8 bytes or more.
        assert!(grown < 8_000_000, "{grown} bytes more after five hours");
        let page = recorder.handle().render();
        assert!(page.contains("waited_seconds_count 4320000\n"), "{page}");
    }

    fn resident_bytes() -> u64 {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        let resident = pages.split(' ').nth(1).unwrap();
        resident.parse::<u64>().unwrap() * 4096
    }
}
