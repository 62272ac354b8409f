//! Imports of the old system's database. The suite must list each row exactly as SQL does.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../harness/mod.rs"]
mod harness;
mod interrupted;
mod invalid_rows;
mod old;
mod passwords;

use std::path::Path;

use harness::{Client, Running};
use minitwit::address::SuiteAddress;
use minitwit_client::Pools;
use minitwit_importer::{ImportArgs, Outcome};
use old::ListedMessage;
use serde_json::Value;

/// The default options of an import.
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

/// The messages that a path of the API lists.
async fn listed_messages(api: &Client, path: &str) -> Vec<ListedMessage> {
    let messages = api.get(&format!("{path}?no=10000")).await.is(200).json();
    let text = |message: &Value, name: &str| message[name].as_str().unwrap().to_owned();
    let messages = messages.as_array().unwrap().iter().map(|message| {
        (
            text(message, "content"),
            message["pub_date"].as_i64().unwrap(),
            text(message, "user"),
        )
    });
    messages.collect()
}
