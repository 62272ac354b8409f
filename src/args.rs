//! The command line of `minitwit`.

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
    Config, Databases, ServiceListen, databases,
    flag::{FlagArgs, FlaggedArgs},
    user::UserArgs,
};

/// What stands below the commands.
const AFTER_HELP: &str = "\
Examples:
  minitwit                                 serve it all on this machine
  minitwit serve --help                    what it can be told when it serves
  minitwit import minitwit.db              move the old system's data into it
  minitwit user reset-password 'Ann Lee'   help somebody who forgot the password
  minitwit flagged --suite 'tasks.{}'      look into a Swarm, from within its networks

Each option of `serve` is an environment variable of the same name, too; `--log` is RUST_LOG.";

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
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The suite's options, when it is to be served.
    #[command(flatten)]
    pub serve: ServeArgs,
}

impl Cli {
    /// The command line. The options of serving are taken without a command, too, but told by
    /// `minitwit serve --help` alone: there are many.
    pub fn command_line() -> clap::Command {
        Self::command().mut_args(|arg| arg.hide(true))
    }

    /// Reads the command line of this process; ends it when that cannot be understood.
    pub fn of_process() -> Self {
        let matches = Self::command_line().get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// What `minitwit` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the whole suite in this one process (the default)
    Serve(Box<ServeArgs>),
    /// Bring the old system's database over into a running suite
    ///
    /// Accounts with their passwords, messages with their times and flags, and who follows whom go
    /// through the services of the suite, while it serves. It may be stopped and started again at any
    /// time, and repeated while the old system still runs: nothing is doubled.
    ///
    /// Exit code 0: everything is there; 1: some rows are not, and the report says which and why; 2: it
    /// did not come to its end.
    Import(Box<ImportCommand>),
    /// Look after people's accounts: passwords, moderators, export, deletion
    User(UserArgs),
    /// Flag messages: they are gone from every page and answer with the next request
    Flag(FlagArgs),
    /// Take flags back: the messages are listed again
    Unflag(FlagArgs),
    /// List flagged messages, with who flagged them and when
    Flagged(FlaggedArgs),
    /// Send the course's simulator, or a crowd, at a running suite, and verify what it did
    Simulate(Box<SimulateArgs>),
    /// Bring a stack to a Docker Swarm, follow it until it has converged, and say what became of it
    Deploy(Box<DeployArgs>),
    /// Ask the suite that runs here whether it is ready: exit code 0 when it is
    Health {
        /// Where its metrics and health listen
        #[arg(long, env, default_value = "127.0.0.1:5009", value_name = "ADDRESS")]
        listen_admin: SocketAddr,
    },
    /// Print what makes a shell complete these commands and options
    ///
    /// For example: `minitwit completions bash > /etc/bash_completion.d/minitwit`
    Completions {
        /// Which shell
        shell: Shell,
    },
}

/// What is to be brought over, and where to.
#[derive(Args, Clone, Debug)]
pub struct ImportCommand {
    /// What, and how.
    #[command(flatten)]
    pub import: ImportArgs,
    /// Which suite.
    #[command(flatten)]
    pub suite: SuiteArgs,
}

/// The options of the suite in one process.
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// Where it listens.
    #[command(flatten)]
    pub listen: ListenArgs,
    /// Where the user service's gRPC interface listens
    #[arg(long, env, default_value = "127.0.0.1:5011", value_name = "ADDRESS")]
    pub listen_user: SocketAddr,
    /// Where the follower service's gRPC interface listens
    #[arg(long, env, default_value = "127.0.0.1:5012", value_name = "ADDRESS")]
    pub listen_follower: SocketAddr,
    /// Where the message service's gRPC interface listens
    #[arg(long, env, default_value = "127.0.0.1:5013", value_name = "ADDRESS")]
    pub listen_message: SocketAddr,
    /// The folder of the SQLite files
    #[arg(
        long,
        env,
        default_value = "data",
        value_name = "FOLDER",
        help_heading = "Databases"
    )]
    pub data_dir: PathBuf,
    /// Its databases.
    #[command(flatten)]
    pub databases: DatabaseUrlArgs,
    /// Answer gRPC reflection, for tools such as grpcurl
    #[arg(long, env)]
    pub reflection: bool,
    /// Whom it believes.
    #[command(flatten)]
    pub trust: TrustArgs,
    /// How its pages behave.
    #[command(flatten)]
    pub pages: PageArgs,
    /// How its process runs.
    #[command(flatten)]
    pub process: ProcessArgs,
}

/// Databases other than SQLite files in the data folder.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Databases")]
pub struct DatabaseUrlArgs {
    /// The user service's database [default: user.db in the data folder]
    #[arg(long, env, hide_env_values = true, value_name = "URL")]
    pub user_database_url: Option<SecretString>,
    /// A file that holds that URL
    #[arg(long, env, value_name = "FILE")]
    pub user_database_url_file: Option<PathBuf>,
    /// The follower service's database [default: follower.db in the data folder]
    #[arg(long, env, hide_env_values = true, value_name = "URL")]
    pub follower_database_url: Option<SecretString>,
    /// A file that holds that URL
    #[arg(long, env, value_name = "FILE")]
    pub follower_database_url_file: Option<PathBuf>,
    /// The message service's database [default: message.db in the data folder]
    #[arg(long, env, hide_env_values = true, value_name = "URL")]
    pub message_database_url: Option<SecretString>,
    /// A file that holds that URL
    #[arg(long, env, value_name = "FILE")]
    pub message_database_url_file: Option<PathBuf>,
}

impl ServeArgs {
    /// The suite's configuration.
    ///
    /// # Errors
    ///
    /// A secret is given twice or cannot be read, or the data folder cannot be made.
    pub fn config(&self, readiness: Readiness) -> anyhow::Result<Config> {
        Ok(Config {
            listen_pages: self.listen.listen_pages,
            listen_api: self.listen.listen_api,
            listen_services: ServiceListen {
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
    fn help_tells_of_the_commands_and_leaves_the_rest_to_them() {
        let mut command = Cli::command_line();
        command.clone().debug_assert();
        let help = command.render_long_help().to_string();
        for name in ["serve", "import", "user", "flagged", "simulate", "deploy"] {
            assert!(help.contains(&format!("\n  {name} ")), "{help}");
        }
        assert!(!help.contains("--listen-user"), "{help}");
    }

    #[test]
    fn serving_needs_no_command_and_a_suite_may_be_named_anywhere() {
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
                panic!("it is a command for people's accounts");
            };
            assert_eq!(args.suite.suite.to_string(), "a:1,a:2,a:3");
        }
    }
}
