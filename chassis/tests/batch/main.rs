//! Guarantees of a batcher to its callers.

#![expect(clippy::unwrap_used, reason = "the helpers are tests too")]

mod any_schedule;
mod dedup;
mod failure;
mod order;
mod support;
