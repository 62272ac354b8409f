//! What the tests of every crate need: empty databases, private servers, waiting for a condition.

mod database;
mod patience;
mod service;
mod sink;

pub use database::{Engine, TestDatabase, empty_database};
pub use minitwit_postgres::{Cluster, ClusterOptions, free_port};
pub use patience::eventually;
pub use service::RunningService;
pub use sink::{SeenSpan, Sink, tree};
