//! Metrics of the tokio runtime, for the load of the worker threads and the delay of tasks.

use std::time::Duration;

use metrics::{Counter, Gauge};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep_until},
};

/// Time between two measurements of the timer delay.
const INTERVAL: Duration = Duration::from_millis(250);

/// Metrics of the current runtime.
#[derive(Clone)]
pub(super) struct RuntimeMeter {
    runtime: Handle,
    workers: Gauge,
    tasks: Gauge,
    queue: Gauge,
    busy: Counter,
}

impl Default for RuntimeMeter {
    fn default() -> Self {
        Self {
            runtime: Handle::current(),
            workers: metrics::gauge!("tokio_workers"),
            tasks: metrics::gauge!("tokio_alive_tasks"),
            queue: metrics::gauge!("tokio_global_queue_depth"),
            busy: metrics::counter!("tokio_workers_busy_milliseconds_total"),
        }
    }
}

impl RuntimeMeter {
    /// Updates the metrics.
    #[expect(clippy::cast_precision_loss, reason = "tasks and threads are few")]
    pub(super) fn collect(&self) {
        let metrics = self.runtime.metrics();
        let workers = metrics.num_workers();
        let busy: Duration = (0..workers)
            .map(|worker| metrics.worker_total_busy_duration(worker))
            .sum();
        self.workers.set(workers as f64);
        self.tasks.set(metrics.num_alive_tasks() as f64);
        self.queue.set(metrics.global_queue_depth() as f64);
        self.busy
            .absolute(u64::try_from(busy.as_millis()).unwrap_or(u64::MAX));
    }
}

/// Measures the delay between the expiry of a timer and the run of its task, for ever. Every request
/// waits for the same delay whenever it becomes ready to run.
pub(super) async fn measure_delay() {
    let delay = metrics::histogram!("tokio_timer_delay_seconds");
    loop {
        let due = Instant::now() + INTERVAL;
        sleep_until(due).await;
        delay.record(due.elapsed().as_secs_f64());
    }
}
