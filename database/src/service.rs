//! A service that owns a database, as a process.

use std::{process::ExitCode, time::Duration};

use chassis::{
    admin::{self, Readiness},
    grpc::ServerOptions,
    process::{bind, probe, run},
    shutdown::Drain,
    telemetry::Telemetry,
};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use futures_util::future::BoxFuture;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    args::ServiceArgs,
    db::{self, Db, Migrations, STATEMENT_TIMEOUT},
};

/// What a service is told when it starts, by its own process or by the suite.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    /// The database that it owns.
    pub database_url: SecretString,
    /// How long one statement may take.
    pub statement_timeout: Duration,
    /// Whether it answers gRPC reflection.
    pub reflection: bool,
    /// How it stops.
    pub drain: Drain,
    /// Where it says that it is ready.
    pub readiness: Readiness,
}

impl ServiceConfig {
    /// The service's database, once it is there with a schema new enough; `None` when the service
    /// was told to stop before that.
    ///
    /// # Errors
    ///
    /// The URL is not valid.
    pub async fn database(
        &self,
        migrations: &Migrations,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Option<Db>> {
        let db = Db::open(&self.database_url, self.statement_timeout)?;
        tokio::spawn(
            shutdown
                .clone()
                .run_until_cancelled_owned(db::watch(db.clone())),
        );
        tokio::select! {
            () = db.ready(migrations) => Ok(Some(db)),
            () = shutdown.cancelled() => Ok(None),
        }
    }

    /// Options of a server for the services called `names`, which `descriptors` describe.
    pub fn server_options(
        &self,
        names: Vec<&'static str>,
        descriptors: &'static [u8],
    ) -> ServerOptions {
        ServerOptions {
            names,
            reflection: self.reflection.then_some(descriptors),
            drain: self.drain,
            readiness: self.readiness.clone(),
        }
    }
}

/// A service's `serve` function: serves on the listener until the token is cancelled, then drains.
pub type Serve =
    fn(ServiceConfig, TcpListener, CancellationToken) -> BoxFuture<'static, anyhow::Result<()>>;

/// What a service's process is called and where it listens unless told otherwise.
#[derive(Debug)]
pub struct ServiceProcess {
    /// `user`, `follower` or `message`.
    pub name: &'static str,
    /// The name of the program.
    pub binary: &'static str,
    /// One sentence for `--help`.
    pub about: &'static str,
    /// The default of `LISTEN`.
    pub listen: &'static str,
    /// The default of `LISTEN_ADMIN`.
    pub listen_admin: &'static str,
    /// The schema of its database.
    pub migrations: fn() -> Migrations,
}

#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = false)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    args: ServiceArgs,
}

#[derive(Clone, Copy, Default, Subcommand)]
enum Command {
    /// Serve until SIGTERM (the default)
    #[default]
    Serve,
    /// Bring the database's schema up to date, and end
    Migrate,
    /// Ask the process that runs here whether it is ready: exit code 0 when it is
    Health,
}

impl ServiceProcess {
    /// Runs the process: parses the options, sets up telemetry, and does what it is told.
    pub fn run(&self, serve: Serve) -> ExitCode {
        let cli = Cli::from_arg_matches(&self.command().get_matches())
            .unwrap_or_else(|error| error.exit());
        let args = cli.args;
        match cli.command.unwrap_or_default() {
            Command::Serve => run(self.name, &args.process, async |telemetry, stop| {
                self.serve(&args, telemetry, stop, serve).await
            }),
            Command::Migrate => run(self.name, &args.process, async |_, _| {
                let db = Db::open(&args.database.url()?, STATEMENT_TIMEOUT)?;
                db.migrate(&(self.migrations)()).await?;
                tracing::info!("the database's schema is up to date");
                Ok(())
            }),
            Command::Health => probe(args.listen_admin),
        }
    }

    /// The command line, with this service's own defaults.
    fn command(&self) -> clap::Command {
        // An option without a default of its own type is required until it is told otherwise.
        let default = |arg: clap::Arg, address| arg.required(false).default_value(address);
        Cli::command()
            .name(self.binary)
            .about(self.about)
            .mut_arg("listen", |arg| default(arg, self.listen))
            .mut_arg("listen_admin", |arg| default(arg, self.listen_admin))
    }

    async fn serve(
        &self,
        args: &ServiceArgs,
        telemetry: &Telemetry,
        stop: CancellationToken,
        serve: Serve,
    ) -> anyhow::Result<()> {
        let listener = bind(args.listen).await?;
        let admin = bind(args.listen_admin).await?;
        let readiness = Readiness::default();
        tracing::info!(address = %args.listen, admin = %args.listen_admin, "listening");
        tokio::spawn(admin::serve(
            admin,
            telemetry.metrics.clone(),
            readiness.clone(),
        ));
        let config = ServiceConfig {
            database_url: args.database.url()?,
            statement_timeout: Duration::from_millis(args.database.statement_timeout_ms),
            reflection: args.reflection,
            drain: args.drain.into(),
            readiness,
        };
        serve(config, listener, stop).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: ServiceProcess = ServiceProcess {
        name: "test",
        binary: "minitwit-test",
        about: "A service that is never run",
        listen: "127.0.0.1:1",
        listen_admin: "127.0.0.1:2",
        migrations: || unreachable!("it is never run"),
    };

    #[test]
    fn a_service_knows_where_it_listens() {
        let matches = SERVICE
            .command()
            .try_get_matches_from(["minitwit-test", "migrate"])
            .unwrap();
        let cli = Cli::from_arg_matches(&matches).unwrap();

        assert_eq!(cli.args.listen.to_string(), SERVICE.listen);
        assert_eq!(cli.args.listen_admin.to_string(), SERVICE.listen_admin);
    }
}
