//! Sends rows to a service without disturbing its other callers.
//!
//! If the service is unavailable or busy, the rows are sent again later, in smaller parts.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use chassis::deadline::Deadline;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tonic::{Code, Request, Status};

use crate::{args::ImportArgs, progress::Stage};

/// Timeout of one call.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause after the first call that failed.
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// Maximum pause after a call that failed.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Target for the duration of a call, including its time in the queue of the service. A post of the
/// simulator may have to wait for such a call, and the simulator gives up after 0.3 s.
const CALL_TARGET: Duration = Duration::from_millis(150);

/// Duration from which a call is slow, because the suite is busy. A pause of the same duration follows.
const SLOW_CALL: Duration = Duration::from_millis(400);

/// Minimum number of rows in the parts of a batch.
const PART_ROWS_MIN: usize = 20;

/// Row of the old table that is to be imported.
#[derive(Clone, Debug)]
pub(crate) struct Row<T> {
    /// Number of the row in the old table.
    pub(crate) number: i64,
    /// Item that is sent to the service.
    pub(crate) content: T,
}

/// Sends rows to one service.
pub(crate) struct Sender<'a> {
    service: &'static str,
    parallel: usize,
    give_up_after: Duration,
    part_rows_max: usize,
    /// Number of rows in one call, which shrinks while the service is slow.
    part_rows: Cell<usize>,
    /// Time of the last successful call.
    succeeded: Cell<Instant>,
    stage: &'a Stage,
}

impl<'a> Sender<'a> {
    pub(crate) fn new(service: &'static str, args: &ImportArgs, stage: &'a Stage) -> Self {
        let as_usize = |number| usize::try_from(number).unwrap_or(usize::MAX);
        Self {
            service,
            parallel: as_usize(args.parallel),
            give_up_after: Duration::from_secs(args.patience),
            part_rows_max: as_usize(args.batch),
            part_rows: Cell::new(as_usize(args.batch)),
            succeeded: Cell::new(Instant::now()),
            stage,
        }
    }

    /// Sends all batches that `next` returns, several at once. Calls `done` with each row and its result.
    ///
    /// # Errors
    ///
    /// The error of `next`. The service was unavailable for too long, or failed with an error that does
    /// not pass.
    pub(crate) async fn send_all<T: Clone, R>(
        &self,
        mut next: impl AsyncFnMut() -> anyhow::Result<Option<Vec<Row<T>>>>,
        send: impl AsyncFn(Vec<T>) -> Result<Vec<R>, Status>,
        mut done: impl FnMut(Row<T>, R),
    ) -> anyhow::Result<()> {
        let mut in_flight = FuturesUnordered::new();
        let mut exhausted = false;
        loop {
            while !exhausted && in_flight.len() < self.parallel {
                match next().await? {
                    Some(batch) => in_flight.push(self.send_batch(batch, &send)),
                    None => exhausted = true,
                }
            }
            let Some(sent) = in_flight.next().await else {
                return Ok(());
            };
            for (row, result) in sent? {
                done(row, result);
            }
        }
    }

    /// Sends one batch, in parts if the service is busy.
    async fn send_batch<T: Clone, R>(
        &self,
        batch: Vec<Row<T>>,
        send: &impl AsyncFn(Vec<T>) -> Result<Vec<R>, Status>,
    ) -> anyhow::Result<Vec<(Row<T>, R)>> {
        let mut sent = Vec::with_capacity(batch.len());
        let mut unsent = batch.into_iter();
        let mut failures = 0;
        while !unsent.as_slice().is_empty() {
            let rest = unsent.as_slice();
            let part = &rest[..rest.len().min(self.part_rows.get())];
            let contents = part.iter().map(|row| row.content.clone()).collect();
            let (count, began) = (part.len(), Instant::now());
            match send(contents).await {
                Ok(results) if results.len() == count => {
                    sent.extend(unsent.by_ref().take(count).zip(results));
                    failures = 0;
                    self.after_success(began).await;
                }
                Ok(_) => bail!("the {} service did not answer each row", self.service),
                Err(status) => {
                    failures += 1;
                    self.after_failure(&status, failures).await?;
                }
            }
        }
        Ok(sent)
    }

