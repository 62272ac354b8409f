//! Import of the old system's database into a running suite, through the rpcs of the services.
//!
//! `old` reads the rows of the file, whatever their columns contain. `accounts`, `follows` and `messages`
//! check each row, and create its key or the reason why the row is refused. `sender` sends the rows to
//! the services, and `report` lists the results.
//!
//! The key of a row depends only on the row. An import can therefore be interrupted and repeated at any
//! time without storing a row twice.

mod accounts;
mod args;
mod follows;
mod key;
mod messages;
mod old;
mod progress;
mod report;
mod run;
mod sender;
mod text;

pub use args::ImportArgs;
pub use run::run;

/// Result of an import. Scripts read its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All rows are stored. Exit code 0.
    Complete,
    /// Some rows were refused, and the report lists them with the reasons. Exit code 1.
    Incomplete,
    /// The import was interrupted. The rows that it has stored stay. Exit code 2.
    Unfinished,
}

impl Outcome {
    /// Exit code of the process.
    pub const fn code(self) -> u8 {
        match self {
            Self::Complete => 0,
            Self::Incomplete => 1,
            Self::Unfinished => 2,
        }
    }
}
