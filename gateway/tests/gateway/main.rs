//! Guarantees of the gateway, tested against fake services whose calls the tests hold, release and answer.

#![expect(clippy::unwrap_used, reason = "the helpers are tests too")]

mod batching;
mod errors;
mod fake;
mod retries;
mod rpc;
mod setup;
mod timelines;
