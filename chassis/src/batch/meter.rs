//! Metrics of a batcher.

use std::time::Instant;

use metrics::{Counter, Gauge, Histogram};

/// Metric handles of one batcher, labelled with its name.
pub(super) struct Meters {
    /// Number of callers in each batch.
    pub(super) size: Histogram,
    /// Seconds that the oldest caller of each batch waited in the queue.
    pub(super) wait_seconds: Histogram,
    /// Callers that wait in the queue.
    pub(super) waiting: Gauge,
    /// Callers refused because the queue was full.
    pub(super) refused: Counter,
    /// Callers removed from the queue because they had given up.
    pub(super) left_out: Counter,
    /// Batches that took longer than [`LATE_AFTER`](super::worker::LATE_AFTER).
    pub(super) late: Counter,
}

impl Meters {
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            size: metrics::histogram!("minitwit_batch_size", "batch" => name),
            wait_seconds: metrics::histogram!("minitwit_batch_wait_seconds", "batch" => name),
            waiting: metrics::gauge!("minitwit_batch_waiting", "batch" => name),
            refused: metrics::counter!("minitwit_batch_refused_total", "batch" => name),
            left_out: metrics::counter!("minitwit_batch_left_out_total", "batch" => name),
            late: metrics::counter!("minitwit_batch_late_total", "batch" => name),
        }
    }

    /// Records the start of a batch of `size` callers. `oldest` is when its first caller was queued.
    pub(super) fn started(&self, size: usize, oldest: Instant) {
        #[expect(clippy::cast_precision_loss, reason = "a batch's size is small")]
        self.size.record(size as f64);
        self.wait_seconds.record(oldest.elapsed().as_secs_f64());
    }
}
