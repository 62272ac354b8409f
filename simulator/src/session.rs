//! One run from its arguments to its report.

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

/// A crowd takes so many actions unless told otherwise.
const ACTIONS_DEFAULT: u64 = 2_000;

/// How far the server's clock and ours may be apart beyond what its `Date` header tells.
const CLOCK_TOLERANCE_SECONDS: i64 = 5;

/// What there is to do.
enum Work {
    Replay(Vec<Action>),
    Crowd(CrowdPlan),
}

/// Runs a simulation and verifies it. `stop` ends the requests early; what was sent is verified all
/// the same.
///
/// # Errors
///
/// Fails if there can be no run: an unreadable scenario, no server, wrong credentials.
pub async fn simulate(args: &SimulateArgs, stop: CancellationToken) -> anyhow::Result<Report> {
    let work = work(args)?;
    let url = args.url.as_deref().context("there is no URL")?;
    let target = Target::resolve(url).await?;
    let credentials = args.read_credentials()?;
    let close = args.connection == Connection::Close;
    let client = Arc::new(Client::new(target.clone(), credentials.expose(), close));
    // The snapshots are no part of what is measured, and may keep their connections.
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
        work.names()
    };
    let before = first_snapshot(&reader, &names, progress).await?;
    let started = SystemTime::now();
    let recording = act(args, &work, client, progress, &stop).await;
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
            sequential: matches!(work, Work::Replay(_)),
            dates,
        });
        found.elapsed_seconds = begin.elapsed().as_secs_f64();
        verification = Some(found);
    }
    Ok(report(
        args,
        &work,
        &recording,
        unix_seconds(started),
        stop.is_cancelled(),
        verification,
    ))
}

/// What `--write-scenario` writes.
pub(crate) fn crowd_actions(args: &SimulateArgs) -> impl Iterator<Item = Action> {
    let plan = crowd_plan(args);
    let length = usize::try_from(plan.actions.unwrap_or(ACTIONS_DEFAULT)).unwrap_or(usize::MAX);
    Crowd::new(plan.clone())
        .take(length)
        .map(move |step| step.into_action(&plan))
}

fn work(args: &SimulateArgs) -> anyhow::Result<Work> {
    match &args.scenario {
        Some(path) => Ok(Work::Replay(scenario::read(path)?)),
        None => Ok(Work::Crowd(crowd_plan(args))),
    }
}

fn crowd_plan(args: &SimulateArgs) -> CrowdPlan {
    // Half the bits are enough to be alone, and make names that can be read.
    let seed = args.seed.unwrap_or_else(|| rand::random::<u32>().into());
    let reads = args.reads / 100.0;
    let actions = match (args.actions, args.duration, args.rate) {
        (Some(actions), ..) => Some(actions),
        (None, None, _) => Some(ACTIONS_DEFAULT),
        (None, Some(duration), Some(rate)) => Some(scheduled(rate, duration)),
        (None, Some(_), None) => None,
    };
    let mut plan = CrowdPlan::new(seed, actions, args.users, reads);
    // The schedule begins when the first users are there.
    if args.duration.is_some() {
        let first = u64::from(plan.users_at_start());
        plan.actions = plan.actions.map(|actions| actions + first);
    }
    plan
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounded, and positive"
)]
fn scheduled(rate: f64, duration: Duration) -> u64 {
    (rate * duration.as_secs_f64()).round().max(1.0) as u64
}

impl Work {
    fn length(&self) -> Option<u64> {
        match self {
            Self::Replay(actions) => u64::try_from(actions.len()).ok(),
            Self::Crowd(plan) => plan.actions,
        }
    }

    /// Everybody whose lists the run can change.
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

/// Finds out whether this is a simulator API at all, and how its clock differs from ours.
async fn clock_offset_seconds(reader: &Client) -> anyhow::Result<i64> {
    let reply = snapshot::read(reader, "/latest").await?;
    let ours = unix_seconds(SystemTime::now());
    snapshot::latest(reader).await?;
    Ok(reply.date.map_or(0, |theirs| unix_seconds(theirs) - ours))
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

async fn act(
    args: &SimulateArgs,
    work: &Work,
    client: Arc<Client>,
    progress: Progress,
    stop: &CancellationToken,
) -> Recording {
    let timeouts = Timeouts {
        register: args.register_timeout.unwrap_or(args.timeout),
        other: args.timeout,
    };
    let recorder = Arc::new(Recorder::new(progress.stage("running", work.length())));
    match work {
        Work::Replay(actions) => {
            run::replay(&client, actions, args.pace, timeouts, &recorder, stop).await;
        }
        Work::Crowd(plan) => {
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
    work: &Work,
    recording: &Recording,
    started_at: i64,
    stopped: bool,
    verification: Option<Verification>,
) -> Report {
    let tally = &recording.tally;
    let total = tally.total();
    let elapsed_seconds = recording.elapsed.as_secs_f64();
    let (mode, seed) = match work {
        Work::Replay(_) => ("replay", None),
        Work::Crowd(plan) if args.rate.is_some() => ("open loop", Some(plan.seed)),
        Work::Crowd(plan) => ("closed loop", Some(plan.seed)),
    };
    Report {
        mode,
        url: args.url.clone().unwrap_or_default(),
        seed,
        started_at,
        elapsed_seconds,
        ok_per_second: per_second(total.ok, elapsed_seconds),
        stopped,
        commands: tally.commands(),
        causes: tally.causes(),
        error_windows: tally.error_windows(),
        longest_pause: tally.longest_pause(recording.elapsed),
        verification,
        too_many_errors: !args.allow_errors && total.error_percent() > args.max_error_percent,
        total,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn per_second(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds.max(f64::EPSILON)
}

fn unix_seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
