//! Batchers of the calls to the services, and their common limits.

use chassis::batch::{BatchHandler, Batcher, Limits};

/// Limits of a batcher. With two workers, a call that waits for a stuck replica does not block the
/// other calls of its kind. With more workers, the batches would be smaller.
pub const LIMITS: Limits = Limits {
    workers: 2,
    batch_weight_max: 128,
    queue_max: 2048,
};

/// Creates a batcher with the common limits. Its metrics carry `name`.
pub fn batcher<H: BatchHandler>(name: &'static str, handler: H) -> Batcher<H> {
    Batcher::new(name, LIMITS, handler)
}
