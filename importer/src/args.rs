//! What an import is told.

use std::path::PathBuf;

use clap::Args;
use minitwit_proto::limits::IMPORT_ITEMS_MAX;

/// What is to be brought over, and how.
#[derive(Args, Clone, Debug)]
pub struct ImportArgs {
    /// The old system's SQLite file; it is only read
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Only say what would be brought over, without asking the suite
    #[arg(long)]
    pub dry_run: bool,
    /// Write the report to this file, too: there with every row that is not brought over
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// How many rows go in one call
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(IMPORT_ITEMS_MAX)), value_name = "N")]
    pub batch: u32,
    /// How many calls are under way at once; more than a few help only where a service has replicas
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=64), value_name = "N")]
    pub parallel: u32,
    /// How long a service may be away, or too busy, before the import gives up, in seconds
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    pub patience: u64,
}
