//! Code that every process of the suite shares, without domain logic.
//!
//! Each service is a library with a `serve` function, and a small binary around it. This crate holds
//! everything that such a process needs and that belongs to no service, such as configuration,
//! telemetry, shutdown, batching, deadlines, resilient channels and health. It contains no code about
//! users, followers or messages.

pub mod admin;
pub mod args;
pub mod batch;
pub mod deadline;
pub mod grpc;
pub mod identity;
mod log;
pub mod log_limiter;
pub mod per_item;
pub mod pool;
pub mod process;
mod protocol;
pub mod retry_after;
pub mod shutdown;
pub mod skew;
pub mod stamp;
pub mod telemetry;
pub mod trace;
