//! One import, from the file to the report.

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

/// How many lines of a list are shown at the terminal.
const LINES_SHOWN: usize = 20;

/// What every stage has at hand.
pub(crate) struct Import<'a> {
    pub(crate) args: &'a ImportArgs,
    /// Where everything goes; `None` for a dry run.
    pub(crate) services: Option<&'a Pools>,
}

/// Brings a file over and prints what came of it.
///
/// # Errors
///
/// The file cannot be read, or the report not be written. That a service stayed away is an
/// [`Outcome`]: what has been brought over is told all the same.
///
/// The future is boxed, so that its code is compiled in this crate and not again in the program.
pub fn run(args: &ImportArgs, services: Pools) -> LocalBoxFuture<'_, anyhow::Result<Outcome>> {
    Box::pin(import(args, services))
}

async fn import(args: &ImportArgs, services: Pools) -> anyhow::Result<Outcome> {
    let old = OldDatabase::open(&args.file).await?;
    // Before the work: a report that cannot be written must not be found out after an hour.
    let file = args.report.as_deref().map(create).transpose()?;
    let mut report = Report {
        dry_run: args.dry_run,
        ..Report::default()
    };
    let import = Import {
        args,
        services: (!args.dry_run).then_some(&services),
    };
    let brought = tokio::select! {
        brought = bring(&import, &old, &mut report) => brought,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };

    let mut out = std::io::stdout().lock();
    report.write(LINES_SHOWN, &mut out)?;
    out.flush()?;
    if let Some(mut file) = file {
        report
            .write(usize::MAX, &mut file)
            .and_then(|()| file.flush())
            .context("cannot write the report")?;
    }
    if let Err(error) = brought {
        writeln!(
            std::io::stderr(),
            "error: {error:#}\nnot finished: run the same again, and it goes on"
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

/// People first: they can sign in as soon as they are there.
async fn bring(import: &Import<'_>, old: &OldDatabase, report: &mut Report) -> anyhow::Result<()> {
    let began = Instant::now();
    let accounts = accounts::bring(import, old, report).await;
    report.users.took = began.elapsed();
    let accounts = accounts?;

    let began = Instant::now();
    let brought = follows::bring(import, old, &accounts, report).await;
    report.follows.took = began.elapsed();
    brought?;

    let began = Instant::now();
    let brought = messages::bring(import, old, &accounts, report).await;
    report.messages.took = began.elapsed();
    brought
}
