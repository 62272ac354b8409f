//! Client of the user, follower and message services.
//!
//! The gateway, the command line and the importer call the services through this crate. It opens the
//! connection pools, combines concurrent calls into batches, converts the results of single items,
//! repeats writes that were superseded, and deletes accounts across services. It renders nothing and
//! speaks no HTTP.

pub mod accounts;
pub mod address;
pub mod batching;
pub mod deletion;
pub mod flags;
pub mod follows;
pub mod latest;
pub mod messages;
pub mod outcome;
pub mod reads;
mod services;
pub mod stamped;

pub use services::{PerService, Pools};
