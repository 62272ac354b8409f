//! A run from its arguments to its report.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::action::{Action, Command};
use crate::args::{Connection, SimulateArgs};
use crate::client::{Client, Target};
use crate::crowd::CrowdPlan;
use crate::progress::Progress;
use crate::report::{Report, Verification};
use crate::run::{self, Load, Recorder, Recording, Timeouts};
use crate::scenario;
use crate::snapshot::{self, Snapshot, UserState};
use crate::steps::Crowd;
use crate::verify::{self, History};

/// Number of actions of a crowd without the option `--actions`.
const ACTIONS_DEFAULT: u64 = 2_000;

/// Maximum error of the offset between the server's clock and the local clock, which is measured
/// with the server's `Date` header.
const CLOCK_TOLERANCE_SECONDS: i64 = 5;

/// The actions of a run.
enum Workload {
    Replay(Vec<Action>),
    Crowd(CrowdPlan),
}

/// Runs a simulation and verifies it. `stop` ends the requests early, and the requests sent so far
/// are verified.
///
/// # Errors
///
/// Fails if the run is not possible, for example because the scenario cannot be read, the server
/// cannot be reached or the credentials are wrong.
pub async fn simulate(args: &SimulateArgs, stop: CancellationToken) -> anyhow::Result<Report> {
    let workload = workload(args)?;
    let url = args.url.as_deref().context("there is no URL")?;
    let target = Target::resolve(url).await?;
    let credentials = args.read_credentials()?;
    let close = args.connection == Connection::Close;
    let client = Arc::new(Client::new(target.clone(), credentials.expose(), close));
    // The snapshots are not part of the measurement, so they may use persistent connections.
    let reader = Client::new(target, credentials.expose(), false);
    let progress = if args.quiet {
        Progress::HIDDEN
    } else {
        Progress::SHOWN
    };

    let clock_offset = clock_offset_seconds(&reader).await?;
    let names = if args.no_verify {
        Vec::new()
    } else {
        workload.names()
    };
    let before = first_snapshot(&reader, &names, progress).await?;
    let started = SystemTime::now();
    let recording = execute(args, &workload, client, progress, &stop).await;
    let dates = (
        unix_seconds(started) + clock_offset - CLOCK_TOLERANCE_SECONDS,
        unix_seconds(SystemTime::now()) + clock_offset + CLOCK_TOLERANCE_SECONDS,
    );

    let mut verification = None;
    if !args.no_verify {
        let begin = Instant::now();
        let after = snapshot::take(&reader, &names, progress, "verifying").await;
        let mut found = verify::verify(&History {
            before: &before,
            after: &after,
            attempts: &recording.attempts,
            sequential: matches!(workload, Workload::Replay(_)),
            dates,
        });
        found.elapsed_seconds = begin.elapsed().as_secs_f64();
        verification = Some(found);
    }
    Ok(report(
        args,
        &workload,
        &recording,
        unix_seconds(started),
        stop.is_cancelled(),
        verification,
    ))
}

/// The actions that `--write-scenario` writes.
pub(crate) fn crowd_actions(args: &SimulateArgs) -> impl Iterator<Item = Action> {
    let plan = crowd_plan(args);
    let length = usize::try_from(plan.actions.unwrap_or(ACTIONS_DEFAULT)).unwrap_or(usize::MAX);
    Crowd::new(plan.clone())
        .take(length)
        .map(move |step| step.into_action(&plan))
}

fn workload(args: &SimulateArgs) -> anyhow::Result<Workload> {
    match &args.scenario {
        Some(path) => Ok(Workload::Replay(scenario::read(path)?)),
        None => Ok(Workload::Crowd(crowd_plan(args))),
    }
}

fn crowd_plan(args: &SimulateArgs) -> CrowdPlan {
    // 32 bits are enough for a unique seed, and make short names.
    let seed = args.seed.unwrap_or_else(|| rand::random::<u32>().into());
    let reads = args.reads / 100.0;
    let actions = match (args.actions, args.duration, args.rate) {
        (Some(actions), ..) => Some(actions),
        (None, None, _) => Some(ACTIONS_DEFAULT),
        (None, Some(duration), Some(rate)) => Some(scheduled(rate, duration)),
        (None, Some(_), None) => None,
    };
    let mut plan = CrowdPlan::new(seed, actions, args.users, reads);
    // The schedule begins after the registration of the first users.
    if args.duration.is_some() {
        let first = u64::from(plan.users_at_start());
        plan.actions = plan.actions.map(|actions| actions + first);
    }
    plan
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the value is rounded and positive"
)]
fn scheduled(rate: f64, duration: Duration) -> u64 {
    (rate * duration.as_secs_f64()).round().max(1.0) as u64
}

