//! Import of the old system's users as accounts.

use std::collections::HashMap;

use chassis::per_item;
use minitwit_client::{Pools, outcome::ItemResult as _};
use minitwit_proto::{
    limits::{EMAIL_BYTES_MAX, PASSWORD_HASH_BYTES_MAX, USERNAME_BYTES_MAX},
    user::v1::{
        ImportUserResult, ImportUsersRequest, ImportedUser,
        operator_service_client::OperatorServiceClient,
    },
};
use uuid::Uuid;

use crate::{
    key,
    old::{OldDatabase, OldUser},
    progress::Stage,
    report::{Report, Tally},
    run::ImportJob,
    sender::{Row, Sender, request},
    text::Text,
};

/// Accounts of the old system's users.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    /// First user of each name.
    by_name: HashMap<String, i64>,
    /// Account of each user, or the reason why the user has none.
    by_id: HashMap<i64, Result<Uuid, NoAccount>>,
    /// First user of the same name, for each later user of the name.
    first_of_name: HashMap<i64, i64>,
}

/// Reason why an old user has no account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoAccount {
    /// The old database has no such user.
    Unknown,
    /// The user was refused.
    NotImported,
}

impl Accounts {
    /// Returns the account of an old user.
    pub(crate) fn get(&self, user_id: i64) -> Result<Uuid, NoAccount> {
        let user_id = self.first_of_name.get(&user_id).unwrap_or(&user_id);
        *self.by_id.get(user_id).unwrap_or(&Err(NoAccount::Unknown))
    }

    /// Checks a user. Returns the account to import, or adds the reason to `report`.
    fn check(&mut self, user: OldUser, report: &mut Report) -> Option<Row<ImportedUser>> {
        let tally = &mut report.users;
        let Some(user_id) = user.user_id else {
            tally.refuse(user.row, "it has no number that others could name");
            return None;
        };
        if self.by_id.contains_key(&user_id) || self.first_of_name.contains_key(&user_id) {
            tally.refuse(user_id, "another user has the same number");
            return None;
        }
        self.by_id.insert(user_id, Err(NoAccount::NotImported));
        match self.account(user_id, user, tally) {
            Ok(Some(account)) => {
                if !is_known_format(&account.password_hash) {
                    report.locked_out.push(user_id);
                }
                Some(Row {
                    number: user_id,
                    content: account,
                })
            }
            Ok(None) => None,
            Err(reason) => {
                tally.refuse(user_id, reason);
                None
            }
        }
    }

    fn account(
        &mut self,
        user_id: i64,
        user: OldUser,
        tally: &mut Tally,
    ) -> Result<Option<ImportedUser>, String> {
        let username = user.username.take("the name", USERNAME_BYTES_MAX)?;
        if username.is_empty() {
            return Err("the name is empty".to_owned());
        }
        if let Some(first) = self.by_name.get(&username) {
            // The old system signs in only the first user of a name, and shows the messages of all users
            // of the name on one page.
            self.by_id.remove(&user_id);
            self.first_of_name.insert(user_id, *first);
            tally.merge(
                user_id,
                format!("it has the name of user {first}, and is one with it"),
            );
            return Ok(None);
        }
        let email = match user.email {
            Text::Null => String::new(),
            email => email.take("the email address", EMAIL_BYTES_MAX)?,
        };
        let id = key::account(user_id, &username).ok_or("its number is out of bounds")?;
        self.by_name.insert(username.clone(), user_id);
        Ok(Some(ImportedUser {
            id: per_item::encode_id(id),
            username,
            email,
            // A damaged hash matches no password, in the old system too.
            password_hash: user
                .pw_hash
                .take("", PASSWORD_HASH_BYTES_MAX)
                .unwrap_or_default(),
        }))
    }

    /// Records the result of the user service for a user.
    fn record(&mut self, user_id: i64, result: ImportUserResult, report: &mut Report) {
        let stored_before = result.stored_before;
        let account = result
            .into_result()
            .and_then(|user| per_item::id("id", &user.id));
        match account {
            Ok(id) => {
                self.by_id.insert(user_id, Ok(id));
                report.users.stored(stored_before);
            }
            Err(status) => {
                let reason = status.message();
                report
                    .locked_out
                    .retain(|locked_out| *locked_out != user_id);
                report.users.refuse(
                    user_id,
                    format!("{reason}: the suite has, or had, somebody else of that name"),
                );
            }
        }
    }
}

