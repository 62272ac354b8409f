//! `cargo xtask consistency`: what was written through one gateway is read through another.
//!
//! Two gateways and two replicas of each service, on one PostgreSQL. Each worker writes through one
//! gateway and, once that is acknowledged, reads through the other: it has to be there, while all
//! the others do the same.

mod worker;

use std::{
    process::ExitCode,
    sync::{
        Barrier, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use anyhow::bail;
use minitwit_postgres::{Cluster, ClusterOptions};

use crate::{
    process::Fleet,
    psql,
    suite::{Binaries, Gateway, SERVICES, wait_until_serving},
};

use self::worker::Worker;

/// Requests may fail when the machine is busy, which proves nothing; these many, and one for every
/// ten pairs wanted, mean a fault.
const FAILURES_MAX: u64 = 100;

/// How many violations, and how many failures, are shown.
const SHOWN_MAX: u64 = 10;

/// How often it is told how far it is.
const TOLD_EVERY: u64 = 10_000;

/// Hammer two gateways with writes and read each through the other.
///
/// Starts a private PostgreSQL, two replicas of each service and two gateways. Each pair is a
/// write and, once it is acknowledged, a read through the other gateway that has to show it:
/// messages on the public timeline and on the author's, follows and unfollows, `latest`, and new
/// accounts that were asked for in vain before. A `latest` that its gateway has put off, because the
/// user service did not answer in time, is counted by itself. Needs postgresql.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many pairs of a write and a read
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    pairs: u64,
    /// How many at once; one of them moves `latest`
    #[arg(
        long,
        default_value_t = 32,
        value_name = "N",
        value_parser = clap::value_parser!(u64).range(2..)
    )]
    workers: u64,
    /// The profile that the suite is built with
    #[arg(long, default_value = "dist", value_name = "PROFILE")]
    profile: String,
}

/// What the workers share.
#[derive(Debug)]
pub(crate) struct Tally {
    wanted: u64,
    held: AtomicU64,
    violated: AtomicU64,
    deferred: AtomicU64,
    failures: AtomicU64,
    /// Registrations come one by one: each costs a password's hash.
    pub(crate) registration: Mutex<()>,
    /// Nobody follows before all are registered.
    pub(crate) registered: Barrier,
}

impl Tally {
    fn new(options: &Options) -> Self {
        let workers = usize::try_from(options.workers).expect("threads can be counted");
        Self {
            wanted: options.pairs,
            held: AtomicU64::new(0),
            violated: AtomicU64::new(0),
            deferred: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            registration: Mutex::new(()),
            registered: Barrier::new(workers),
        }
    }

    /// Whether another pair is wanted. Those under way are not counted, so a few more may come.
    pub(crate) fn goes_on(&self) -> bool {
        let judged = self.held.load(Ordering::Relaxed) + self.violated.load(Ordering::Relaxed);
        judged < self.wanted && !self.has_failed()
    }

    fn has_failed(&self) -> bool {
        self.failures.load(Ordering::Relaxed) > FAILURES_MAX + self.wanted / 10
    }

    /// A read has shown what was written.
    pub(crate) fn hold(&self) {
        let held = self.held.fetch_add(1, Ordering::Relaxed) + 1;
        if held.is_multiple_of(TOLD_EVERY) {
            println!("{held} pairs");
        }
    }

    /// A read has not shown what was written.
    pub(crate) fn violate(&self, story: &str) {
        if self.violated.fetch_add(1, Ordering::Relaxed) < SHOWN_MAX {
            println!("VIOLATION: {story}");
        }
    }

    /// A read has not shown what its gateway had put off, and said so.
    pub(crate) fn defer(&self) {
        self.deferred.fetch_add(1, Ordering::Relaxed);
    }

    /// A request went wrong, so that nothing can be said.
    pub(crate) fn fail(&self, story: &str) {
        if self.failures.fetch_add(1, Ordering::Relaxed) < SHOWN_MAX {
            println!("a request failed: {story}");
        }
    }
}

/// Runs all of it; a violation fails it, and so do too many requests that went wrong.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let binaries = Binaries::build(&options.profile)?;
    let cluster = Cluster::start(ClusterOptions::default())?;
    let (mut fleet, gateways) = start(&binaries, &cluster)?;
    println!(
        "{} workers, two gateways, two replicas of each service",
        options.workers
    );

    let tally = Tally::new(options);
    let start = Instant::now();
    thread::scope(|scope| {
        for number in 0..options.workers {
            let mut worker = Worker::new(number, options.workers, gateways, &tally);
            scope.spawn(move || worker.work());
        }
    });
    fleet.check()?;

    let failed = tally.has_failed();
    let (held, violated) = (tally.held.into_inner(), tally.violated.into_inner());
    println!(
        "{} pairs in {:.0} s: {violated} violations; {} times `latest` was stored later; {} requests without an answer",
        held + violated,
        start.elapsed().as_secs_f32(),
        tally.deferred.into_inner(),
        tally.failures.into_inner()
    );
    if failed {
        bail!("too many requests went wrong");
    }
    Ok(if violated == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Two gateways, each in front of both replicas of each service.
fn start(binaries: &Binaries, cluster: &Cluster) -> anyhow::Result<(Fleet, [Gateway; 2])> {
    let mut fleet = Fleet::new()?;
    let mut replicas = Vec::new();
    for name in SERVICES {
        let url = cluster.url(name);
        psql::create(cluster, name)?;
        binaries.migrate(name, &url)?;
        let mut addresses = Vec::new();
        for number in 1..=2 {
            let label = format!("{name}-{number}");
            addresses.push(binaries.start_service(&mut fleet, &label, name, &url)?);
        }
        replicas.push(addresses);
    }
    let gateways = [
        binaries.start_gateway(&mut fleet, "gateway-1", &replicas)?,
        binaries.start_gateway(&mut fleet, "gateway-2", &replicas)?,
    ];
    for gateway in gateways {
        wait_until_serving(&mut fleet, gateway.api)?;
    }
    Ok((fleet, gateways))
}
