//! What every process shares, and no domain.
//!
//! A service is a library with a `serve` function and its process a few lines around it; what those
//! lines need and no service owns lives here: configuration, telemetry, shutdown, the database
//! handle, batching, deadlines, resilient channels and health. Nothing here knows what a user, a
//! follower or a message is.

pub mod admin;
pub mod args;
pub mod batch;
pub mod db;
pub mod deadline;
pub mod grpc;
pub mod hold;
pub mod item;
mod log;
pub mod pool;
pub mod process;
pub mod shutdown;
pub mod skew;
pub mod sparing;
pub mod stamp;
pub mod statement;
pub mod store;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
pub mod trace;
pub mod version;

/// Every process allocates with it: a request is many small, short-lived allocations, and the C
/// library's allocator was an eighth of the gateway's time under load.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
