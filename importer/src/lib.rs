//! Brings the old system's database over into a running suite, through the services' own rpcs.
//!
//! The way of a run: `old` reads the file, whatever is in its columns → `accounts`, `follows` and
//! `messages` judge each row, give what is good a key and say of the rest why it is not → `courier`
//! delivers, patiently → `report`. The invariant: a row's key depends on the row alone, so a run may
//! be stopped anywhere and repeated, and nothing is ever doubled.

mod accounts;
mod args;
mod courier;
mod follows;
mod key;
mod messages;
mod old;
mod progress;
mod report;
mod run;
mod text;

pub use args::ImportArgs;
pub use run::run;

/// How an import ended; its exit code is for scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every row is there: 0.
    Complete,
    /// Some rows are not, and the report says which and why: 1.
    Incomplete,
    /// It did not come to its end; what it has brought over stays: 2.
    Unfinished,
}

impl Outcome {
    /// The exit code of the process.
    pub const fn code(self) -> u8 {
        match self {
            Self::Complete => 0,
            Self::Incomplete => 1,
            Self::Unfinished => 2,
        }
    }
}
