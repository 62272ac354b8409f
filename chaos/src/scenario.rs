//! The scenarios: each does one thing to the suite and judges what its users saw of it.

mod away;
mod crash;
mod database;
mod freeze;
mod key;
mod overload;
mod restart;
mod slow;
mod stranger;

use std::{future::Future, pin::Pin};

use crate::{
    row::Row,
    trial::{Context, Load, under_load},
};

/// A scenario that runs.
pub type Running<'a> = Pin<Box<dyn Future<Output = anyhow::Result<Row>> + 'a>>;

/// A scenario by its name.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// What `--only` calls it.
    pub name: &'static str,
    /// Runs it on a fresh suite.
    pub run: for<'a> fn(&'a Context) -> Running<'a>,
}

/// All of them; `steady` is first, because it tells what this machine can do without a fault.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "steady",
        run: |context| Box::pin(steady(context)),
    },
    Scenario {
        name: "key",
        run: |context| Box::pin(key::one_key_three_uses(context)),
    },
    Scenario {
        name: "restart",
        run: |context| Box::pin(restart::rolling(context)),
    },
    Scenario {
        name: "crash",
        run: |context| Box::pin(crash::at_random(context)),
    },
    Scenario {
        name: "freeze",
        run: |context| Box::pin(freeze::one_replica(context)),
    },
    Scenario {
        name: "stranger",
        run: |context| Box::pin(stranger::dead_and_foreign(context)),
    },
    Scenario {
        name: "away",
        run: |context| Box::pin(away::whole_service(context)),
    },
    Scenario {
        name: "database",
        run: |context| Box::pin(database::stopped(context)),
    },
    Scenario {
        name: "slow",
        run: |context| Box::pin(slow::follower(context)),
    },
    Scenario {
        name: "overload",
        run: |context| Box::pin(overload::five_times(context)),
    },
];

/// Nothing happens: the yardstick.
async fn steady(context: &Context) -> anyhow::Result<Row> {
    let fleet = context.fleet(&context.plan()).await?;
    let load = Load::usual(context, context.seconds(30, 6));
    let seen = under_load(&fleet, load, async || Ok(())).await?;
    let mut row = seen.row("steady");
    row.bar_failed(0);
    Ok(row)
}
