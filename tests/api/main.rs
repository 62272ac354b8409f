//! The simulator's API, tested through HTTP against the whole suite.

mod accounts;
mod contract;
mod deferred_latest;
mod document;
#[path = "../harness/mod.rs"]
mod harness;
mod latest;
mod lists;
mod rejections;
