//! Scenarios, which are faults of a running suite and judgements of what its users notice.

pub(crate) mod process;
pub(crate) mod swarm;
