//! `minitwit flag`, `unflag` and `flagged`: the moderator's tools.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context as _, bail};
use chassis::{deadline::Deadline, per_item, stamp::Clock};
use clap::Args;
use minitwit_proto::message::v1::{
    FlagUpdate, FlaggableMessage, ListFlaggedRequest, SetFlagsRequest,
    message_service_client::MessageServiceClient, operator_service_client::OperatorServiceClient,
    set_flag_result::Outcome,
};
use uuid::Uuid;

use crate::{
    address::SuiteArgs,
    names::{names, rfc3339},
};

/// Which messages, and where they are.
#[derive(Args, Clone, Debug)]
pub struct FlagArgs {
    /// The messages' ids, as their permalinks carry them
    #[arg(required = true, value_name = "ID")]
    pub ids: Vec<Uuid>,
    /// Who flags, for the record
    #[arg(long, env = "USER", default_value = "operator", value_name = "NAME")]
    pub moderator: String,
    /// Which suite.
    #[command(flatten)]
    pub suite: SuiteArgs,
}

/// Which flagged messages.
#[derive(Args, Clone, Debug)]
pub struct FlaggedArgs {
    /// At most so many, the latest flag first
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub limit: usize,
    /// Which suite.
    #[command(flatten)]
    pub suite: SuiteArgs,
}

/// How long the whole may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Flags the messages, or takes the flags back, and tells of each what came of it.
///
/// # Errors
///
/// The service cannot be reached, or there is no message of an id; the others are done all the
/// same.
pub async fn run(args: &FlagArgs, flagged: bool, tell: impl Fn(&str)) -> anyhow::Result<()> {
    let address = &args.suite.suite;
    let mut client = MessageServiceClient::new(address.pools().message);
    let clock = Clock::default();
    let mut waiting = args.ids.clone();
    let mut failed = 0;
    // A stamp that is overtaken by one from a clock ahead of ours is sent again, greater.
    while !waiting.is_empty() {
        let stamp = clock.stamp();
        let updates = waiting.iter().map(|id| FlagUpdate {
            message_id: per_item::encode_id(*id),
            flagged,
            stamp: per_item::encode_id(stamp),
            moderator: args.moderator.clone(),
            ..FlagUpdate::default()
        });
        let request = SetFlagsRequest {
            updates: updates.collect(),
        };
        let response = client
            .set_flags(Deadline::after(PATIENCE).request(request))
            .await
            .with_context(|| format!("asking the message service at {}", address.message))?
            .into_inner();
        let mut again = Vec::new();
        for (id, result) in waiting.into_iter().zip(response.results) {
            match result.outcome {
                Some(Outcome::Applied(_)) => {
                    tell(&format!(
                        "{id} {}",
                        if flagged { "flagged" } else { "unflagged" }
                    ));
                }
                Some(Outcome::Superseded(superseded)) => {
                    clock.observe(Uuid::from_slice(&superseded.stored_stamp)?);
                    again.push(id);
                }
                Some(Outcome::Error(error)) => {
                    failed += 1;
                    tell(&format!("{id} failed: {}", error.message));
                }
                None => bail!("the message service did not answer for {id}"),
            }
        }
        waiting = again;
    }
    if failed > 0 {
        bail!(
            "{failed} of {} messages could not be changed",
            args.ids.len()
        );
    }
    Ok(())
}

/// Lists flagged messages, a line each: id, when and by whom it was flagged, its author, its text.
///
/// # Errors
///
/// A service cannot be reached.
pub async fn list(args: &FlaggedArgs, tell: impl Fn(&str)) -> anyhow::Result<()> {
    let address = &args.suite.suite;
    let pools = address.pools();
    let mut client = OperatorServiceClient::new(pools.message)
        .max_decoding_message_size(chassis::grpc::MESSAGE_BYTES_MAX);
    let (mut left, mut before) = (args.limit, bytes::Bytes::new());
    while left > 0 {
        let request = ListFlaggedRequest {
            before_stamp: before,
        };
        let response = client
            .list_flagged(Deadline::after(PATIENCE).request(request))
            .await
            .with_context(|| format!("asking the message service at {}", address.message))?;
        let mut page = response.into_inner().messages;
        page.truncate(left);
        let Some(last) = page.last() else { break };
        before = last.flag_stamp.clone();
        left -= page.len();
        let people = page.iter().flat_map(|flagged| {
            let author = flagged.message.as_ref().map(|message| &message.author_id);
            author.into_iter().chain([&flagged.moderator_id])
        });
        let people = people.filter_map(|id| Uuid::from_slice(id).ok()).collect();
        let names = names(pools.user.clone(), people)
            .await
            .with_context(|| format!("asking the user service at {}", address.user))?;
        for flagged in &page {
            tell(&line(flagged, &names)?);
        }
    }
    Ok(())
}

fn line(flagged: &FlaggableMessage, names: &HashMap<Uuid, String>) -> anyhow::Result<String> {
    let message = flagged.message.as_ref().context("a message is missing")?;
    let name = |id: &[u8]| {
        let id = Uuid::from_slice(id).ok()?;
        names.get(&id).map(String::as_str)
    };
    let moderator = if flagged.moderator_id.is_empty() {
        flagged.moderator.as_str()
    } else {
        name(&flagged.moderator_id).unwrap_or("(a deleted account)")
    };
    // A line is a line: what could end it early or move the cursor is shown escaped.
    let text: String = message
        .text
        .chars()
        .flat_map(|character| {
            let shown: Vec<char> = if character.is_control() {
                character.escape_default().collect()
            } else {
                vec![character]
            };
            shown
        })
        .collect();
    Ok(format!(
        "{}  {} by {moderator}  {}: {text}",
        Uuid::from_slice(&message.id)?,
        Uuid::from_slice(&flagged.flag_stamp)
            .ok()
            .and_then(rfc3339)
            .unwrap_or_else(|| "at an unknown time".to_owned()),
        name(&message.author_id).unwrap_or("(a deleted account)"),
    ))
}
