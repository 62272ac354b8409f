//! Addresses that were never any good: nobody is there, or somebody else.

use crate::{
    fleet::{Plan, Stranger},
    replica::Role,
    row::Row,
    trial::{Context, Load, under_load},
};

pub(super) async fn dead_and_foreign(context: &Context) -> anyhow::Result<Row> {
    let plan = Plan {
        counts: [
            (Role::User, 2),
            (Role::Follower, 2),
            (Role::Message, 2),
            (Role::Gateway, 2),
        ],
        strangers: vec![
            (Role::Message, Stranger::Dead),
            (Role::User, Stranger::Dead),
            (Role::Message, Stranger::Foreign(Role::Follower)),
            (Role::Follower, Stranger::Foreign(Role::User)),
        ],
        ..context.plan()
    };
    let fleet = context.fleet(&plan).await?;
    let load = Load::usual(context, context.seconds(60, 6));
    let seen = under_load(&fleet, load, async || Ok(())).await?;
    let mut row = seen.row("dead and foreign");
    row.bar_failed(0);
    Ok(row)
}
