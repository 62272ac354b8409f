//! `minitwit flag`, `unflag` and `flagged`, the tools of moderators.

use std::time::Duration;

use anyhow::{Context as _, bail};
use chassis::{
    deadline::Deadline,
    per_item::{self, WriteOutcome},
    stamp::Clock,
};
use clap::Args;
use futures_util::future::LocalBoxFuture;
use minitwit_client::{
    accounts::Accounts,
    address::SuiteArgs,
    flags::{FlaggedMessage, Flags, Moderator},
    outcome::incomplete,
};
use minitwit_proto::message::v1::FlagUpdate;
use uuid::Uuid;

use crate::names::rfc3339;

/// Messages to flag or unflag, and the suite.
#[derive(Args, Clone, Debug)]
pub struct FlagArgs {
    /// Ids of the messages, as in their permalinks
    #[arg(required = true, value_name = "ID")]
    pub ids: Vec<Uuid>,
    /// Name of the moderator in the list of flagged messages
    #[arg(long, env = "USER", default_value = "operator", value_name = "NAME")]
    pub moderator: String,
    /// Address of the suite.
    #[command(flatten)]
    pub suite: SuiteArgs,
}

/// Selection of flagged messages, and the suite.
#[derive(Args, Clone, Debug)]
pub struct FlaggedArgs {
    /// Maximum number of messages to list, the latest flag first
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub limit: usize,
    /// Address of the suite.
    #[command(flatten)]
    pub suite: SuiteArgs,
}

/// Timeout of one call.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Text that stands for the name of a deleted account.
const DELETED_ACCOUNT: &str = "(a deleted account)";

/// Flags or unflags the messages, and prints one line per message.
///
/// # Errors
///
/// The message service is unavailable, or there is no message with one of the ids. The other messages are
/// changed nevertheless.
///
/// The future is boxed, so that its code is compiled in this crate and not again in the program.
pub fn run<'a>(
    args: &'a FlagArgs,
    flagged: bool,
    print: &'a dyn Fn(&str),
) -> LocalBoxFuture<'a, anyhow::Result<()>> {
    Box::pin(set_flags(args, flagged, print))
}

async fn set_flags(args: &FlagArgs, flagged: bool, print: &dyn Fn(&str)) -> anyhow::Result<()> {
    let address = &args.suite.suite;
    let flags = flags(&args.suite);
    let clock = Clock::default();
    let mut remaining = args.ids.clone();
    let mut failed = 0;
    // A write that is superseded by a stamp from a clock ahead of this clock is sent again.
    while !remaining.is_empty() {
        let stamp = clock.stamp();
        let updates = remaining.iter().map(|id| FlagUpdate {
            message_id: per_item::encode_id(*id),
            flagged,
            stamp: per_item::encode_id(stamp),
            moderator: args.moderator.clone(),
            ..FlagUpdate::default()
        });
        let results = flags
            .set(updates.collect(), Deadline::after(CALL_TIMEOUT))
            .await
            .with_context(|| format!("asking the message service at {}", address.message))?;
        if results.len() != remaining.len() {
            return Err(incomplete())
                .with_context(|| format!("asking the message service at {}", address.message));
        }
        let mut superseded = Vec::new();
        for (id, result) in remaining.into_iter().zip(results) {
            match result {
                Ok(WriteOutcome::Applied) => {
                    let state = if flagged { "flagged" } else { "unflagged" };
                    print(&format!("{id} {state}"));
                }
                Ok(WriteOutcome::Superseded(stored)) => {
                    clock.observe(stored);
                    superseded.push(id);
                }
                Err(status) => {
                    failed += 1;
                    print(&format!("{id} failed: {}", status.message()));
                }
            }
        }
        remaining = superseded;
    }
    if failed > 0 {
        bail!(
            "{failed} of {} messages could not be changed",
            args.ids.len()
        );
    }
    Ok(())
}

/// Lists flagged messages, one line per message: the id, the time and the moderator of the flag, the
/// author and the text.
///
/// # Errors
///
/// The message service or the user service is unavailable.
///
/// The future is boxed as in [`run`].
pub fn list<'a>(
    args: &'a FlaggedArgs,
    print: &'a dyn Fn(&str),
) -> LocalBoxFuture<'a, anyhow::Result<()>> {
    Box::pin(print_flagged(args, print))
}

async fn print_flagged(args: &FlaggedArgs, print: &dyn Fn(&str)) -> anyhow::Result<()> {
    let address = &args.suite.suite;
    let flags = flags(&args.suite);
    let (mut remaining, mut before) = (args.limit, None);
    while remaining > 0 {
        let page = flags
            .list(before, Deadline::after(CALL_TIMEOUT))
            .await
            .with_context(|| format!("listing the flagged messages of {address}"))?;
        for message in page.messages.iter().take(remaining) {
            print(&line(message));
        }
        remaining = remaining.saturating_sub(page.messages.len());
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    Ok(())
}

fn flags(suite: &SuiteArgs) -> Flags {
    let pools = suite.suite.pools();
    Flags::new(pools.message, Accounts::new(pools.user))
}

fn line(message: &FlaggedMessage) -> String {
    let moderator = match &message.moderator {
        Moderator::Operator(name) => name,
        Moderator::Account(account) => account.username.as_str(),
        Moderator::DeletedAccount => DELETED_ACCOUNT,
    };
    let author = message.author.as_ref();
    let author = author.map_or(DELETED_ACCOUNT, |account| account.username.as_str());
    let flagged = rfc3339(message.stamp);
    format!(
        "{}  {} by {moderator}  {author}: {}",
        message.id,
        flagged.as_deref().unwrap_or("at an unknown time"),
        escaped(&message.text),
    )
}

/// Escapes the control characters of a text, which could end the line or move the cursor.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    escaped
}
