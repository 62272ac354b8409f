//! A private PostgreSQL server for tests and benchmarks, started from the installed binaries.
//!
//! A shared server, such as a container, must be set up first and contains data of earlier runs. A
//! [`Cluster`] starts in about a second, belongs to one process, and is removed with it. This is a
//! separate crate because `cargo xtask` needs it before it compiles the other crates.

mod cluster;
mod installation;
mod port;

pub use cluster::{Cluster, ClusterOptions};
pub use installation::{is_installed, program_folder};
pub use port::free_port;
