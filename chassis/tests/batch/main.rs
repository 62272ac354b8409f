//! What callers of a batcher can rely on.

#![expect(clippy::unwrap_used, reason = "the helpers are tests too")]

mod any_schedule;
mod failure;
mod order;
mod sharing;
mod support;
