//! Two versions side by side, whichever is first.

use crate::{
    load::Measured,
    swarm::{
        image::{self, VERSIONS},
        next,
        stage::Stage,
        trial::Trial,
        visitor::Visitor,
    },
};

/// The tag of the version after this one.
const NEXT: &str = "next";

/// The service first, as its migration asks for; then, over the new schema, the gateway first.
pub(super) fn both_orders(stage: &mut Stage) -> anyhow::Result<Trial> {
    let programs = next::build(&stage.profile)?;
    image::add(&stage.machines, &programs, &["message", "gateway"], NEXT)?;
    let one = replace(stage, ["message", "gateway"])?;
    let two = replace(stage, ["gateway", "message"])?;
    Ok(Trial::new(Measured::sum(one, two)).no_failure())
}

/// Brings the next version of two processes in this order, and the old one back; before each step
/// the API is under load, and somebody looks at the pages.
fn replace(stage: &mut Stage, order: [&str; 2]) -> anyhow::Result<Measured> {
    let ((), measured) = stage.measure(|stage, _| {
        for version in [NEXT, VERSIONS[0]] {
            for service in order {
                stage.update(service, version)?;
                let name = format!("{service}{}", stage.next_generation());
                Visitor::sign_in(&stage.machines, &name)?;
            }
        }
        Ok(())
    })?;
    Ok(measured)
}
