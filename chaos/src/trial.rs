//! A scenario's frame: load, probe and meter run while something happens to the suite.

use std::{path::PathBuf, sync::Arc, time::Duration};

use minitwit_postgres::Cluster;
use minitwit_simulator::{Report, SimulateArgs, simulate};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    fleet::{Fleet, Plan},
    meter::{Calls, Meter},
    probe::{Probe, Sample},
    row::Row,
};

/// What the scenarios share.
#[derive(Clone, Debug)]
pub struct Context {
    /// Where the programs are.
    pub binaries: PathBuf,
    /// Where the databases are.
    pub cluster: Arc<Cluster>,
    /// Whether time is short: the faults are the same, but fewer.
    pub short: bool,
    /// Where chance begins.
    pub seed: u64,
    /// Where pictures of what was seen go, if they are wanted.
    pub pictures: Option<PathBuf>,
}

impl Context {
    /// One of two, by whether time is short.
    pub fn pick<T>(&self, long: T, short: T) -> T {
        if self.short { short } else { long }
    }

    /// Seconds, by whether time is short.
    pub fn seconds(&self, long: u64, short: u64) -> Duration {
        Duration::from_secs(self.pick(long, short))
    }

    /// A plan that stops quicker when time is short.
    pub fn plan(&self) -> Plan {
        Plan {
            lame_duck: Duration::from_millis(self.pick(3_000, 1_500)),
            hard_stop: Duration::from_millis(self.pick(8_000, 6_000)),
            ..Plan::default()
        }
    }

    /// Starts a suite.
    pub async fn fleet(&self, plan: &Plan) -> anyhow::Result<Fleet> {
        Fleet::start(&self.binaries, &self.cluster, plan).await
    }
}

/// All that was seen while something happened.
#[derive(Debug)]
pub struct Seen {
    /// What the simulator says.
    pub report: Report,
    /// What the probe saw.
    pub samples: Vec<Sample>,
    /// What the gateways needed for it.
    pub calls: Calls,
}

impl Seen {
    /// As a row of the table.
    pub fn row(&self, title: &'static str) -> Row {
        Row::of(title, &self.report, self.calls)
    }
}

/// How much is asked of the suite, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Requests a second, the simulator's and the probe's together.
    pub rate: u32,
    /// How long.
    pub time: Duration,
    /// The seed of the crowd.
    pub seed: u64,
}

impl Load {
    /// The load of all scenarios but the overload: 200 a second.
    pub fn usual(context: &Context, time: Duration) -> Self {
        Self {
            rate: 200,
            time,
            seed: context.seed,
        }
    }
}

/// The probe's share of the load.
const PROBE_RATE: u32 = 40;

/// Lets a crowd loose on the suite while `nemesis` does its worst; `nemesis` begins two seconds after
/// the load and is told when that was.
pub async fn under_load<N>(fleet: &Fleet, load: Load, nemesis: N) -> anyhow::Result<Seen>
where
    N: AsyncFnOnce() -> anyhow::Result<()>,
{
    let meter = Meter::default();
    let probe = Probe::start(fleet.api(), PROBE_RATE).await?;
    let options = [
        format!("http://{}", fleet.api()),
        format!("--rate={}", load.rate - PROBE_RATE),
        format!("--for={}ms", load.time.as_millis()),
        format!("--seed={}", load.seed),
        "--reads=30".to_owned(),
        "--allow-errors".to_owned(),
        "--quiet".to_owned(),
    ];
    let arguments = SimulateArgs::parse_options(options)?;
    let stop = CancellationToken::new();
    let simulation = async {
        let report = simulate(&arguments, CancellationToken::new()).await;
        stop.cancel();
        report
    };
    let metering = async {
        while !stop.is_cancelled() {
            meter.read(fleet).await;
            sleep(Duration::from_millis(250)).await;
        }
        Ok(())
    };
    let nemesis = async {
        sleep(Duration::from_secs(2)).await;
        nemesis().await
    };
    let (report, (), ()) = tokio::try_join!(simulation, metering, nemesis)?;
    meter.read(fleet).await;
    Ok(Seen {
        report,
        samples: probe.finish().await?,
        calls: meter.total(),
    })
}

/// Waits until a replica's gateways could have noticed that it is back.
pub async fn wait_until(when: Instant) {
    tokio::time::sleep_until(when).await;
}