    async fn after_success(&self, began: Instant) {
        let (part, took) = (self.part_rows.get(), began.elapsed());
        let part = if took > CALL_TARGET {
            part - part / 4
        } else {
            part + part / 8 + 1
        };
        self.part_rows
            .set(part.clamp(PART_ROWS_MIN.min(self.part_rows_max), self.part_rows_max));
        self.succeeded.set(Instant::now());
        self.stage.show("");
        if took > SLOW_CALL {
            tokio::time::sleep(took).await;
        }
    }

    async fn after_failure(&self, status: &Status, failures: u32) -> anyhow::Result<()> {
        let is_temporary = matches!(
            status.code(),
            Code::Unavailable
                | Code::ResourceExhausted
                | Code::DeadlineExceeded
                | Code::Cancelled
                | Code::Aborted
        );
        let reason = || anyhow::anyhow!("{}", status.message());
        if !is_temporary {
            return Err(reason()).with_context(|| format!("asking the {} service", self.service));
        }
        if self.succeeded.get().elapsed() > self.give_up_after {
            let seconds = self.give_up_after.as_secs();
            return Err(reason()).with_context(|| {
                format!("the {} service took nothing for {seconds} s", self.service)
            });
        }
        self.part_rows
            .set((self.part_rows.get() / 2).max(PART_ROWS_MIN.min(self.part_rows_max)));
        self.stage
            .show(if status.code() == Code::ResourceExhausted {
                "others come first"
            } else {
                "waiting for the service"
            });
        let longest = PAUSE_MIN
            .saturating_mul(1 << failures.min(10))
            .min(PAUSE_MAX);
        tokio::time::sleep(longest.mul_f64(rand::random_range(0.5..1.0))).await;
        Ok(())
    }
}

/// Creates the request of one call.
pub(crate) fn request<T>(message: T) -> Request<T> {
    Deadline::after(CALL_TIMEOUT).request(message)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn args(patience: u64) -> ImportArgs {
        ImportArgs {
            file: "minitwit.db".into(),
            dry_run: false,
            report: None,
            batch: 100,
            parallel: 2,
            patience,
        }
    }

    fn rows(numbers: std::ops::Range<i64>) -> Vec<Row<i64>> {
        numbers
            .map(|number| Row {
                number,
                content: number,
            })
            .collect()
    }

    /// Sends 250 rows to a service. `fails` returns the error of a call by its index. Returns the sizes of
    /// all calls, and the numbers of the rows that were sent.
    async fn send_rows(
        patience: u64,
        fails: impl Fn(usize) -> Option<Status>,
    ) -> (anyhow::Result<()>, Vec<usize>, Vec<i64>) {
        let args = args(patience);
        let stage = Stage::begin("test", 250);
        let sender = Sender::new("test", &args, &stage);
        let mut batches = [0..100, 100..200, 200..250].map(rows).into_iter();
        let calls = RefCell::new(Vec::new());
        let mut sent_rows = Vec::new();
        let send = async |rows: Vec<i64>| {
            let call = calls.borrow().len();
            calls.borrow_mut().push(rows.len());
            fails(call).map_or(Ok(rows), Err)
        };
        let next = async || Ok(batches.next());
        let sent = sender.send_all(next, send, |row, result| {
            assert_eq!(row.number, result);
            sent_rows.push(result);
        });
        let sent = sent.await;
        sent_rows.sort_unstable();
        (sent, calls.into_inner(), sent_rows)
    }

    #[tokio::test]
    async fn rows_that_a_busy_service_refuses_are_sent_again_in_smaller_parts() {
        let busy = |call| (call < 3).then(|| Status::resource_exhausted("busy"));
        let (sent, calls, rows) = send_rows(60, busy).await;
        sent.unwrap();
        assert_eq!(rows, (0..250).collect::<Vec<i64>>());
        assert_eq!(calls[0], 100);
        assert!(calls[3] < 50, "{calls:?}");
    }

    #[tokio::test]
    async fn the_import_gives_up_on_an_unavailable_service() {
        let (sent, ..) = send_rows(0, |_| Some(Status::unavailable("away"))).await;
        let error = format!("{:#}", sent.unwrap_err());
        assert_eq!(error, "the test service took nothing for 0 s: away");
    }

    #[tokio::test]
    async fn an_error_that_does_not_pass_is_reported_at_once() {
        let broken = |call| (call == 1).then(|| Status::internal("the database failed"));
        let (sent, calls, _) = send_rows(60, broken).await;
        let error = format!("{:#}", sent.unwrap_err());
        assert_eq!(error, "asking the test service: the database failed");
        assert!(calls.len() <= 3, "{calls:?}");
    }
}
