//! What others see of a running suite: its traces, its metrics, its log lines.

#![expect(clippy::unwrap_used, reason = "the harness is of the tests")]

#[path = "../harness/mod.rs"]
mod harness;
mod metrics;
mod privacy;
mod simulation;
mod suite;
mod traces;
