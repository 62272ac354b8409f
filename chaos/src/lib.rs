//! The suite as many processes on one machine, and what happens to them.
//!
//! A [`Fleet`](fleet::Fleet) is the suite as an orchestrator runs it: several replicas of each
//! program, each on a loopback address of its own, over a private PostgreSQL server, with an edge that
//! repeats requests. The scenarios kill, freeze, stop, slow down and cut off parts of it under load and
//! say which promise held. The invariant: only processes that the fleet itself has started are ever
//! signalled, and all of them end with it.

pub mod edge;
pub mod fleet;
pub mod http;
pub mod meter;
pub mod picture;
pub mod probe;
pub mod proxy;
pub mod replica;
pub mod row;
pub mod scenario;
pub mod story;
pub mod trial;
