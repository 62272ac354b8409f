//! Command line of `minitwit`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use chassis::{
    admin::Readiness,
    args::{ProcessArgs, secret},
    shutdown::Drain,
};
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use clap_complete::Shell;
use minitwit_client::{PerService, address::SuiteArgs};
use minitwit_deploy::DeployArgs;
use minitwit_gateway::{
    Config as GatewayConfig,
    args::{ListenArgs, PageArgs, TrustArgs},
};
use minitwit_importer::ImportArgs;
use minitwit_simulator::SimulateArgs;
use secrecy::SecretString;

use crate::{
    Config, Databases, ServiceAddresses, databases,
    flag::{FlagArgs, FlaggedArgs},
    user::UserArgs,
};

/// Text that follows the list of commands.
const AFTER_HELP: &str = "\
Examples:
  minitwit                                 serve the whole suite on this machine
  minitwit serve --help                    list the options of the suite
  minitwit import minitwit.db              import the data of the old system
  minitwit user reset-password 'Ann Lee'   give a user a new password
  minitwit flagged --suite 'tasks.{}'      list the flagged messages of a Swarm, from its network

Each option of `serve` is also an environment variable of the same name; `--log` is RUST_LOG.";

/// MiniTwit: a micro-blog as a suite of services
///
/// Without a command it serves the whole suite in this one process.
#[derive(Debug, Parser)]
#[command(
    name = "minitwit",
    version,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    after_help = AFTER_HELP
)]
pub struct Cli {
    /// Command to execute.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of the suite, if there is no command.
    #[command(flatten)]
    pub serve: ServeArgs,
}

impl Cli {
    /// Creates the command line parser. Without a command it accepts the options of `serve`, which only
    /// `minitwit serve --help` lists because there are many.
    pub fn command_line() -> clap::Command {
        Self::command().mut_args(|arg| arg.hide(true))
    }

    /// Parses the command line of this process. Ends the process if the command line is not valid.
    pub fn of_process() -> Self {
        let matches = Self::command_line().get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// Commands of `minitwit`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the whole suite in one process (the default)
    Serve(Box<ServeArgs>),
    /// Import the old system's database into a running suite
    ///
    /// Imports accounts with their passwords, messages with their times and flags, and follow relations,
    /// through the services of the suite while the suite serves. The import can be interrupted and
    /// repeated at any time, also while the old system still runs. No row is stored twice.
    ///
    /// Exit code 0: all rows are stored. Exit code 1: the report lists the rows that are not stored, with
    /// the reasons. Exit code 2: the import did not finish.
    Import(Box<ImportCommand>),
    /// Administer accounts: passwords, moderators, export, deletion
    User(UserArgs),
    /// Flag messages, which removes them from all pages and API responses at once
    Flag(FlagArgs),
    /// Remove the flags of messages, which lists the messages again
    Unflag(FlagArgs),
    /// List flagged messages, with the moderator and the time of each flag
    Flagged(FlaggedArgs),
    /// Run the course's simulator, or a crowd of users, against a running suite, and verify the result
    Simulate(Box<SimulateArgs>),
    /// Deploy a stack to a Docker Swarm, wait until it has converged, and report the result
    Deploy(Box<DeployArgs>),
    /// Check whether the suite on this machine is ready (exit code 0)
    Health {
        /// Address of the suite's metrics and health
        #[arg(long, env, default_value = "127.0.0.1:5009", value_name = "ADDRESS")]
        listen_admin: SocketAddr,
    },
    /// Print the script for completion in a shell
    ///
    /// For example: `minitwit completions bash > /etc/bash_completion.d/minitwit`
    Completions {
        /// Shell that the script is for
        shell: Shell,
    },
}

/// Options of `minitwit import`.
#[derive(Args, Clone, Debug)]
pub struct ImportCommand {
    /// Options of the import.
    #[command(flatten)]
    pub import: ImportArgs,
    /// Address of the suite.
    #[command(flatten)]
    pub suite: SuiteArgs,
}

/// Options of the suite in one process.
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// Addresses of the gateway.
    #[command(flatten)]
    pub listen: ListenArgs,
    /// Address of the user service's gRPC interface
    #[arg(long, env, default_value = "127.0.0.1:5011", value_name = "ADDRESS")]
    pub listen_user: SocketAddr,
    /// Address of the follower service's gRPC interface
    #[arg(long, env, default_value = "127.0.0.1:5012", value_name = "ADDRESS")]
    pub listen_follower: SocketAddr,
    /// Address of the message service's gRPC interface
    #[arg(long, env, default_value = "127.0.0.1:5013", value_name = "ADDRESS")]
    pub listen_message: SocketAddr,
    /// Folder of the SQLite files
    #[arg(
        long,
        env,
        default_value = "data",
        value_name = "FOLDER",
        help_heading = "Databases"
    )]
    pub data_dir: PathBuf,
    /// Databases of the services.
    #[command(flatten)]
    pub databases: DatabaseUrlArgs,
    /// Answer gRPC reflection, for tools such as grpcurl
    #[arg(long, env)]
    pub reflection: bool,
    /// Credentials, trusted proxies and limits of the gateway.
    #[command(flatten)]
    pub trust: TrustArgs,
    /// Options of the pages.
    #[command(flatten)]
    pub pages: PageArgs,
    /// Options of the process.
    #[command(flatten)]
    pub process: ProcessArgs,
}

