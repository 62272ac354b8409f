//! Writes of flags, and the list of flagged messages.

use std::{collections::HashMap, sync::Arc};

use chassis::{
    deadline::Deadline,
    per_item::{self, WriteOutcome},
    pool::Pool,
};
use minitwit_proto::message::v1::{
    FlagUpdate, FlaggableMessage, ListFlaggedRequest, SetFlagsRequest,
    message_service_client::MessageServiceClient,
    moderation_service_client::ModerationServiceClient,
};
use tonic::Status;
use uuid::Uuid;

use crate::{
    accounts::{Account, Accounts},
    outcome::each,
};

/// Flagged message.
pub struct FlaggedMessage {
    /// Id of the message.
    pub id: Uuid,
    /// Author, or `None` if the account is deleted.
    pub author: Option<Arc<Account>>,
    /// Text of the message.
    pub text: String,
    /// Moderator that flagged the message.
    pub moderator: Moderator,
    /// Stamp of the flag, whose time is the time of the flag.
    pub stamp: Uuid,
}

/// Moderator that flagged a message.
pub enum Moderator {
    /// Name of an operator, who needs no account.
    Operator(String),
    /// Account of the moderator.
    Account(Arc<Account>),
    /// Account that is deleted.
    DeletedAccount,
}

/// Page of the list of flagged messages, the latest flag first.
pub struct FlaggedPage {
    /// Messages of the page.
    pub messages: Vec<FlaggedMessage>,
    /// Stamp after which the next page starts, or `None` if this page is the last.
    pub next: Option<Uuid>,
}

/// Flags of the message service.
#[derive(Clone)]
pub struct Flags {
    messages: MessageServiceClient<Pool>,
    moderation: ModerationServiceClient<Pool>,
    accounts: Accounts,
}

impl Flags {
    /// Flags of the message service behind `pool`, with the authors from `accounts`.
    pub fn new(pool: Pool, accounts: Accounts) -> Self {
        Self {
            messages: MessageServiceClient::new(pool.clone()),
            moderation: ModerationServiceClient::new(pool)
                .max_decoding_message_size(chassis::grpc::MESSAGE_BYTES_MAX),
            accounts,
        }
    }

    /// Writes flags. The results have the order of `updates`.
    pub async fn set(
        &self,
        updates: Vec<FlagUpdate>,
        deadline: Deadline,
    ) -> Result<Vec<Result<WriteOutcome, Status>>, Status> {
        let request = deadline.request(SetFlagsRequest { updates });
        let response = self.messages.clone().set_flags(request).await?;
        Ok(each(response.into_inner().results))
    }

    /// Lists a page of the messages that were flagged before the stamp `before`.
    ///
    /// # Errors
    ///
    /// The message service or the user service is unavailable, or an id is not valid.
    pub async fn list(
        &self,
        before: Option<Uuid>,
        deadline: Deadline,
    ) -> Result<FlaggedPage, Status> {
        let page_token = before.map(per_item::encode_id).unwrap_or_default();
        let request = deadline.request(ListFlaggedRequest {
            // A service without page tokens reads this field.
            before_stamp: page_token.clone(),
            page_token,
        });
        let response = self.moderation.clone().list_flagged(request).await?;
        let response = response.into_inner();
        let flagged = response.messages;
        let next = match response.next_page_token.as_ref() {
            [] => None,
            token => Some(per_item::id("next_page_token", token)?),
        };

        let accounts = self.accounts_of(&flagged, deadline).await?;
        let messages = flagged
            .into_iter()
            .filter_map(|flagged| flagged_message(flagged, &accounts).transpose())
            .collect::<Result<_, Status>>()?;
        Ok(FlaggedPage { messages, next })
    }

    /// Looks up the authors and moderators of messages.
    async fn accounts_of(
        &self,
        flagged: &[FlaggableMessage],
        deadline: Deadline,
    ) -> Result<HashMap<Uuid, Arc<Account>>, Status> {
        let ids = flagged.iter().flat_map(|flagged| {
            let author = flagged.message.as_ref().map(|message| &message.author_id);
            author.into_iter().chain([&flagged.moderator_id])
        });
        let mut ids: Vec<Uuid> = ids.filter_map(|id| Uuid::from_slice(id).ok()).collect();
        ids.sort_unstable();
        ids.dedup();
        let accounts = self.accounts.lookup(&ids, deadline).await?;
        let found = ids.into_iter().zip(accounts);
        Ok(found
            .filter_map(|(id, account)| Some((id, account?)))
            .collect())
    }
}

/// Converts a message, or `None` if the service sent a flag without a message.
fn flagged_message(
    flagged: FlaggableMessage,
    accounts: &HashMap<Uuid, Arc<Account>>,
) -> Result<Option<FlaggedMessage>, Status> {
    let Some(message) = flagged.message else {
        return Ok(None);
    };
    let moderator = if flagged.moderator_id.is_empty() {
        Moderator::Operator(flagged.moderator)
    } else {
        let id = per_item::id("moderator_id", &flagged.moderator_id)?;
        let account = accounts.get(&id).cloned();
        account.map_or(Moderator::DeletedAccount, Moderator::Account)
    };
    let author = per_item::id("author_id", &message.author_id)?;
    Ok(Some(FlaggedMessage {
        id: per_item::id("id", &message.id)?,
        author: accounts.get(&author).cloned(),
        text: message.text,
        moderator,
        stamp: per_item::id("flag_stamp", &flagged.flag_stamp)?,
    }))
}
