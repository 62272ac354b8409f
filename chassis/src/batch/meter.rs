//! What a batcher tells of itself.

use std::time::Instant;

use metrics::{Counter, Gauge, Histogram};

pub(super) struct Meters {
    pub(super) size: Histogram,
    pub(super) wait_seconds: Histogram,
    pub(super) waiting: Gauge,
    pub(super) refused: Counter,
    pub(super) left_out: Counter,
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

    pub(super) fn started(&self, size: usize, oldest: Instant) {
        #[expect(clippy::cast_precision_loss, reason = "a batch's size is small")]
        self.size.record(size as f64);
        self.wait_seconds.record(oldest.elapsed().as_secs_f64());
    }
}
