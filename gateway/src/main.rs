//! Process of the gateway, one per task of the Swarm.

use std::{process::ExitCode, time::Duration};

use chassis::{
    admin::{self, Readiness},
    args::{DrainArgs, ProcessArgs},
    process::{self, bind},
    telemetry::Telemetry,
};
use clap::{Parser, Subcommand};
use minitwit_gateway::{
    Config, Listeners,
    args::{ListenArgs, PageArgs, ServiceAddressArgs, TrustArgs},
    backend::Backend,
    serve,
};
use tokio_util::sync::CancellationToken;

/// Allocator of the process. A request makes many small, short-lived allocations, and the C library's
/// allocator took an eighth of the gateway's CPU time under load.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The gateway of MiniTwit, which serves the simulator's API and the pages
#[derive(Parser)]
#[command(name = "minitwit-gateway", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    listen: ListenArgs,
    #[command(flatten)]
    services: ServiceAddressArgs,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    pages: PageArgs,
    #[command(flatten)]
    drain: DrainArgs,
    #[command(flatten)]
    process: ProcessArgs,
}

#[derive(Clone, Copy, Default, Subcommand)]
enum Command {
    /// Serve until SIGTERM (the default)
    #[default]
    Serve,
    /// Check whether the gateway on this machine is ready (exit code 0)
    Health,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command.unwrap_or_default() {
        Command::Serve => process::run("gateway", &cli.process, async |telemetry, stop| {
            run(&cli, telemetry, stop).await
        }),
        Command::Health => process::probe(cli.listen.listen_admin),
    }
}

async fn run(cli: &Cli, telemetry: &Telemetry, stop: CancellationToken) -> anyhow::Result<()> {
    let listeners = Listeners {
        pages: bind(cli.listen.listen_pages).await?,
        api: bind(cli.listen.listen_api).await?,
    };
    let readiness = Readiness::default();
    let admin = bind(cli.listen.listen_admin).await?;
    tokio::spawn(admin::serve(
        admin,
        telemetry.metrics.clone(),
        readiness.clone(),
    ));
    tracing::info!(
        pages = %cli.listen.listen_pages, api = %cli.listen.listen_api,
        admin = %cli.listen.listen_admin, "listening"
    );
    let config = Config {
        credentials: cli.trust.credentials()?,
        trusted_proxies: cli.trust.trusted_proxies.clone(),
        pages: cli.pages.options()?,
        prometheus: cli.pages.prometheus_url.clone(),
        api_budget: Duration::from_millis(cli.trust.api_budget_ms),
        requests_max: cli.trust.requests_max,
        drain: cli.drain.into(),
        readiness,
    };
    let backend = Backend::new(cli.services.pools(), cli.trust.rendered_bytes_max);
    serve(config, backend, listeners, stop).await
}
