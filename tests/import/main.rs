//! The old system's file brought over: every row once, as SQL on that file says.

#![expect(clippy::unwrap_used, reason = "what a test stands on may fail it")]

mod dirt;
#[path = "../harness/mod.rs"]
mod harness;
mod interrupted;
mod old;
mod passwords;

use std::path::Path;

use harness::Running;
use minitwit::address::SuiteAddress;
use minitwit_client::Pools;
use minitwit_importer::{ImportArgs, Outcome};

/// An import as the command line has it by default.
fn args(file: &Path) -> ImportArgs {
    ImportArgs {
        file: file.to_owned(),
        dry_run: false,
        report: Some(file.with_extension("report")),
        batch: 100,
        parallel: 3,
        patience: 60,
    }
}

fn services(suite: &Running) -> Pools {
    SuiteAddress::from(suite.services).pools()
}

async fn import(suite: &Running, args: &ImportArgs) -> Outcome {
    minitwit_importer::run(args, services(suite)).await.unwrap()
}
