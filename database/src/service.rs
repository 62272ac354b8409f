//! The process of a service that owns a database.

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

/// Configuration of a service, set by its own process or by the single-process suite.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    /// URL of the service's database.
    pub database_url: SecretString,
    /// Time after which PostgreSQL cancels a statement.
    pub statement_timeout: Duration,
    /// Whether the service answers gRPC reflection.
    pub reflection: bool,
    /// Times of the graceful shutdown.
    pub drain: Drain,
    /// The readiness that the service updates.
    pub readiness: Readiness,
}

impl ServiceConfig {
    /// Opens the service's database, and waits until it can be reached and its schema is new enough.
    /// Returns `None` when `shutdown` is cancelled before that.
    ///
    /// # Errors
    ///
    /// The URL is not valid.
    ///
    /// The future is boxed, so that sqlx is not compiled again in each service.
    pub fn database<'a>(
        &'a self,
        migrations: &'a Migrations,
        shutdown: &'a CancellationToken,
    ) -> BoxFuture<'a, anyhow::Result<Option<Db>>> {
        Box::pin(self.open_database(migrations, shutdown))
    }

    async fn open_database(
        &self,
        migrations: &Migrations,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Option<Db>> {
        let db = Db::open(&self.database_url, self.statement_timeout)?;
        tokio::spawn(
            shutdown
                .clone()
                .run_until_cancelled_owned(db::update_metrics(db.clone())),
        );
        tokio::select! {
            () = db.wait_until_ready(migrations) => Ok(Some(db)),
            () = shutdown.cancelled() => Ok(None),
        }
    }

    /// Options of a gRPC server. `names` are the full names of its services, and `descriptors` is their
    /// encoded file descriptor set.
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

/// A service's `serve` function. The service serves on the listener until the token is cancelled, then
/// drains.
pub type Serve =
    fn(ServiceConfig, TcpListener, CancellationToken) -> BoxFuture<'static, anyhow::Result<()>>;

/// Names and defaults of a service's process.
#[derive(Debug)]
pub struct ServiceProcess {
    /// Name of the service: `user`, `follower` or `message`.
    pub name: &'static str,
    /// Name of the program.
    pub binary: &'static str,
    /// Description in the output of `--help`.
    pub about: &'static str,
    /// Default address of the gRPC interface.
    pub listen: &'static str,
    /// Default address of metrics and health checks.
    pub listen_admin: &'static str,
    /// Migrations of the service's database.
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
    /// Migrate the schema of the database, and exit
    Migrate,
    /// Check whether the process on this machine is ready, and exit with code 0 if so
    Health,
}

impl ServiceProcess {
    /// Runs the process. Parses the command line, sets up telemetry, and executes the command.
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
                tracing::info!("the schema of the database is up to date");
                Ok(())
            }),
            Command::Health => probe(args.listen_admin),
        }
    }

    /// The command line, with the defaults of this service.
    fn command(&self) -> clap::Command {
        // clap requires an option that has no default in its declaration.
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
        migrations: || unreachable!("the service is never run"),
    };

    #[test]
    fn each_service_has_default_addresses() {
        let matches = SERVICE
            .command()
            .try_get_matches_from(["minitwit-test", "migrate"])
            .unwrap();
        let cli = Cli::from_arg_matches(&matches).unwrap();

        assert_eq!(cli.args.listen.to_string(), SERVICE.listen);
        assert_eq!(cli.args.listen_admin.to_string(), SERVICE.listen_admin);
    }
}