/// Databases that replace the SQLite files in the data folder.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Databases")]
pub struct DatabaseUrlArgs {
    /// URL of the user service's database [default: user.db in the data folder]
    #[arg(long, env, hide_env_values = true, value_name = "URL")]
    pub user_database_url: Option<SecretString>,
    /// File that contains this URL
    #[arg(long, env, value_name = "FILE")]
    pub user_database_url_file: Option<PathBuf>,
    /// URL of the follower service's database [default: follower.db in the data folder]
    #[arg(long, env, hide_env_values = true, value_name = "URL")]
    pub follower_database_url: Option<SecretString>,
    /// File that contains this URL
    #[arg(long, env, value_name = "FILE")]
    pub follower_database_url_file: Option<PathBuf>,
    /// URL of the message service's database [default: message.db in the data folder]
    #[arg(long, env, hide_env_values = true, value_name = "URL")]
    pub message_database_url: Option<SecretString>,
    /// File that contains this URL
    #[arg(long, env, value_name = "FILE")]
    pub message_database_url_file: Option<PathBuf>,
}

impl ServeArgs {
    /// Creates the configuration of the suite.
    ///
    /// # Errors
    ///
    /// A secret is given twice or cannot be read, or the data folder cannot be created.
    pub fn config(&self, readiness: Readiness) -> anyhow::Result<Config> {
        Ok(Config {
            listen_pages: self.listen.listen_pages,
            listen_api: self.listen.listen_api,
            listen_services: ServiceAddresses {
                user: self.listen_user,
                follower: self.listen_follower,
                message: self.listen_message,
            },
            databases: self.databases()?,
            gateway: GatewayConfig {
                credentials: self.trust.credentials()?,
                trusted_proxies: self.trust.trusted_proxies.clone(),
                pages: self.pages.options()?,
                prometheus: self.pages.prometheus_url.clone(),
                api_budget: Duration::from_millis(self.trust.api_budget_ms),
                requests_max: self.trust.requests_max,
                drain: Drain::AT_ONCE,
                readiness,
            },
            rendered_bytes_max: self.trust.rendered_bytes_max,
            reflection: self.reflection,
        })
    }

    fn databases(&self) -> anyhow::Result<Databases> {
        let urls = &self.databases;
        let urls = PerService {
            user: secret(
                "USER_DATABASE_URL",
                urls.user_database_url.as_ref(),
                urls.user_database_url_file.as_ref(),
            )?,
            follower: secret(
                "FOLLOWER_DATABASE_URL",
                urls.follower_database_url.as_ref(),
                urls.follower_database_url_file.as_ref(),
            )?,
            message: secret(
                "MESSAGE_DATABASE_URL",
                urls.message_database_url.as_ref(),
                urls.message_database_url_file.as_ref(),
            )?,
        };
        if let PerService {
            user: Some(user),
            follower: Some(follower),
            message: Some(message),
        } = urls.clone()
        {
            return Ok(PerService {
                user,
                follower,
                message,
            });
        }
        let files = databases::in_folder(&self.data_dir)?;
        Ok(urls.zip(files).map(|(url, file)| url.unwrap_or(file)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_lists_the_commands_without_the_options_of_serve() {
        let mut command = Cli::command_line();
        command.clone().debug_assert();
        let help = command.render_long_help().to_string();
        for name in ["serve", "import", "user", "flagged", "simulate", "deploy"] {
            assert!(help.contains(&format!("\n  {name} ")), "{help}");
        }
        assert!(!help.contains("--listen-user"), "{help}");
    }

    #[test]
    fn serving_needs_no_command_and_the_suite_option_may_stand_anywhere() {
        let read = |words: &[&str]| {
            let matches = Cli::command_line().try_get_matches_from(words).unwrap();
            Cli::from_arg_matches(&matches).unwrap()
        };
        let serve = read(&["minitwit", "--listen-api", "127.0.0.1:7001"]);
        assert!(serve.command.is_none());
        assert_eq!(serve.serve.listen.listen_api.port(), 7001);

        for words in [
            ["minitwit", "user", "--suite", "a:1", "export", "alice"],
            ["minitwit", "user", "export", "alice", "--suite", "a:1"],
        ] {
            let Some(Command::User(args)) = read(&words).command else {
                panic!("not the command `user`");
            };
            assert_eq!(args.suite.suite.to_string(), "a:1,a:2,a:3");
        }
    }
}
