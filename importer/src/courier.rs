//! Delivers rows to a service, patiently: what it cannot take now it is brought again, later and in
//! smaller parts. Whoever else uses the suite comes first.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use chassis::deadline::Deadline;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tonic::{Code, Request, Status};

use crate::{args::ImportArgs, progress::Stage};

/// How long one call may take.
const CALL_BUDGET: Duration = Duration::from_secs(5);

/// The first pause after a call that failed, and the longest.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// What a call should not take longer than, the waiting for its turn included: whoever posts meanwhile
/// waits behind one, and gives up after 0.3 s.
const CALL_AIM: Duration = Duration::from_millis(150);

/// A call that took longer than this says that the suite has much to do: a pause as long follows.
const UNHURRIED: Duration = Duration::from_millis(400);

/// The smallest part that a batch is cut into.
const PART_MIN: usize = 20;

/// A row on its way, under its number in the old table.
#[derive(Clone, Debug)]
pub(crate) struct Parcel<T> {
    pub(crate) row: i64,
    pub(crate) content: T,
}

/// Delivers to one service.
pub(crate) struct Courier<'a> {
    service: &'static str,
    parallel: usize,
    patience: Duration,
    part_max: usize,
    /// How many rows go in one call: less while the service does not keep up.
    part: Cell<usize>,
    /// When something was last delivered.
    delivered: Cell<Instant>,
    stage: &'a Stage,
}

impl<'a> Courier<'a> {
    pub(crate) fn new(service: &'static str, args: &ImportArgs, stage: &'a Stage) -> Self {
        let as_usize = |number| usize::try_from(number).unwrap_or(usize::MAX);
        Self {
            service,
            parallel: as_usize(args.parallel),
            patience: Duration::from_secs(args.patience),
            part_max: as_usize(args.batch),
            part: Cell::new(as_usize(args.batch)),
            delivered: Cell::new(Instant::now()),
            stage,
        }
    }

    /// Delivers everything that `next` hands out, several batches at once, and tells `done` of each
    /// row what the service said.
    ///
    /// # Errors
    ///
    /// What `next` fails with; the service was away for too long, or says what no patience helps
    /// against.
    pub(crate) async fn carry<T: Clone, R>(
        &self,
        mut next: impl AsyncFnMut() -> anyhow::Result<Option<Vec<Parcel<T>>>>,
        send: impl AsyncFn(Vec<T>) -> Result<Vec<R>, Status>,
        mut done: impl FnMut(Parcel<T>, R),
    ) -> anyhow::Result<()> {
        let mut under_way = FuturesUnordered::new();
        let mut exhausted = false;
        loop {
            while !exhausted && under_way.len() < self.parallel {
                match next().await? {
                    Some(batch) => under_way.push(self.deliver(batch, &send)),
                    None => exhausted = true,
                }
            }
            let Some(delivered) = under_way.next().await else {
                return Ok(());
            };
            for (parcel, said) in delivered? {
                done(parcel, said);
            }
        }
    }

    /// Delivers one batch, in parts if need be.
    async fn deliver<T: Clone, R>(
        &self,
        batch: Vec<Parcel<T>>,
        send: &impl AsyncFn(Vec<T>) -> Result<Vec<R>, Status>,
    ) -> anyhow::Result<Vec<(Parcel<T>, R)>> {
        let mut answers = Vec::with_capacity(batch.len());
        let mut left = batch.into_iter();
        let mut failures = 0;
        while !left.as_slice().is_empty() {
            let rest = left.as_slice();
            let part = &rest[..rest.len().min(self.part.get())];
            let contents = part.iter().map(|parcel| parcel.content.clone()).collect();
            let (count, began) = (part.len(), Instant::now());
            match send(contents).await {
                Ok(said) if said.len() == count => {
                    answers.extend(left.by_ref().take(count).zip(said));
                    failures = 0;
                    self.delivered(began).await;
                }
                Ok(_) => bail!("the {} service did not answer each row", self.service),
                Err(status) => {
                    failures += 1;
                    self.failed(&status, failures).await?;
                }
            }
        }
        Ok(answers)
    }

