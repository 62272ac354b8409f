//! Configured addresses at which no process or a process of another service listens.

use super::run::{Context, under_load};
use crate::{
    fleet::{BadAddress, Plan, Role},
    trial::ScenarioResult,
};

pub(super) async fn dead_and_foreign(context: &Context) -> anyhow::Result<ScenarioResult> {
    let plan = Plan {
        counts: Role::ALL.map(|role| (role, 2)),
        bad_addresses: vec![
            (Role::Message, BadAddress::Dead),
            (Role::User, BadAddress::Dead),
            (Role::Message, BadAddress::Foreign(Role::Follower)),
            (Role::Follower, BadAddress::Foreign(Role::User)),
        ],
        ..context.plan()
    };
    let suite = context.suite(&plan).await?;
    let load = context.load(context.seconds(60, 6));
    let observed = under_load(&suite, context, load, async || Ok(())).await?;
    let mut result = observed.result();
    result.failed_at_most(0);
    Ok(result)
}
