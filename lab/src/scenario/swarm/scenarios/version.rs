//! Two versions at the same time, in both orders of the update.

use crate::{
    load::LoadReport,
    scenario::swarm::{
        image::{self, VERSIONS},
        next_version,
        stage::Stage,
        visitor::Visitor,
    },
    trial::ScenarioResult,
};

/// Tag of the next version.
const NEXT: &str = "next";

/// Updates the service before the gateway, as the migration requires. Then, over the new schema, updates the
/// gateway before the service.
pub(super) fn both_orders(stage: &mut Stage) -> anyhow::Result<ScenarioResult> {
    let programs = next_version::build(&stage.profile)?;
    image::add(&stage.machines, &programs, &["message", "gateway"], NEXT)?;
    let one = replace(stage, ["message", "gateway"])?;
    let two = replace(stage, ["gateway", "message"])?;
    Ok(ScenarioResult::new(one.combine(two)).no_failure())
}

/// Updates two programs to the next version in this order and back to the old version, under load. After each
/// step a visitor signs in at the pages.
fn replace(stage: &mut Stage, order: [&str; 2]) -> anyhow::Result<LoadReport> {
    let ((), report) = stage.measure(|stage, _| {
        for version in [NEXT, VERSIONS[0]] {
            for service in order {
                stage.update(service, version)?;
                let name = format!("{service}{}", stage.next_generation());
                Visitor::sign_in(&stage.machines, &name)?;
            }
        }
        Ok(())
    })?;
    Ok(report)
}
