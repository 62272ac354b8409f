//! Guarantees of the resilient channel, tested against real servers that die, drain, freeze or misbehave.

#![expect(clippy::unwrap_used, reason = "the helpers are tests too")]

mod discovery;
mod failover;
mod limits;
mod support;
