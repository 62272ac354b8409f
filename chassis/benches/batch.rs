//! What a batcher costs by itself: callers in front of a work that answers at once.
//!
//! `cargo bench -p chassis`. Alone, it is what batching adds to a call; with many callers, what is
//! left of that for each.

use chassis::{
    batch::{BatchHandler, Batcher, Limits},
    deadline::Deadline,
};
use divan::{Bencher, counter::ItemsCount};
use futures_util::future::join_all;
use tokio::runtime::{Builder, Runtime};
use tonic::Status;

/// Answers every item with itself.
struct Instant;

impl BatchHandler for Instant {
    type Item = u64;
    type Output = u64;

    async fn run(&self, items: Vec<u64>, _: Deadline) -> Result<Vec<Result<u64, Status>>, Status> {
        Ok(items.into_iter().map(Ok).collect())
    }
}

const LIMITS: Limits = Limits {
    workers: 4,
    batch_weight_max: 256,
    queue_max: 4_096,
};

fn main() {
    divan::main();
}

/// All callers on one thread, as in the suite's processes on a small machine.
#[divan::bench(args = [1, 64, 512])]
fn one_thread(bencher: Bencher<'_, '_>, callers: u64) {
    let runtime = Builder::new_current_thread().enable_all().build();
    measure(bencher, &runtime.expect("a runtime starts"), callers);
}

/// Callers and lanes spread over all cores.
#[divan::bench(args = [1, 64, 512])]
fn all_cores(bencher: Bencher<'_, '_>, callers: u64) {
    let runtime = Builder::new_multi_thread().enable_all().build();
    measure(bencher, &runtime.expect("a runtime starts"), callers);
}

/// Every caller hands in one item and waits for its answer; then the next round begins.
fn measure(bencher: Bencher<'_, '_>, runtime: &Runtime, callers: u64) {
    let batcher = Batcher::new("bench", LIMITS, Instant);
    bencher.counter(ItemsCount::new(callers)).bench_local(|| {
        runtime.block_on(async {
            // Tasks of their own, as requests are.
            let calls = (0..callers).map(|number| {
                let batcher = batcher.clone();
                tokio::spawn(async move { batcher.call(number, Deadline::after(TIMEOUT)).await })
            });
            for answer in join_all(calls).await {
                answer
                    .expect("no call panics")
                    .expect("every call is answered");
            }
        });
    });
}

const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
