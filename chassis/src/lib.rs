//! What every process shares, and no domain.
//!
//! A service is a library with a `serve` function and its process a few lines around it; what those
//! lines need and no service owns lives here: configuration, telemetry, shutdown, the database
//! handle, batching, deadlines, resilient channels and health. Nothing here knows what a user, a
//! follower or a message is.

pub mod admin;
pub mod args;
pub mod batch;
pub mod deadline;
pub mod grpc;
mod log;
pub mod log_limiter;
pub mod per_item;
pub mod pool;
pub mod process;
pub mod retry_after;
pub mod shutdown;
pub mod skew;
pub mod stamp;
pub mod telemetry;
pub mod trace;