/// Imports the users.
pub(crate) async fn import(
    job: &ImportJob<'_>,
    old: &OldDatabase,
    report: &mut Report,
) -> anyhow::Result<Accounts> {
    let rows = old.count("user").await?;
    report.users.rows = rows;
    let stage = Stage::begin("users", rows);
    let mut accounts = Accounts::default();
    let mut rows_to_send = Vec::new();
    let mut after = i64::MIN;
    loop {
        let page = old.users(after, job.args.batch).await?;
        let Some(last) = page.last() else { break };
        after = last.row;
        for user in page {
            match accounts.check(user, report) {
                Some(row) => rows_to_send.push(row),
                None => stage.step(),
            }
        }
    }
    let Some(services) = job.services else {
        for row in rows_to_send {
            let id = Uuid::from_slice(&row.content.id)?;
            accounts.by_id.insert(row.number, Ok(id));
            report.users.stored(false);
        }
        return Ok(accounts);
    };
    send(job, services, &stage, rows_to_send, |row, result| {
        stage.step();
        accounts.record(row.number, result, report);
    })
    .await?;
    Ok(accounts)
}

async fn send(
    job: &ImportJob<'_>,
    services: &Pools,
    stage: &Stage,
    rows: Vec<Row<ImportedUser>>,
    done: impl FnMut(Row<ImportedUser>, ImportUserResult),
) -> anyhow::Result<()> {
    let client = OperatorServiceClient::new(services.user.clone())
        .max_decoding_message_size(chassis::grpc::MESSAGE_BYTES_MAX);
    let batch = usize::try_from(job.args.batch)?;
    let mut batches = rows.chunks(batch).map(<[_]>::to_vec);
    let sender = Sender::new("user", job.args, stage);
    let send = async |users| {
        let mut client = client.clone();
        let response = client.import_users(request(ImportUsersRequest { users }));
        Ok(response.await?.into_inner().results)
    };
    sender
        .send_all(async || Ok(batches.next()), send, done)
        .await
}

/// Returns whether a password hash has one of the old system's formats.
fn is_known_format(hash: &str) -> bool {
    let mut parts = hash.splitn(3, '$');
    let (Some(method), Some(_), Some(hex)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let digits = match method.split(':').next() {
        Some("pbkdf2") if method.starts_with("pbkdf2:sha256:") => 64,
        Some("scrypt") => 128,
        Some("sha1") => 40,
        _ => return false,
    };
    hex.len() == digits && hex.bytes().all(|digit| digit.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(user_id: i64, username: &str) -> OldUser {
        let text = |text: &str| Text::Valid(text.to_owned());
        OldUser {
            row: user_id,
            user_id: Some(user_id),
            username: text(username),
            email: text("someone@example.com"),
            pw_hash: text(&format!("sha1$Kq3v${}", "0".repeat(40))),
        }
    }

    #[test]
    fn later_users_of_a_name_share_the_account_of_the_first() {
        let (mut accounts, mut report) = (Accounts::default(), Report::default());
        let first = accounts.check(user(1, "a"), &mut report).unwrap();
        assert!(accounts.check(user(2, "a"), &mut report).is_none());
        assert!(accounts.check(user(3, ""), &mut report).is_none());
        assert!(accounts.check(user(1, "b"), &mut report).is_none());

        let id = Uuid::from_slice(&first.content.id).unwrap();
        accounts.by_id.insert(1, Ok(id));
        assert_eq!(accounts.get(2), Ok(id));
        assert_eq!(accounts.get(3), Err(NoAccount::NotImported));
        assert_eq!(accounts.get(4), Err(NoAccount::Unknown));
        assert_eq!(report.users.merged.len(), 1);
        assert_eq!(report.users.refused.len(), 2);
    }

    #[test]
    fn users_with_a_damaged_hash_are_listed_as_locked_out() {
        let (mut accounts, mut report) = (Accounts::default(), Report::default());
        for (user_id, pw_hash) in [
            (1, Text::Valid("7".to_owned())),
            (2, Text::Null),
            (3, Text::Valid("sha1$Kq3v$zz".to_owned())),
        ] {
            let mut damaged = user(user_id, &user_id.to_string());
            damaged.pw_hash = pw_hash;
            assert!(accounts.check(damaged, &mut report).is_some());
        }
        assert!(accounts.check(user(4, "whole"), &mut report).is_some());
        assert_eq!(report.locked_out, [1, 2, 3]);
    }
}
