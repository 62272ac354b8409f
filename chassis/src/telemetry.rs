//! Logs, metrics and traces from one call; a handle that flushes when the process ends.

use std::{
    fs,
    io::{IsTerminal as _, stdout},
    sync::OnceLock,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::time::MissedTickBehavior;
use tracing_subscriber::{
    EnvFilter, Layer as _, Registry, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::{
    args::{LogFormat, TelemetryArgs},
    log,
    trace::{self, Export, Traces},
};

/// Bucket bounds for durations, in seconds: OpenTelemetry's, finer below, with the simulator's
/// patience of 0.3 s among them.
const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.5, 0.75,
    1.0, 2.5, 5.0, 7.5, 10.0,
];

/// Bucket bounds for how many callers share a batch.
const SIZES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// How often the values of histograms are folded into their buckets.
const FOLD_INTERVAL: Duration = Duration::from_secs(1);

/// What is to be flushed before the process ends, and where its metrics can be read.
#[derive(Debug)]
pub struct Telemetry {
    /// Renders the metrics as Prometheus reads them.
    pub metrics: PrometheusHandle,
    traces: Traces,
}

/// Who speaks: what each log line and each span carries.
#[derive(Clone, Debug)]
pub struct Identity {
    /// What the process is called.
    pub service: &'static str,
    /// The version it calls itself.
    pub version: String,
    /// Which of the service's processes it is: the task's slot in a Swarm, or else the host.
    pub replica: String,
}

impl Identity {
    fn of(service: &'static str, args: &TelemetryArgs) -> Self {
        let host = || fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let replica = args.task_slot.clone().or_else(host);
        Self {
            service,
            version: args
                .service_version
                .clone()
                .unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned()),
            replica: replica.unwrap_or_default().trim().to_owned(),
        }
    }
}

static IDENTITY: OnceLock<Identity> = OnceLock::new();

/// Who this process is, once its telemetry is set up.
pub fn identity() -> Option<&'static Identity> {
    IDENTITY.get()
}

/// Sets up logs, metrics and traces of the process called `name`; needs a tokio runtime around it.
///
/// # Errors
///
/// An option cannot be read, or telemetry was set up before.
pub fn init(name: &'static str, args: &TelemetryArgs) -> anyhow::Result<Telemetry> {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)
        .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_size".into()), SIZES))
        .context("the metrics' buckets are not valid")?;
    let metrics = if args.otel_sdk_disabled {
        // A recorder that nothing is told: its page is empty.
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
    // Whoever asks for health learns whom it speaks with. Set before: then it is the same.
    let _ = IDENTITY.set(identity.clone());
    init_logs(args, identity.clone())?;
    Ok(Telemetry {
        metrics,
        traces: init_traces(args, identity)?,
    })
}

/// Folds the values of histograms into their buckets for ever. The recorder only notes them down, and
/// folds them when its page is read: where nobody reads it, they would pile up without end.
async fn fold(metrics: PrometheusHandle) {
    let mut interval = tokio::time::interval(FOLD_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        metrics.run_upkeep();
    }
}

fn init_logs(args: &TelemetryArgs, identity: Identity) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&args.log)
        .with_context(|| format!("cannot read the log filter {:?}", args.log))?;
    let format = args.log_format.unwrap_or_else(|| {
        if stdout().is_terminal() {
            LogFormat::Text
        } else {
            LogFormat::Json
        }
    });
    let lines = tracing_subscriber::fmt::layer();
    let lines: Box<dyn tracing_subscriber::Layer<Registry> + Send + Sync> = match format {
        LogFormat::Text => lines.with_target(false).boxed(),
        LogFormat::Json => lines.event_format(log::Json(identity)).boxed(),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .try_init()
        .context("logs were set up before")
}

fn init_traces(args: &TelemetryArgs, identity: Identity) -> anyhow::Result<Traces> {
    let ratio = args.otel_traces_sampler_arg;
    ensure!(
        (0.0..=1.0).contains(&ratio),
        "OTEL_TRACES_SAMPLER_ARG is {ratio}: a share is between 0 and 1"
    );
    // An empty variable switches traces off, as one that is not set.
    let endpoint = args.otel_exporter_otlp_endpoint.clone();
    let wanted = |endpoint: &String| !endpoint.is_empty() && !args.otel_sdk_disabled;
    let Some(endpoint) = endpoint.filter(wanted) else {
        trace::register();
        return Ok(Traces::default());
    };
    trace::init(&Export {
        endpoint,
        ratio,
        identity,
    })
}

impl Telemetry {
    /// Sends what is still held back.
    pub fn shutdown(self) {
        self.traces.shutdown();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn metrics_that_nobody_reads_take_no_more_memory() {
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
        // Each value that is kept takes 8 bytes or more.
        assert!(grown < 8_000_000, "{grown} bytes more after five hours");
        let page = recorder.handle().render();
        assert!(page.contains("waited_seconds_count 4320000\n"), "{page}");
    }

    fn resident_bytes() -> u64 {
        let pages = fs::read_to_string("/proc/self/statm").unwrap();
        let resident = pages.split(' ').nth(1).unwrap();
        resident.parse::<u64>().unwrap() * 4096
    }
}
