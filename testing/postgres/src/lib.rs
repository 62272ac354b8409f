//! A private PostgreSQL server for tests and benches, from the installed binaries.
//!
//! Container or service, a shared server is one more thing to set up and carries the leftovers of
//! earlier runs; a [`Cluster`] takes a second to start, belongs to one process and goes with it.
//! A crate of its own, because `cargo xtask` starts one before anything else is compiled.

mod cluster;
mod installation;
mod port;

pub use cluster::{Cluster, ClusterOptions};
pub use installation::{is_installed, programs};
pub use port::free_port;
