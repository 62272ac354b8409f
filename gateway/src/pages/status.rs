//! `/-/status`: how the suite is, for people, from live data.

use askama::Template;
use axum::{
    extract::State,
    response::{Html, IntoResponse as _},
};
use chassis::{
    deadline::Deadline,
    pool::{Pool, ReplicaState, ReplicaStatus},
    telemetry::identity,
};

use super::{PageAnswer, layout::Layout};
use crate::{
    App, SIDE_BUDGET,
    slo::{self, AnswerCounts},
};

#[derive(Template)]
#[template(path = "status.html")]
struct StatusPage<'a> {
    layout: Layout<'a>,
    verdict: &'static str,
    well: bool,
    services: Vec<Service>,
    /// The newest action of the simulator; `None` when nobody knows.
    latest: Option<i64>,
    version: &'a str,
    replica: &'a str,
    budget: Budget,
}

/// A service as this gateway sees it.
struct Service {
    name: &'static str,
    replicas: Vec<Replica>,
    ready: usize,
}

/// One of its replicas.
struct Replica {
    address: String,
    version: String,
    state: &'static str,
    ready: bool,
    for_how_long: String,
    in_flight: usize,
    p99: String,
}

/// What became of the promise to the simulator.
struct Budget {
    /// `since this gateway started` or `of the last 30 days`.
    span: &'static str,
    /// In percent, with a decimal; `None` as long as nothing was asked.
    left: Option<String>,
    /// What it is made of, as far as this gateway counts.
    answers: u64,
    bad: u64,
}

pub(super) async fn show(State(app): State<App>) -> PageAnswer {
    let backend = &app.0.backend;
    let pools = &backend.pools;
    let services: Vec<Service> = [
        ("user", &pools.user),
        ("follower", &pools.follower),
        ("message", &pools.message),
    ]
    .into_iter()
    .map(|(name, pool)| Service::of(name, pool))
    .collect();
    let deadline = Deadline::after(SIDE_BUDGET);
    let (latest, remaining) = tokio::join!(
        backend.latest.get("", deadline),
        slo::recorded_budget(app.0.prometheus.as_ref()),
    );
    let latest = latest.ok();
    let identity = identity();
    let (verdict, well) = verdict(&services, latest);
    let page = StatusPage {
        layout: Layout {
            moderator: false,
            me: None,
            flashes: &[],
            here: "",
        },
        verdict,
        well,
        services,
        latest,
        version: identity.map_or("unknown", |identity| &identity.version),
        replica: identity.map_or("", |identity| &identity.replica),
        budget: Budget::new(app.0.answers.counts(), remaining),
    };
    Ok(Html(page.render().expect("a string takes everything")).into_response())
}

fn verdict(services: &[Service], latest: Option<i64>) -> (&'static str, bool) {
    if services.iter().any(|service| service.ready == 0) {
        ("A service is away: what needs it cannot be had.", false)
    } else if latest.is_none() {
        ("The user service does not answer.", false)
    } else if services
        .iter()
        .any(|service| service.ready < service.replicas.len())
    {
        ("All is served, but not every replica is ready.", true)
    } else {
        ("All is well.", true)
    }
}

impl Service {
    fn of(name: &'static str, pool: &Pool) -> Self {
        let replicas: Vec<Replica> = pool.replicas().into_iter().map(Replica::from).collect();
        Self {
            name,
            ready: replicas.iter().filter(|replica| replica.ready).count(),
            replicas,
        }
    }
}

impl From<ReplicaStatus> for Replica {
    fn from(status: ReplicaStatus) -> Self {
        let millis = |p99: std::time::Duration| format!("{:.1} ms", p99.as_secs_f64() * 1e3);
        Self {
            address: status.address.to_string(),
            version: status.version.unwrap_or_else(|| "–".to_owned()),
            state: status.state.name(),
            ready: status.state == ReplicaState::Ready,
            for_how_long: how_long(status.state_age.as_secs()),
            in_flight: status.in_flight,
            p99: status.p99.map_or_else(|| "–".to_owned(), millis),
        }
    }
}

/// Seconds as people say them, in one unit.
fn how_long(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

impl Budget {
    fn new(counts: AnswerCounts, remaining: Option<f64>) -> Self {
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        Self {
            span: if remaining.is_some() {
                "of the last 30 days"
            } else {
                "since this gateway started"
            },
            left: remaining.or_else(|| counts.remaining_budget()).map(percent),
            answers: counts.answers,
            bad: counts.bad,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_told_in_one_unit() {
        for (seconds, text) in [
            (7, "7 s"),
            (180, "3 min"),
            (10_800, "3 h"),
            (260_000, "3 d"),
        ] {
            assert_eq!(how_long(seconds), text);
        }
    }
}
