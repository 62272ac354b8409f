//! Course of an import, from the file to the report.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
    time::Instant,
};

use anyhow::Context as _;
use futures_util::future::LocalBoxFuture;
use minitwit_client::Pools;

use crate::{
    Outcome, accounts, args::ImportArgs, follows, messages, old::OldDatabase, report::Report,
};

/// Maximum number of lines of each list that are shown at the terminal.
const REPORT_LINES_SHOWN_MAX: usize = 20;

/// Options and services of an import.
pub(crate) struct ImportJob<'a> {
    pub(crate) args: &'a ImportArgs,
    /// Services that store the rows, or `None` for a dry run.
    pub(crate) services: Option<&'a Pools>,
}

/// Imports a file and prints the report.
///
/// # Errors
///
/// The file cannot be read, or the report cannot be written. If a service was unavailable for too long,
/// the result is [`Outcome::Unfinished`], and the report shows the rows that are stored.
///
/// The future is boxed, so that its code is compiled in this crate and not again in the program.
pub fn run(args: &ImportArgs, services: Pools) -> LocalBoxFuture<'_, anyhow::Result<Outcome>> {
    Box::pin(run_import(args, services))
}

async fn run_import(args: &ImportArgs, services: Pools) -> anyhow::Result<Outcome> {
    let old = OldDatabase::open(&args.file).await?;
    // The file is created before the import, because the import may take an hour.
    let report_file = args.report.as_deref().map(create).transpose()?;
    let mut report = Report {
        dry_run: args.dry_run,
        ..Report::default()
    };
    let job = ImportJob {
        args,
        services: (!args.dry_run).then_some(&services),
    };
    let imported = tokio::select! {
        imported = import(&job, &old, &mut report) => imported,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };

    let mut out = std::io::stdout().lock();
    report.write(REPORT_LINES_SHOWN_MAX, &mut out)?;
    out.flush()?;
    if let Some(mut file) = report_file {
        report
            .write(usize::MAX, &mut file)
            .and_then(|()| file.flush())
            .context("cannot write the report")?;
    }
    if let Err(error) = imported {
        writeln!(
            std::io::stderr(),
            "error: {error:#}\nnot finished: run the same command again to continue"
        )?;
        return Ok(Outcome::Unfinished);
    }
    Ok(if report.is_complete() {
        Outcome::Complete
    } else {
        Outcome::Incomplete
    })
}

fn create(path: &Path) -> anyhow::Result<BufWriter<File>> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(BufWriter::new(file))
}

/// Imports the tables. The users come first, so they can sign in soon.
async fn import(job: &ImportJob<'_>, old: &OldDatabase, report: &mut Report) -> anyhow::Result<()> {
    let began = Instant::now();
    let accounts = accounts::import(job, old, report).await;
    report.users.took = began.elapsed();
    let accounts = accounts?;

    let began = Instant::now();
    let imported = follows::import(job, old, &accounts, report).await;
    report.follows.took = began.elapsed();
    imported?;

    let began = Instant::now();
    let imported = messages::import(job, old, &accounts, report).await;
    report.messages.took = began.elapsed();
    imported
}
