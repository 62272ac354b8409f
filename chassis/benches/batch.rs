//! Overhead of a batcher, measured with a handler that answers at once.
//!
//! Run with `cargo bench -p chassis`. With one caller, the result is the time that batching adds to a
//! call. With many callers, the result is the share of each caller in that time.

use chassis::{
    batch::{BatchHandler, Batcher, Limits},
    deadline::Deadline,
};
use divan::{Bencher, counter::ItemsCount};
use futures_util::future::join_all;
use tokio::runtime::{Builder, Runtime};
use tonic::Status;

/// A handler that answers every item with the item itself.
struct Echo;

impl BatchHandler for Echo {
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

/// All callers and workers on one thread, as in the processes on a small machine.
#[divan::bench(args = [1, 64, 512])]
fn one_thread(bencher: Bencher<'_, '_>, callers: u64) {
    let runtime = Builder::new_current_thread().enable_all().build();
    measure(bencher, &runtime.expect("a runtime starts"), callers);
}

/// Callers and workers spread over all cores.
#[divan::bench(args = [1, 64, 512])]
fn all_cores(bencher: Bencher<'_, '_>, callers: u64) {
    let runtime = Builder::new_multi_thread().enable_all().build();
    measure(bencher, &runtime.expect("a runtime starts"), callers);
}

/// Measures rounds in which every caller hands in one item and waits for its answer.
fn measure(bencher: Bencher<'_, '_>, runtime: &Runtime, callers: u64) {
    let batcher = Batcher::new("bench", LIMITS, Echo);
    bencher.counter(ItemsCount::new(callers)).bench_local(|| {
        runtime.block_on(async {
            // Each call has a task of its own, as a request has.
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

/// Maximum time that a call waits for its answer.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
