//! Options of an import.

use std::path::PathBuf;

use clap::Args;
use minitwit_proto::limits::IMPORT_ITEMS_MAX;

/// Options of an import.
#[derive(Args, Clone, Debug)]
pub struct ImportArgs {
    /// SQLite file of the old system, which the import only reads
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Check the rows and print the report, without sending anything to the suite
    #[arg(long)]
    pub dry_run: bool,
    /// File to write the full report to, with each row that is not imported
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Maximum number of rows in one call
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(IMPORT_ITEMS_MAX)), value_name = "N")]
    pub batch: u32,
    /// Number of concurrent calls (more than a few help only if a service has replicas)
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=64), value_name = "N")]
    pub parallel: u32,
    /// How long a service may be unavailable or too busy before the import gives up, in seconds
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    pub patience: u64,
}
