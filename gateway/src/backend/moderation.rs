//! Flags, as moderators set and see them on the pages.

use std::sync::Arc;

use chassis::{deadline::Deadline, per_item, stamp::Clock};
use minitwit_client::{
    Pools,
    accounts::Accounts,
    flags::{FlaggedMessage, Flags, Moderator},
    messages::Entry,
    outcome::incomplete,
    stamped::retry_superseded,
};
use minitwit_proto::message::v1::FlagUpdate;
use tonic::{Code, Status};
use uuid::Uuid;

/// Flagged message on a page.
pub(crate) struct Flagged {
    pub(crate) entry: Entry,
    /// Name of the moderator.
    pub(crate) by: String,
    /// Stamp of the flag, whose time is the time of the flag.
    pub(crate) stamp: Uuid,
}

/// Page of flagged messages, the latest flag first.
pub(crate) struct FlaggedPage {
    pub(crate) messages: Vec<Flagged>,
    /// Stamp after which the next page starts, or `None` if this page is the last.
    pub(crate) next: Option<Uuid>,
}

/// Flags of the message service.
pub(crate) struct Moderation {
    flags: Flags,
    clock: Arc<Clock>,
}

impl Moderation {
    pub(super) fn new(pools: &Pools, accounts: Accounts, clock: Arc<Clock>) -> Self {
        Self {
            flags: Flags::new(pools.message.clone(), accounts),
            clock,
        }
    }

    /// Flags or unflags a message. Returns whether the message exists.
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
            let results = self.flags.set(vec![update], deadline).await?;
            results.into_iter().next().ok_or_else(incomplete)?
        };
        match retry_superseded(&self.clock, key, write).await {
            Ok(()) => Ok(true),
            Err(status) if status.code() == Code::NotFound => Ok(false),
            Err(status) => Err(status),
        }
    }

    /// Lists a page of the messages that were flagged before the stamp `before`.
    pub(crate) async fn list(
        &self,
        before: Option<Uuid>,
        deadline: Deadline,
    ) -> Result<FlaggedPage, Status> {
        let page = self.flags.list(before, deadline).await?;
        Ok(FlaggedPage {
            messages: page.messages.into_iter().filter_map(on_page).collect(),
            next: page.next,
        })
    }
}

/// Converts a message for the page, or `None` if its author is deleted, because the message is about to be
/// deleted too.
fn on_page(message: FlaggedMessage) -> Option<Flagged> {
    let by = match message.moderator {
        Moderator::Operator(name) => name,
        Moderator::Account(account) => account.username.clone(),
        Moderator::DeletedAccount => "somebody who is gone".to_owned(),
    };
    Some(Flagged {
        entry: Entry {
            id: message.id,
            author: message.author?,
            text: message.text,
        },
        by,
        stamp: message.stamp,
    })
}
