//! `/-/status`, state of the services, as this gateway sees them.

use askama::Template;
use axum::{
    extract::State,
    response::{Html, IntoResponse as _},
};
use chassis::{
    deadline::Deadline,
    identity::identity,
    pool::{Pool, ReplicaState, ReplicaStatus},
};

use super::{
    PageResult,
    layout::{Layout, render},
};
use crate::{
    App, SIDE_BUDGET,
    slo::{self, AnswerCounts},
};

#[derive(Template)]
#[template(path = "status.html")]
struct StatusPage<'a> {
    layout: Layout<'a>,
    verdict: &'static str,
    healthy: bool,
    services: Vec<Service>,
    /// Id of the simulator's latest action. `None` if the user service is unavailable.
    latest: Option<i64>,
    version: &'a str,
    replica: &'a str,
    budget: Budget,
}

/// State of a service.
struct Service {
    name: &'static str,
    replicas: Vec<Replica>,
    ready: usize,
}

/// State of a replica.
struct Replica {
    address: String,
    version: String,
    state: &'static str,
    ready: bool,
    state_duration: String,
    in_flight: usize,
    p99: String,
}

/// Error budget of the service level objective.
struct Budget {
    /// Period, `since this gateway started` or `of the last 30 days`.
    span: &'static str,
    /// Remaining budget in percent with one decimal. `None` before the first request.
    remaining: Option<String>,
    /// Responses that this gateway sent.
    responses: u64,
    /// Responses that were errors or too slow.
    bad: u64,
}

pub(super) async fn show(State(app): State<App>) -> PageResult {
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
    let (verdict, healthy) = verdict(&services, latest);
    let page = StatusPage {
        layout: Layout::default(),
        verdict,
        healthy,
        services,
        latest,
        version: identity.map_or("unknown", |identity| &identity.version),
        replica: identity.map_or("", |identity| &identity.replica),
        budget: Budget::new(app.0.answers.counts(), remaining),
    };
    Ok(Html(render(&page)).into_response())
}

/// Summary of the state, and whether the summary is good.
fn verdict(services: &[Service], latest: Option<i64>) -> (&'static str, bool) {
    if services.iter().any(|service| service.ready == 0) {
        (
            "A service is unavailable. Requests that need the service fail.",
            false,
        )
    } else if latest.is_none() {
        ("The user service does not respond.", false)
    } else if services
        .iter()
        .any(|service| service.ready < service.replicas.len())
    {
        (
            "All services are available, but some replicas are not ready.",
            true,
        )
    } else {
        ("All services are available.", true)
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
            state_duration: format_duration(status.state_age.as_secs()),
            in_flight: status.in_flight,
            p99: status.p99.map_or_else(|| "–".to_owned(), millis),
        }
    }
}

/// Formats a duration in its largest suitable unit.
fn format_duration(seconds: u64) -> String {
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
            remaining: remaining.or_else(|| counts.remaining_budget()).map(percent),
            responses: counts.answers,
            bad: counts.bad,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_shown_in_one_unit() {
        for (seconds, text) in [
            (7, "7 s"),
            (180, "3 min"),
            (10_800, "3 h"),
            (260_000, "3 d"),
        ] {
            assert_eq!(format_duration(seconds), text);
        }
    }
}
