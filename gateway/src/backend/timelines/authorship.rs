//! Authors of the messages in timelines.

use std::{collections::HashMap, sync::Arc};

use chassis::{deadline::Deadline, per_item};
use minitwit_proto::message::v1::{Message, Timeline};
use tonic::Status;
use uuid::Uuid;

use minitwit_client::{
    accounts::{Account, Accounts},
    messages::Entry,
};

/// Authors of messages, as far as they could be looked up.
pub(super) struct Authorship {
    known: HashMap<Uuid, Arc<Account>>,
    /// Whether the look-up of uncached authors succeeded. After a success, an author that is missing in
    /// `known` has no account.
    looked_up: Result<(), Status>,
}

impl Authorship {
    /// Looks up the authors of timelines.
    pub(super) async fn look_up<'a>(
        accounts: &Accounts,
        timelines: impl Iterator<Item = &'a Timeline>,
        deadline: Deadline,
    ) -> Self {
        let mut ids: Vec<Uuid> = timelines
            .flat_map(|timeline| &timeline.messages)
            // An invalid id fails later, and only for the timeline that contains it.
            .filter_map(|message| per_item::id("author_id", &message.author_id).ok())
            .collect();
        ids.sort_unstable();
        ids.dedup();
        // Timelines whose authors are in the cache still have time if the look-up takes too long.
        let deadline = deadline.at_most(deadline.remaining() / 4 * 3);
        let (found, looked_up) = accounts.lookup_partial(&ids, deadline).await;
        let known = ids.into_iter().zip(found);
        Self {
            known: known
                .filter_map(|(id, account)| Some((id, account?)))
                .collect(),
            looked_up,
        }
    }

    /// Adds the authors to messages. Leaves out messages of deleted accounts.
    ///
    /// # Errors
    ///
    /// An author is not in the cache and could not be looked up.
    pub(super) fn entries(&self, messages: Vec<Message>) -> Result<Vec<Entry>, Status> {
        let mut entries = Vec::with_capacity(messages.len());
        for message in messages {
            let author = per_item::id("author_id", &message.author_id)?;
            let Some(author) = self.known.get(&author) else {
                // The account is deleted, so its messages are deleted soon.
                self.looked_up.clone()?;
                continue;
            };
            entries.push(Entry {
                id: per_item::id("id", &message.id)?,
                author: Arc::clone(author),
                text: message.text,
            });
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn account(id: u128) -> Arc<Account> {
        Arc::new(Account {
            id: Uuid::from_u128(id),
            username: format!("account {id}"),
            avatar_hash: String::new(),
            session_epoch: 0,
            moderator: false,
        })
    }

    fn by(author: u128) -> Message {
        Message {
            id: per_item::encode_id(Uuid::now_v7()),
            author_id: per_item::encode_id(Uuid::from_u128(author)),
            text: "hello".to_owned(),
        }
    }

    fn authorship(looked_up: Result<(), Status>) -> Authorship {
        Authorship {
            known: HashMap::from([(Uuid::from_u128(1), account(1))]),
            looked_up,
        }
    }

    #[test]
    fn a_failed_look_up_fails_only_timelines_with_unknown_authors() {
        let authors = authorship(Err(Status::unavailable("the user service is unavailable")));
        let known = authors.entries(vec![by(1), by(1)]).unwrap();
        assert_eq!(known.len(), 2);
        let error = authors.entries(vec![by(1), by(2)]).unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
    }

    #[test]
    fn messages_of_deleted_accounts_are_left_out() {
        let authors = authorship(Ok(()));
        let entries = authors.entries(vec![by(2), by(1)]).unwrap();
        let names: Vec<&str> = entries
            .iter()
            .map(|entry| entry.author.username.as_str())
            .collect();
        assert_eq!(names, ["account 1"]);
    }
}
