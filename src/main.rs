//! `minitwit`, the whole suite in one process, and the command line tools.

use std::process::ExitCode;

use anyhow::Context as _;
use chassis::{
    admin::{self, Readiness},
    process::{self, bind},
    telemetry::Telemetry,
};
use clap::CommandFactory as _;
use minitwit::{
    Suite,
    args::{Cli, Command, ServeArgs},
    flag, user,
};
use tokio_util::sync::CancellationToken;

/// Allocator of the process. A request makes many small, short-lived allocations, and the C library's
/// allocator took an eighth of the gateway's CPU time under load.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::of_process();
    match cli.command {
        None => serve(&cli.serve),
        Some(Command::Serve(args)) => serve(&args),
        Some(Command::Simulate(args)) => run_tool(async {
            minitwit_simulator::run(*args)
                .await
                .map(minitwit_simulator::Outcome::code)
        }),
        Some(Command::Deploy(args)) => run_tool(minitwit_deploy::run(*args)),
        Some(Command::Import(args)) => run_tool(async {
            minitwit_importer::run(&args.import, args.suite.suite.pools())
                .await
                .map(minitwit_importer::Outcome::code)
        }),
        Some(Command::User(args)) => run_tool(async { succeeded(user::run(&args, &print).await) }),
        Some(Command::Flag(args)) => {
            run_tool(async { succeeded(flag::run(&args, true, &print).await) })
        }
        Some(Command::Unflag(args)) => {
            run_tool(async { succeeded(flag::run(&args, false, &print).await) })
        }
        Some(Command::Flagged(args)) => {
            run_tool(async { succeeded(flag::list(&args, &print).await) })
        }
        Some(Command::Completions { shell }) => {
            let command = &mut Cli::command();
            clap_complete::generate(shell, command, "minitwit", &mut std::io::stdout());
            ExitCode::SUCCESS
        }
        Some(Command::Health { listen_admin }) => process::probe(listen_admin),
    }
}

fn serve(args: &ServeArgs) -> ExitCode {
    process::run("minitwit", &args.process, async |telemetry, stop| {
        run(args, telemetry, stop).await
    })
}

async fn run(
    args: &ServeArgs,
    telemetry: &Telemetry,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let readiness = Readiness::default();
    let admin = bind(args.listen.listen_admin).await?;
    let admin_address = admin.local_addr()?;
    tokio::spawn(admin::serve(
        admin,
        telemetry.metrics.clone(),
        readiness.clone(),
    ));
    let suite = Suite::start(args.config(readiness)?).await?;
    print(&format!(
        "MiniTwit is up; Ctrl-C stops it.\n  pages    http://{}\n  API      http://{}\n  metrics  http://{}/metrics",
        suite.pages, suite.api, admin_address
    ));
    suite.run(stop).await
}

/// Runs a tool, which prints its own results and returns its exit code.
fn run_tool<T: Into<u8>>(tool: impl Future<Output = anyhow::Result<T>>) -> ExitCode {
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
        .and_then(|runtime| runtime.block_on(tool));
    match outcome {
        Ok(code) => ExitCode::from(code.into()),
        Err(error) => fail(&error),
    }
}

/// Exit code of a tool that succeeds or fails as a whole.
fn succeeded(outcome: anyhow::Result<()>) -> anyhow::Result<u8> {
    outcome.map(|()| 0)
}

#[expect(clippy::print_stdout, reason = "output that the user asked for")]
fn print(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "error message of a tool")]
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::from(2)
}
