//! Scenarios, which are faults of a running suite and checks of the effects on users.

pub(crate) mod process;
pub(crate) mod swarm;
