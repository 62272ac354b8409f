//! A check that a write through one gateway is visible through another (`cargo xtask consistency`).
//!
//! Two gateways and two replicas of each service run on one PostgreSQL. Each worker writes through one
//! gateway and, once the write is acknowledged, reads through the other gateway, while all other workers do
//! the same.

mod worker;

use std::{
    net::SocketAddr,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use anyhow::ensure;
use minitwit_postgres::{Cluster, ClusterOptions};
use tokio::{sync::Barrier, task::JoinSet};

use self::worker::Worker;
use crate::fleet::{Build, Fleet, Plan, Replica, Role, Suite, create_databases};

/// Maximum number of failed requests, besides one for every ten wanted pairs. A few failed requests on
/// a busy machine are not a fault. More failures are a fault.
const FAILURES_MAX: u64 = 100;

/// Maximum number of violations, and of failures, that are printed.
const PRINTED_MAX: u64 = 10;

/// Number of pairs after which the progress is printed.
const PROGRESS_INTERVAL: u64 = 10_000;

/// Write through two gateways and read each write through the other gateway.
///
/// Starts a private PostgreSQL, two replicas of each service and two gateways. A pair is a write and, once
/// it is acknowledged, a read through the other gateway that has to show the write. Writes are messages on the
/// public timeline and on the author's timeline, follows and unfollows, `latest`, and new accounts whose name was
/// read before. A `latest` that its gateway has deferred, because the user service did not answer in time,
/// is counted separately. Needs postgresql.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Number of pairs of a write and a read
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    pairs: u64,
    /// Number of concurrent workers, one of which moves `latest`
    #[arg(
        long,
        default_value_t = 32,
        value_name = "N",
        value_parser = clap::value_parser!(u64).range(2..)
    )]
    workers: u64,
    #[command(flatten)]
    build: Build,
}

/// Addresses of a gateway.
#[derive(Clone, Copy, Debug)]
struct Gateway {
    api: SocketAddr,
    admin: SocketAddr,
}

impl From<&Replica> for Gateway {
    fn from(replica: &Replica) -> Self {
        Self {
            api: replica.address,
            admin: replica.admin,
        }
    }
}

/// Counts and locks that all workers share.
#[derive(Debug)]
struct Tally {
    pairs: u64,
    kept: AtomicU64,
    violated: AtomicU64,
    deferred: AtomicU64,
    failures: AtomicU64,
    /// Lets one worker register at a time, because each registration hashes a password.
    registration: tokio::sync::Mutex<()>,
    /// Blocks all workers until all users are registered, because workers follow each other's users.
    registered: Barrier,
}

impl Tally {
    fn new(options: &Options) -> anyhow::Result<Self> {
        Ok(Self {
            pairs: options.pairs,
            kept: AtomicU64::new(0),
            violated: AtomicU64::new(0),
            deferred: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            registration: tokio::sync::Mutex::new(()),
            registered: Barrier::new(usize::try_from(options.workers)?),
        })
    }

    /// Whether another pair is wanted. Pairs in progress are not counted, so a few more can follow.
    fn needs_more(&self) -> bool {
        let judged = self.kept.load(Ordering::Relaxed) + self.violated.load(Ordering::Relaxed);
        judged < self.pairs && !self.has_failed()
    }

    fn has_failed(&self) -> bool {
        self.failures.load(Ordering::Relaxed) > FAILURES_MAX + self.pairs / 10
    }

    /// Counts a read that has shown the write.
    fn count_kept(&self) {
        let kept = self.kept.fetch_add(1, Ordering::Relaxed) + 1;
        if kept.is_multiple_of(PROGRESS_INTERVAL) {
            println!("{kept} pairs");
        }
    }

    /// Counts a read that has not shown the write.
    fn count_violation(&self, description: &str) {
        if self.violated.fetch_add(1, Ordering::Relaxed) < PRINTED_MAX {
            println!("VIOLATION: {description}");
        }
    }

    /// Counts a read that has not shown a write which its gateway had deferred.
    fn count_deferred(&self) {
        self.deferred.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a failed request, which proves nothing.
    fn count_failure(&self, description: &str) {
        if self.failures.fetch_add(1, Ordering::Relaxed) < PRINTED_MAX {
            println!("a request failed: {description}");
        }
    }
}

/// Runs all pairs. A violation is a failure, and so are too many failed requests.
pub(crate) async fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let programs = options.build.programs("dist")?;
    let cluster = Cluster::start(ClusterOptions::default())?;
    let databases = create_databases(&cluster, &programs, "")?;
    let plan = Plan::with_replicas(2);
    let suite = Suite::start(&Fleet::new()?, &programs, databases, &plan).await?;
    suite.wait_until_serving().await?;
    let gateways: Vec<Gateway> = suite.all(Role::Gateway).map(Gateway::from).collect();
    let [one, two] = gateways[..] else {
        anyhow::bail!("two gateways are started")
    };
    println!(
        "{} workers, two gateways, two replicas of each service",
        options.workers
    );

    let tally = Arc::new(Tally::new(options)?);
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for number in 0..options.workers {
        let worker = Worker::new(number, options.workers, [one, two], Arc::clone(&tally));
        workers.spawn(worker.work());
    }
    workers.join_all().await;
    suite.check()?;

    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let violated = count(&tally.violated);
    println!(
        "{} pairs in {:.0} s: {violated} violations; {} times `latest` was deferred; {} requests without a \
         response",
        count(&tally.kept) + violated,
        start.elapsed().as_secs_f32(),
        count(&tally.deferred),
        count(&tally.failures)
    );
    ensure!(!tally.has_failed(), "too many requests failed");
    Ok(if violated == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
