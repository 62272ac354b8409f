//! Traces, metrics and log lines of a running suite.

#![expect(clippy::unwrap_used, reason = "the harness belongs to the tests")]

#[path = "../harness/mod.rs"]
mod harness;
mod metrics;
mod privacy;
mod simulation;
mod suite;
mod traces;
