//! The database of a service. The crate has one handle for SQLite and PostgreSQL, statements over many
//! rows of input, migrations, and the process of a service that owns a database.
//!
//! Only the services depend on this crate. The gateway owns no data and does not depend on sqlx.

pub mod args;
pub mod db;
pub mod service;
pub mod statement;
pub mod store;
pub mod version;
