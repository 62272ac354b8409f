//! Flags, as moderators see and set them.

use std::{collections::HashMap, sync::Arc};

use chassis::{
    deadline::Deadline,
    per_item::{self, WriteOutcome},
    pool::Pool,
    stamp::Clock,
};
use minitwit_proto::message::v1::{
    FlagUpdate, FlaggableMessage, ListFlaggedRequest, SetFlagsRequest,
    message_service_client::MessageServiceClient, operator_service_client::OperatorServiceClient,
    set_flag_result::Outcome,
};
use tonic::{Code, Status};
use uuid::Uuid;

use super::{
    Pools,
    accounts::{Account, Accounts, incomplete},
    timelines::Entry,
    writes::{outlast, superseded_by},
};

/// How many flagged messages the service lists at once: where there are fewer, there are no more.
const PAGE: usize = 100;

/// A flagged message.
pub(crate) struct Flagged {
    pub(crate) entry: Entry,
    /// Who flagged it, as far as they are still known.
    pub(crate) by: String,
    /// The stamp of the flag: its time is when.
    pub(crate) stamp: Uuid,
}

/// A page of flagged messages, the latest flag first.
pub(crate) struct FlaggedPage {
    pub(crate) messages: Vec<Flagged>,
    /// What the next page begins behind; `None` when there is none.
    pub(crate) next: Option<Uuid>,
}

/// The flags of the message service.
pub(crate) struct Moderation {
    messages: MessageServiceClient<Pool>,
    operators: OperatorServiceClient<Pool>,
    accounts: Accounts,
    clock: Arc<Clock>,
}

impl Moderation {
    pub(super) fn new(pools: &Pools, accounts: Accounts, clock: Arc<Clock>) -> Self {
        Self {
            messages: MessageServiceClient::new(pools.message.clone()),
            operators: OperatorServiceClient::new(pools.message.clone())
                .max_decoding_message_size(chassis::grpc::MESSAGE_BYTES_MAX),
            accounts,
            clock,
        }
    }

    /// Flags a message, or takes its flag back; `false` when there is no such message.
    pub(crate) async fn set(
        &self,
        message: Uuid,
        flagged: bool,
        moderator: Uuid,
        key: Uuid,
        deadline: Deadline,
    ) -> Result<bool, Status> {
        let write = async |stamp: Uuid| {
            let update = FlagUpdate {
                message_id: per_item::encode_id(message),
                flagged,
                stamp: per_item::encode_id(stamp),
                moderator: String::new(),
                moderator_id: per_item::encode_id(moderator),
            };
            let request = deadline.request(SetFlagsRequest {
                updates: vec![update],
            });
            let response = self.messages.clone().set_flags(request).await?;
            match per_item::only(response.into_inner().results, |result| result.outcome) {
                Some(Outcome::Applied(_)) => Ok(WriteOutcome::Applied),
                Some(Outcome::Superseded(superseded)) => superseded_by(&superseded),
                Some(Outcome::Error(error)) => Err(per_item::status(error)),
                None => Err(incomplete()),
            }
        };
        match outlast(&self.clock, key, write).await {
            Ok(()) => Ok(true),
            Err(status) if status.code() == Code::NotFound => Ok(false),
            Err(status) => Err(status),
        }
    }

    /// Flagged messages, those flagged before a stamp.
    pub(crate) async fn list(
        &self,
        before: Option<Uuid>,
        deadline: Deadline,
    ) -> Result<FlaggedPage, Status> {
        let request = deadline.request(ListFlaggedRequest {
            before_stamp: before.map(per_item::encode_id).unwrap_or_default(),
        });
        let response = self.operators.clone().list_flagged(request).await?;
        let listed = response.into_inner().messages;
        let last = listed.last().filter(|_| listed.len() >= PAGE);
        let next = last.map(|last| per_item::id("flag_stamp", &last.flag_stamp));
        let next = next.transpose()?;

        let people = listed.iter().flat_map(|flagged| {
            let author = flagged.message.as_ref().map(|message| &message.author_id);
            author.into_iter().chain([&flagged.moderator_id])
        });
        let mut ids: Vec<Uuid> = people.filter_map(|id| Uuid::from_slice(id).ok()).collect();
        ids.sort_unstable();
        ids.dedup();
        let accounts = self.accounts.of_ids(&ids, deadline).await?;
        let known = ids.into_iter().zip(accounts);
        let known: HashMap<Uuid, Arc<Account>> = known
            .filter_map(|(id, account)| Some((id, account?)))
            .collect();
        let messages = listed
            .into_iter()
            .filter_map(|flagged| flagged_of(flagged, &known));
        Ok(FlaggedPage {
            messages: messages.collect(),
            next,
        })
    }
}

/// A message whose account is gone is about to go as well.
fn flagged_of(flagged: FlaggableMessage, known: &HashMap<Uuid, Arc<Account>>) -> Option<Flagged> {
    let account = |id: &[u8]| known.get(&Uuid::from_slice(id).ok()?);
    let by = if flagged.moderator_id.is_empty() {
        flagged.moderator
    } else {
        let moderator = account(&flagged.moderator_id);
        moderator.map_or_else(
            || "somebody who is gone".to_owned(),
            |one| one.username.clone(),
        )
    };
    let message = flagged.message?;
    Some(Flagged {
        entry: Entry {
            id: Uuid::from_slice(&message.id).ok()?,
            author: Arc::clone(account(&message.author_id)?),
            text: message.text,
        },
        by,
        stamp: Uuid::from_slice(&flagged.flag_stamp).ok()?,
    })
}
