//! What a client of the simulator's API sees.

mod accounts;
mod document;
#[path = "../harness/mod.rs"]
mod harness;
mod latest;
mod lists;
mod refusals;
