//! Events of a Swarm, each with the promises and thresholds under load.

mod edge;
mod image;
mod node;
mod scale;
mod secret;
mod task;
mod update;
mod version;

use super::stage::Stage;
use crate::trial::ScenarioResult;

/// An event, or several of the same kind.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// Description of the event and of what must hold.
    pub(crate) about: &'static str,
    /// Whether the scenario is part of the short form.
    pub(crate) in_smoke: bool,
    /// Whether the scenario is part of the whole table.
    pub(crate) in_table: bool,
    /// Runs the scenario. All replicas run before and after it.
    pub(crate) run: fn(&mut Stage) -> anyhow::Result<ScenarioResult>,
}

/// All scenarios in their order.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        in_smoke: true,
        in_table: false,
        ..scenario(
            "update-message",
            "the message service is updated; 0 failed",
            update::message,
        )
    },
    Scenario {
        in_smoke: true,
        ..scenario(
            "kill-tasks",
            "a message task is killed, then a gateway; 0 failed",
            task::kill,
        )
    },
    scenario(
        "updates",
        "user, follower, message and gateway are updated, one after the other; 0 failed",
        update::all,
    ),
    scenario(
        "unhealthy-image",
        "an image that fails its health check; rolled back within 60 s, deploy says why, 0 failed",
        image::unhealthy,
    ),
    scenario(
        "crashing-image",
        "an image that crashes after 5 s; rolled back within 60 s, deploy says why, 0 failed",
        image::crashing,
    ),
    scenario(
        "drain",
        "a node is drained and comes back; 0 failed",
        node::drain,
    ),
    scenario(
        "scale",
        "every service from 2 to 4 replicas and back; traffic within 5 s, 0 failed",
        scale::up_and_down,
    ),
    scenario(
        "node-killed",
        "a node dies, and is started again; good within 5 s, failed under 0.1 % of a minute",
        node::killed,
    ),
    scenario(
        "cable-cut",
        "a node's cable is cut for a minute; good within 5 s, failed under 0.1 % of a minute",
        node::cut_off,
    ),
    scenario(
        "edge-files",
        "the edge's certificate and configuration are replaced; 0 failed",
        edge::files,
    ),
    scenario(
        "secrets",
        "cookie key, database password, simulator's password rotated; 0 failed, nobody signed out",
        secret::rotation,
    ),
    scenario(
        "versions",
        "one more field and column: the new service before the new gateway, and after; 0 failed",
        version::both_orders,
    ),
];

const fn scenario(
    name: &'static str,
    about: &'static str,
    run: fn(&mut Stage) -> anyhow::Result<ScenarioResult>,
) -> Scenario {
    Scenario {
        name,
        about,
        in_smoke: false,
        in_table: true,
        run,
    }
}
