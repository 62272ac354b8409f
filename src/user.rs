//! `minitwit user`, the administration of accounts.

use std::{
    io::{IsTerminal as _, Write as _},
    time::Duration,
};

use anyhow::{Context as _, bail};
use chassis::{deadline::Deadline, pool::Pool};
use clap::{Args, Subcommand};
use futures_util::future::LocalBoxFuture;
use minitwit_client::{
    accounts::{AccountRef, Accounts},
    address::{SuiteAddress, SuiteArgs},
    deletion::Deletion,
    outcome::single,
};
use minitwit_proto::user::v1::{
    ModeratorUpdate, PasswordReset, ResetPasswordsRequest, SetModeratorsRequest,
    operator_service_client::OperatorServiceClient,
};
use tonic::{Code, Status};

mod export;

/// Timeout of one call.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Timeout of the deletion of an account's messages and follows.
const DELETION_TIMEOUT: Duration = Duration::from_mins(5);

/// Characters of one-time passwords: letters and digits that cannot be mistaken for each other.
const PASSWORD_ALPHABET: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";

/// Length of a one-time password, in characters. The password has 99 bits of entropy.
const PASSWORD_CHARS: usize = 20;

/// Command for an account, and the suite.
#[derive(Args, Clone, Debug)]
pub struct UserArgs {
    /// Command to execute.
    #[command(subcommand)]
    pub command: UserCommand,
    /// Address of the suite.
    #[command(flatten)]
    pub suite: SuiteArgs,
}

/// Commands of `minitwit user`.
#[derive(Clone, Debug, Subcommand)]
pub enum UserCommand {
    /// Replace the password of an account by a password for a single sign-in, and print it
    ResetPassword {
        /// Name of the account
        name: String,
    },
    /// Print all stored data of an account as JSON
    Export {
        /// Name of the account
        name: String,
    },
    /// Delete an account, its messages and its follows; the name stays reserved
    Delete {
        /// Name of the account
        name: String,
        /// Delete without asking for confirmation
        #[arg(long)]
        yes: bool,
    },
    /// Allow an account to flag messages on the pages
    Moderator {
        /// Name of the account
        name: String,
        /// Withdraw the permission
        #[arg(long)]
        remove: bool,
    },
}

/// Executes the command.
///
/// # Errors
///
/// A service is unavailable, or there is no account with the name.
///
/// The future is boxed, so that its code is compiled in this crate and not again in the program.
pub fn run<'a>(
    args: &'a UserArgs,
    print: &'a dyn Fn(&str),
) -> LocalBoxFuture<'a, anyhow::Result<()>> {
    Box::pin(execute(args, print))
}

async fn execute(args: &UserArgs, print: &dyn Fn(&str)) -> anyhow::Result<()> {
    let address = &args.suite.suite;
    match &args.command {
        UserCommand::ResetPassword { name } => {
            print(&reset_password(address, name).await?);
            Ok(())
        }
        UserCommand::Export { name } => {
            let export = export::export(address, name).await?;
            print(&serde_json::to_string_pretty(&export)?);
            Ok(())
        }
        UserCommand::Delete { name, yes } => delete(address, name, *yes, print).await,
        UserCommand::Moderator { name, remove } => {
            set_moderator(address, name, !remove).await?;
            let now = if *remove { "no longer" } else { "now" };
            print(&format!("{name} is {now} a moderator"));
            Ok(())
        }
    }
}

fn operators(pool: Pool) -> OperatorServiceClient<Pool> {
    OperatorServiceClient::new(pool).max_decoding_message_size(chassis::grpc::MESSAGE_BYTES_MAX)
}

async fn reset_password(address: &SuiteAddress, name: &str) -> anyhow::Result<String> {
    let password = one_time_password();
    let reset = PasswordReset {
        username: name.to_owned(),
        one_time_password: password.clone(),
    };
    let request = ResetPasswordsRequest {
        resets: vec![reset],
    };
    let mut client = operators(address.pools().user);
    let response = client
        .reset_passwords(Deadline::after(CALL_TIMEOUT).request(request))
        .await
        .map_err(|status| call_failed(&status, address))?;
    single(response.into_inner().results).map_err(|status| refused(name, &status))?;
    Ok(password)
}

fn one_time_password() -> String {
    let character =
        |_| char::from(PASSWORD_ALPHABET[rand::random_range(0..PASSWORD_ALPHABET.len())]);
    (0..PASSWORD_CHARS).map(character).collect()
}

async fn set_moderator(address: &SuiteAddress, name: &str, moderator: bool) -> anyhow::Result<()> {
    let update = ModeratorUpdate {
        username: name.to_owned(),
        moderator,
    };
    let request = SetModeratorsRequest {
        updates: vec![update],
    };
    let mut client = operators(address.pools().user);
    let response = client
        .set_moderators(Deadline::after(CALL_TIMEOUT).request(request))
        .await
        .map_err(|status| call_failed(&status, address))?;
    single(response.into_inner().results).map_err(|status| refused(name, &status))?;
    Ok(())
}

async fn delete(
    address: &SuiteAddress,
    name: &str,
    yes: bool,
    print: &dyn Fn(&str),
) -> anyhow::Result<()> {
    let pools = address.pools();
    let account = Accounts::new(pools.user.clone())
        .fetch(
            AccountRef::Name(name.to_owned()),
            Deadline::after(CALL_TIMEOUT),
        )
        .await
        .map_err(|status| call_failed(&status, address))?;
    let account = account.with_context(|| format!("{name:?}: no such user"))?;
    if !yes {
        confirm(name)?;
    }
    let deletion = Deletion::new(&pools);
    let lease = deletion
        .delete(account.id, None, Deadline::after(CALL_TIMEOUT))
        .await
        .map_err(|status| match status.code() {
            Code::NotFound => refused(name, &status),
            _ => call_failed(&status, address),
        })?;
    print(&format!("{name} is deleted"));
    match deletion
        .execute(&lease, Deadline::after(DELETION_TIMEOUT))
        .await
    {
        Ok(()) => print("what it wrote is gone"),
        Err(status) => print(&format!(
            "its messages and follows are not deleted yet, a gateway deletes them when all services \
             are available: {}",
            status.message()
        )),
    }
    Ok(())
}

#[expect(clippy::print_stderr, reason = "a question at a terminal")]
fn confirm(name: &str) -> anyhow::Result<()> {
    if !std::io::stdin().is_terminal() {
        bail!("deleting {name:?} cannot be undone: confirm with --yes");
    }
    eprint!(
        "This deletes {name}, its messages and its follows. It cannot be undone. Type the name to \
         continue: "
    );
    std::io::stderr().flush()?;
    let mut typed = String::new();
    std::io::stdin().read_line(&mut typed)?;
    if typed.trim_end_matches(['\r', '\n']) != name {
        bail!("the typed name is not {name:?}: nothing was deleted");
    }
    Ok(())
}

/// Error of a call that failed as a whole.
fn call_failed(status: &Status, address: &SuiteAddress) -> anyhow::Error {
    anyhow::anyhow!("{}", status.message())
        .context(format!("asking the user service at {}", address.user))
}

/// Error of a call that the user service refused for an account.
fn refused(name: &str, status: &Status) -> anyhow::Error {
    anyhow::anyhow!("{name:?}: {}", status.message())
}
