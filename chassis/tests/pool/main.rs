//! What the resilient channel promises, against real servers that die, drain, freeze and lie.

#![expect(clippy::unwrap_used, reason = "the helpers are tests too")]

mod discovery;
mod failover;
mod limits;
mod support;
