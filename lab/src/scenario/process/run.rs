//! Load, probe and call counters, which run while a scenario's fault happens to the suite.

use std::{
    cell::Cell,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use minitwit_postgres::Cluster;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    calls::{CallCounter, Calls},
    probe::{Probe, Sample},
};
use crate::{
    fleet::{Drain, Fleet, Plan, Programs, Role, Suite, create_databases},
    load::{Load, LoadOptions, LoadReport, Pace},
    trial::ScenarioResult,
};

/// Maximum number of requests a second that the probe sends.
const PROBE_RATE_MAX: u32 = 40;

/// The probe sends one of this many requests.
const PROBE_SHARE: u32 = 5;

/// Time between the start of the load and the fault.
const LEAD_TIME: Duration = Duration::from_secs(2);

/// Interval at which the gateways' counters are read.
const COUNTER_INTERVAL: Duration = Duration::from_millis(250);

/// Settings and resources of all scenarios.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) programs: Programs,
    pub(super) cluster: Arc<Cluster>,
    /// Whether the run is the short form, with the same faults but fewer of each.
    pub(super) short: bool,
    pub(super) seed: u64,
    /// Folder for pictures, if they are wanted.
    pub(super) pictures: Option<PathBuf>,
    /// Requests a second of all scenarios but `overload`.
    pub(super) rate: u32,
    /// 99th percentile of the response time without a fault, if it was measured.
    pub(super) steady_p99_ms: Cell<Option<f64>>,
}

impl Context {
    /// Chooses between the values of the long form and of the short form.
    pub(super) fn pick<T>(&self, long: T, short: T) -> T {
        if self.short { short } else { long }
    }

    /// Chooses between the seconds of the long form and of the short form.
    pub(super) fn seconds(&self, long: u64, short: u64) -> Duration {
        Duration::from_secs(self.pick(long, short))
    }

    /// Ten replicas behind an edge. They stop faster in the short form.
    pub(super) fn plan(&self) -> Plan {
        Plan {
            counts: [
                (Role::User, 3),
                (Role::Follower, 2),
                (Role::Message, 3),
                (Role::Gateway, 2),
            ],
            drain: Some(Drain {
                lame_duck: Duration::from_millis(self.pick(3_000, 1_500)),
                hard_stop: Duration::from_millis(self.pick(8_000, 6_000)),
            }),
            edge: true,
            ..Plan::with_replicas(1)
        }
    }

    /// Starts a suite with databases of its own.
    pub(super) async fn suite(&self, plan: &Plan) -> anyhow::Result<Suite> {
        static SUITES: AtomicU32 = AtomicU32::new(0);
        let number = SUITES.fetch_add(1, Ordering::Relaxed);
        let databases =
            create_databases(&self.cluster, &self.programs, &format!("suite_{number}_"))?;
        Suite::start(&Fleet::new()?, &self.programs, databases, plan).await
    }

    /// The usual load for so long.
    pub(super) fn load(&self, time: Duration) -> ScenarioLoad {
        ScenarioLoad {
            rate: self.rate,
            time,
            seed: self.seed,
        }
    }

    /// Measures the capacity of a suite with the given number of concurrent users, in requests a
    /// second.
    pub(super) async fn capacity(
        &self,
        suite: &Suite,
        users: u32,
        time: Duration,
    ) -> anyhow::Result<f64> {
        let options = LoadOptions {
            pace: Pace::Users(users),
            time: Some(time),
            seed: Some(self.seed),
            ..LoadOptions::per_second(format!("http://{}", suite.api()), 0)
        };
        let load = Load::start(self.programs.minitwit(), suite.fleet.folder(), &options)?;
        Ok(load.wait().await?.ok_per_second)
    }
}

/// Rate and length of a load.
#[derive(Clone, Copy, Debug)]
pub(super) struct ScenarioLoad {
    /// Requests a second of the simulator and the probe together.
    pub(super) rate: u32,
    pub(super) time: Duration,
    pub(super) seed: u64,
}

/// Observations during a scenario.
#[derive(Debug)]
pub(super) struct Observed {
    pub(super) load: LoadReport,
    pub(super) samples: Vec<Sample>,
    pub(super) calls: Calls,
}

impl Observed {
    /// The observations as a result.
    pub(super) fn result(&self) -> ScenarioResult {
        ScenarioResult::new(self.load.clone()).fact(self.calls.to_string())
    }
}

/// Puts a suite under load while `fault` runs. The fault starts two seconds after the load.
pub(super) async fn under_load(
    suite: &Suite,
    context: &Context,
    load: ScenarioLoad,
    fault: impl AsyncFnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<Observed> {
    let counter = CallCounter::default();
    let probe_rate = (load.rate / PROBE_SHARE).min(PROBE_RATE_MAX);
    let probe = Probe::start(suite.api(), probe_rate).await?;
    let url = format!("http://{}", suite.api());
    let options = LoadOptions {
        time: Some(load.time),
        seed: Some(load.seed),
        ..LoadOptions::per_second(url, load.rate - probe_rate)
    };
    let running = Load::start(context.programs.minitwit(), suite.fleet.folder(), &options)?;
    let stop = CancellationToken::new();
    let simulation = async {
        let report = running.wait().await;
        stop.cancel();
        report
    };
    let counting = async {
        while !stop.is_cancelled() {
            counter.read(suite).await;
            sleep(COUNTER_INTERVAL).await;
        }
        Ok(())
    };
    let fault = async {
        sleep(LEAD_TIME).await;
        fault().await
    };
    let (report, (), ()) = tokio::try_join!(simulation, counting, fault)?;
    counter.read(suite).await;
    Ok(Observed {
        load: report,
        samples: probe.finish().await?,
        calls: counter.total(),
    })
}

/// A period of a scenario.
#[derive(Clone, Copy, Debug)]
pub(super) struct Period {
    pub(super) from: Instant,
    pub(super) until: Instant,
}
