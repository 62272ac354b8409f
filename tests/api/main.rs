//! What a client of the simulator's API sees.

mod accounts;
mod deferred_latest;
mod document;
#[path = "../harness/mod.rs"]
mod harness;
mod latest;
mod lists;
mod refusals;