    async fn delivered(&self, began: Instant) {
        let (part, took) = (self.part.get(), began.elapsed());
        let part = if took > CALL_AIM {
            part - part / 4
        } else {
            part + part / 8 + 1
        };
        self.part
            .set(part.clamp(PART_MIN.min(self.part_max), self.part_max));
        self.delivered.set(Instant::now());
        self.stage.say("");
        if took > UNHURRIED {
            tokio::time::sleep(took).await;
        }
    }

    async fn failed(&self, status: &Status, failures: u32) -> anyhow::Result<()> {
        let passes = matches!(
            status.code(),
            Code::Unavailable
                | Code::ResourceExhausted
                | Code::DeadlineExceeded
                | Code::Cancelled
                | Code::Aborted
        );
        let reason = || anyhow::anyhow!("{}", status.message());
        if !passes {
            return Err(reason()).with_context(|| format!("asking the {} service", self.service));
        }
        if self.delivered.get().elapsed() > self.patience {
            let seconds = self.patience.as_secs();
            return Err(reason()).with_context(|| {
                format!("the {} service took nothing for {seconds} s", self.service)
            });
        }
        self.part
            .set((self.part.get() / 2).max(PART_MIN.min(self.part_max)));
        self.stage.say(if status.code() == Code::ResourceExhausted {
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

/// A call of an import.
pub(crate) fn request<T>(message: T) -> Request<T> {
    Deadline::after(CALL_BUDGET).request(message)
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

    fn parcels(rows: std::ops::Range<i64>) -> Vec<Parcel<i64>> {
        rows.map(|row| Parcel { row, content: row }).collect()
    }

    /// Carries 250 rows to a service that fails the calls for which `fails` says how; tells the sizes
    /// of all calls, and which rows were delivered.
    async fn carry(
        patience: u64,
        fails: impl Fn(usize) -> Option<Status>,
    ) -> (anyhow::Result<()>, Vec<usize>, Vec<i64>) {
        let args = args(patience);
        let stage = Stage::begin("test", 250);
        let courier = Courier::new("test", &args, &stage);
        let mut batches = [0..100, 100..200, 200..250].map(parcels).into_iter();
        let calls = RefCell::new(Vec::new());
        let mut delivered = Vec::new();
        let send = async |rows: Vec<i64>| {
            let call = calls.borrow().len();
            calls.borrow_mut().push(rows.len());
            fails(call).map_or(Ok(rows), Err)
        };
        let next = async || Ok(batches.next());
        let carried = courier.carry(next, send, |parcel, said| {
            assert_eq!(parcel.row, said);
            delivered.push(said);
        });
        let carried = carried.await;
        delivered.sort_unstable();
        (carried, calls.into_inner(), delivered)
    }

    #[tokio::test]
    async fn what_is_refused_is_brought_again_in_smaller_parts() {
        let busy = |call| (call < 3).then(|| Status::resource_exhausted("busy"));
        let (carried, calls, delivered) = carry(60, busy).await;
        carried.unwrap();
        assert_eq!(delivered, (0..250).collect::<Vec<i64>>());
        assert_eq!(calls[0], 100);
        assert!(calls[3] < 50, "{calls:?}");
    }

    #[tokio::test]
    async fn patience_has_an_end() {
        let (carried, ..) = carry(0, |_| Some(Status::unavailable("away"))).await;
        let error = format!("{:#}", carried.unwrap_err());
        assert_eq!(error, "the test service took nothing for 0 s: away");
    }

    #[tokio::test]
    async fn what_no_patience_helps_against_is_told_at_once() {
        let broken = |call| (call == 1).then(|| Status::internal("the database failed"));
        let (carried, calls, _) = carry(60, broken).await;
        let error = format!("{:#}", carried.unwrap_err());
        assert_eq!(error, "asking the test service: the database failed");
        assert!(calls.len() <= 3, "{calls:?}");
    }
}
