//! `minitwit user`: looking after people's accounts.

use std::{
    io::{IsTerminal as _, Write as _},
    time::Duration,
};

use anyhow::{Context as _, bail};
use chassis::{deadline::Deadline, per_item, pool::Pool};
use clap::{Args, Subcommand};
use minitwit_gateway::backend::deletions::Deletion;
use minitwit_proto::user::v1::{
    LookupUsersRequest, ModeratorUpdate, PasswordReset, ResetPasswordsRequest,
    SetModeratorsRequest, UserRef, lookup_user_result,
    operator_service_client::OperatorServiceClient, reset_password_result, set_moderator_result,
    user_ref::Ref, user_service_client::UserServiceClient,
};
use tonic::{Response, Status};
use uuid::Uuid;

use crate::address::SuiteArgs;

mod export;

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long deleting what an account wrote is waited for.
const DELETION_PATIENCE: Duration = Duration::from_mins(5);

/// Letters and digits that nobody takes for one another.
const ALPHABET: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";

/// How long a one-time password is: 99 bits.
const PASSWORD_CHARS: usize = 20;

/// Whom, and where.
#[derive(Args, Clone, Debug)]
pub struct UserArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: UserCommand,
    /// Which suite.
    #[command(flatten)]
    pub suite: SuiteArgs,
}

/// What can be done for people.
#[derive(Clone, Debug, Subcommand)]
pub enum UserCommand {
    /// Give an account a new password, good for one sign-in, and print it
    ResetPassword {
        /// The account's name
        name: String,
    },
    /// Print everything that is kept of an account, as JSON
    Export {
        /// The account's name
        name: String,
    },
    /// Delete an account and everything it wrote; the name stays taken
    Delete {
        /// The account's name
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Let an account flag messages on the pages
    Moderator {
        /// The account's name
        name: String,
        /// Let it no longer
        #[arg(long)]
        remove: bool,
    },
}

/// Does what the command line says.
///
/// # Errors
///
/// A service cannot be reached, or there is no account of the name.
pub async fn run(args: &UserArgs, tell: impl Fn(&str)) -> anyhow::Result<()> {
    match &args.command {
        UserCommand::ResetPassword { name } => {
            tell(&reset_password(args, name).await?);
            Ok(())
        }
        UserCommand::Export { name } => {
            let export = export::of(&args.suite.suite, name).await?;
            tell(&serde_json::to_string_pretty(&export)?);
            Ok(())
        }
        UserCommand::Delete { name, yes } => delete(args, name, *yes, tell).await,
        UserCommand::Moderator { name, remove } => {
            set_moderator(args, name, !remove).await?;
            let now = if *remove { "no longer" } else { "now" };
            tell(&format!("{name} is {now} a moderator"));
            Ok(())
        }
    }
}

fn operators(pool: Pool) -> OperatorServiceClient<Pool> {
    OperatorServiceClient::new(pool).max_decoding_message_size(chassis::grpc::MESSAGE_BYTES_MAX)
}

async fn reset_password(args: &UserArgs, name: &str) -> anyhow::Result<String> {
    use reset_password_result::Outcome;
    let address = &args.suite.suite;
    let password = one_time_password();
    let reset = PasswordReset {
        username: name.to_owned(),
        one_time_password: password.clone(),
    };
    let request = ResetPasswordsRequest {
        resets: vec![reset],
    };
    let mut client = operators(address.pools().user);
    let response = client.reset_passwords(Deadline::after(PATIENCE).request(request));
    let response = answered(response.await, &address.user)?;
    match per_item::only(response.results, |result| result.outcome) {
        Some(Outcome::User(_)) => Ok(password),
        Some(Outcome::Error(error)) => Err(refused(name, error)),
        None => bail!("the user service did not answer for {name:?}"),
    }
}

fn one_time_password() -> String {
    let character = |_| char::from(ALPHABET[rand::random_range(0..ALPHABET.len())]);
    (0..PASSWORD_CHARS).map(character).collect()
}

async fn set_moderator(args: &UserArgs, name: &str, moderator: bool) -> anyhow::Result<()> {
    use set_moderator_result::Outcome;
    let address = &args.suite.suite;
    let update = ModeratorUpdate {
        username: name.to_owned(),
        moderator,
    };
    let request = SetModeratorsRequest {
        updates: vec![update],
    };
    let mut client = operators(address.pools().user);
    let response = client.set_moderators(Deadline::after(PATIENCE).request(request));
    let response = answered(response.await, &address.user)?;
    match per_item::only(response.results, |result| result.outcome) {
        Some(Outcome::User(_)) => Ok(()),
        Some(Outcome::Error(error)) => Err(refused(name, error)),
        None => bail!("the user service did not answer for {name:?}"),
    }
}

async fn delete(args: &UserArgs, name: &str, yes: bool, tell: impl Fn(&str)) -> anyhow::Result<()> {
    let address = &args.suite.suite;
    let pools = address.pools();
    let id = id_of(pools.user.clone(), name, &address.user).await?;
    if !yes {
        confirm(name)?;
    }
    let deletion = Deletion::new(&pools);
    let deleted = deletion.delete(id, None, Deadline::after(PATIENCE)).await;
    let lease = answered(deleted.map(Response::new), &address.user)?;
    tell(&format!("{name} is deleted"));
    match deletion
        .carry_out(&lease, Deadline::after(DELETION_PATIENCE))
        .await
    {
        Ok(()) => tell("what it wrote is gone"),
        Err(status) => tell(&format!(
            "what it wrote goes as soon as the services are back: {}",
            status.message()
        )),
    }
    Ok(())
}

#[expect(clippy::print_stderr, reason = "a question at a terminal")]
fn confirm(name: &str) -> anyhow::Result<()> {
    if !std::io::stdin().is_terminal() {
        bail!("deleting {name:?} cannot be undone: say --yes if that is what you want");
    }
    eprint!("This deletes {name} and everything it wrote, for good. Type the name to go on: ");
    std::io::stderr().flush()?;
    let mut typed = String::new();
    std::io::stdin().read_line(&mut typed)?;
    if typed.trim_end_matches(['\r', '\n']) != name {
        bail!("that is not the name: nothing was deleted");
    }
    Ok(())
}

/// The id of an account.
async fn id_of(pool: Pool, name: &str, address: &str) -> anyhow::Result<Uuid> {
    use lookup_user_result::Outcome;
    let user = UserRef {
        r#ref: Some(Ref::Username(name.to_owned())),
    };
    let request = LookupUsersRequest { users: vec![user] };
    let mut client = UserServiceClient::new(pool);
    let response = client.lookup_users(Deadline::after(PATIENCE).request(request));
    let response = answered(response.await, address)?;
    match per_item::only(response.results, |result| result.outcome) {
        Some(Outcome::User(user)) => Ok(per_item::id("id", &user.id)?),
        Some(Outcome::Error(error)) => Err(refused(name, error)),
        None => bail!("the user service did not answer for {name:?}"),
    }
}

fn answered<T>(response: Result<Response<T>, Status>, address: &str) -> anyhow::Result<T> {
    let response = response.map_err(|status| anyhow::anyhow!("{}", status.message()));
    let response = response.with_context(|| format!("asking the user service at {address}"))?;
    Ok(response.into_inner())
}

fn refused(name: &str, error: minitwit_proto::common::v1::ItemError) -> anyhow::Error {
    anyhow::anyhow!("{name:?}: {}", per_item::status(error).message())
}