impl Workload {
    fn length(&self) -> Option<u64> {
        match self {
            Self::Replay(actions) => u64::try_from(actions.len()).ok(),
            Self::Crowd(plan) => plan.actions,
        }
    }

    /// The names of all users whose lists the run can change.
    fn names(&self) -> Vec<String> {
        match self {
            Self::Crowd(plan) => (0..plan.users)
                .map(|number| plan.user(number).name)
                .collect(),
            Self::Replay(actions) => {
                let mut names = BTreeSet::new();
                for action in actions {
                    names.insert(action.username.as_str());
                    if let Command::Follow { whom } | Command::Unfollow { whom } = &action.command {
                        names.insert(whom);
                    }
                }
                names.into_iter().map(str::to_owned).collect()
            }
        }
    }
}

/// Checks that the server is a simulator API, and returns the offset of its clock in seconds.
async fn clock_offset_seconds(reader: &Client) -> anyhow::Result<i64> {
    let response = snapshot::read(reader, "/latest").await?;
    let local_seconds = unix_seconds(SystemTime::now());
    snapshot::latest(reader).await?;
    Ok(response
        .date
        .map_or(0, |server_time| unix_seconds(server_time) - local_seconds))
}

async fn first_snapshot(
    reader: &Client,
    names: &[String],
    progress: Progress,
) -> anyhow::Result<Snapshot> {
    let before = snapshot::take(reader, names, progress, "reading").await;
    for (name, state) in &before.users {
        if let UserState::Unreadable(cause) = state {
            bail!("cannot read the lists of {name:?} before the run: {cause}");
        }
    }
    Ok(before)
}

async fn execute(
    args: &SimulateArgs,
    workload: &Workload,
    client: Arc<Client>,
    progress: Progress,
    stop: &CancellationToken,
) -> Recording {
    let timeouts = Timeouts {
        register: args.register_timeout.unwrap_or(args.timeout),
        other: args.timeout,
    };
    let recorder = Arc::new(Recorder::new(progress.stage("running", workload.length())));
    match workload {
        Workload::Replay(actions) => {
            run::replay(&client, actions, args.pace, timeouts, &recorder, stop).await;
        }
        Workload::Crowd(plan) => {
            let load = Load {
                plan: plan.clone(),
                client,
                recorder: Arc::clone(&recorder),
                timeouts,
                stop: stop.clone(),
            };
            match args.rate {
                Some(rate) => run::open_loop(load, rate).await,
                None => run::closed_loop(load, args.concurrency.into(), args.duration).await,
            }
        }
    }
    recorder.finish()
}

fn report(
    args: &SimulateArgs,
    workload: &Workload,
    recording: &Recording,
    started_at: i64,
    stopped: bool,
    verification: Option<Verification>,
) -> Report {
    let stats = &recording.stats;
    let total = stats.total();
    let elapsed_seconds = recording.elapsed.as_secs_f64();
    let (mode, seed) = match workload {
        Workload::Replay(_) => ("replay", None),
        Workload::Crowd(plan) if args.rate.is_some() => ("open loop", Some(plan.seed)),
        Workload::Crowd(plan) => ("closed loop", Some(plan.seed)),
    };
    Report {
        mode,
        url: args.url.clone().unwrap_or_default(),
        seed,
        started_at,
        elapsed_seconds,
        ok_per_second: per_second(total.ok, elapsed_seconds),
        stopped,
        commands: stats.commands(),
        causes: stats.causes(),
        error_windows: stats.error_windows(),
        longest_pause: stats.longest_pause(recording.elapsed),
        verification,
        too_many_errors: !args.allow_errors && total.error_percent() > args.max_error_percent,
        total,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate needs no more precision")]
fn per_second(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds.max(f64::EPSILON)
}

fn unix_seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
