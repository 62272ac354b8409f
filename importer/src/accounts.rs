//! The old system's users on their way to become accounts.

use std::collections::HashMap;

use chassis::per_item;
use minitwit_client::Pools;
use minitwit_proto::{
    limits::{EMAIL_BYTES_MAX, PASSWORD_HASH_BYTES_MAX, USERNAME_BYTES_MAX},
    user::v1::{
        ImportUserResult, ImportUsersRequest, ImportedUser, import_user_result::Outcome,
        operator_service_client::OperatorServiceClient,
    },
};
use uuid::Uuid;

use crate::{
    courier::{Courier, Parcel, request},
    key,
    old::{OldDatabase, OldUser},
    progress::Stage,
    report::{Report, Tally},
    run::Import,
    text::Text,
};

/// Who of the old system is which account.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    by_name: HashMap<String, i64>,
    /// The account, or why there is none.
    by_id: HashMap<i64, Result<Uuid, NoAccount>>,
    /// Users of a name that another one had first.
    same_as: HashMap<i64, i64>,
}

/// Why an old user has no account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoAccount {
    /// There is no such user.
    Unknown,
    /// The user was not brought over.
    NotBrought,
}

impl Accounts {
    /// The account of an old user.
    pub(crate) fn get(&self, user_id: i64) -> Result<Uuid, NoAccount> {
        let user_id = self.same_as.get(&user_id).unwrap_or(&user_id);
        *self.by_id.get(user_id).unwrap_or(&Err(NoAccount::Unknown))
    }

    /// Judges a row: an account to be brought over, or nothing, of which `report` then tells.
    fn judge(&mut self, user: OldUser, report: &mut Report) -> Option<Parcel<ImportedUser>> {
        let tally = &mut report.users;
        let Some(user_id) = user.user_id else {
            tally.refuse(user.row, "it has no number that others could name");
            return None;
        };
        if self.by_id.contains_key(&user_id) || self.same_as.contains_key(&user_id) {
            tally.refuse(user_id, "another user has the same number");
            return None;
        }
        self.by_id.insert(user_id, Err(NoAccount::NotBrought));
        match self.account(user_id, user, tally) {
            Ok(Some(account)) => {
                if !is_whole(&account.password_hash) {
                    report.locked_out.push(user_id);
                }
                Some(Parcel {
                    row: user_id,
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
            // The old system finds the first of a name alone, and shows what either wrote under it.
            self.by_id.remove(&user_id);
            self.same_as.insert(user_id, *first);
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
            // What is damaged matches no password, neither there nor here.
            password_hash: user
                .pw_hash
                .take("", PASSWORD_HASH_BYTES_MAX)
                .unwrap_or_default(),
        }))
    }

    /// What the user service says of an account.
    fn settle(
        &mut self,
        parcel: &Parcel<ImportedUser>,
        said: ImportUserResult,
        report: &mut Report,
    ) {
        let settled = match said.outcome {
            Some(Outcome::User(user)) => Uuid::from_slice(&user.id).map_err(|_| String::new()),
            Some(Outcome::Error(error)) => Err(error.message),
            None => Err("the user service did not say what became of it".to_owned()),
        };
        match settled {
            Ok(id) => {
                self.by_id.insert(parcel.row, Ok(id));
                report.users.delivered(said.stored_before);
            }
            Err(reason) => {
                report.locked_out.retain(|row| *row != parcel.row);
                report.users.refuse(
                    parcel.row,
                    format!("{reason}: the suite has, or had, somebody else of that name"),
                );
            }
        }
    }
}

/// Brings the users over.
pub(crate) async fn bring(
    import: &Import<'_>,
    old: &OldDatabase,
    report: &mut Report,
) -> anyhow::Result<Accounts> {
    let rows = old.count("user").await?;
    report.users.rows = rows;
    let stage = Stage::begin("users", rows);
    let mut accounts = Accounts::default();
    let mut parcels = Vec::new();
    let mut after = i64::MIN;
    loop {
        let page = old.users(after, import.args.batch).await?;
        let Some(last) = page.last() else { break };
        after = last.row;
        for user in page {
            match accounts.judge(user, report) {
                Some(parcel) => parcels.push(parcel),
                None => stage.step(),
            }
        }
    }
    let Some(services) = import.services else {
        for parcel in parcels {
            let id = Uuid::from_slice(&parcel.content.id)?;
            accounts.by_id.insert(parcel.row, Ok(id));
            report.users.delivered(false);
        }
        return Ok(accounts);
    };
    deliver(import, services, &stage, parcels, |parcel, said| {
        stage.step();
        accounts.settle(&parcel, said, report);
    })
    .await?;
    Ok(accounts)
}

async fn deliver(
    import: &Import<'_>,
    services: &Pools,
    stage: &Stage,
    parcels: Vec<Parcel<ImportedUser>>,
    done: impl FnMut(Parcel<ImportedUser>, ImportUserResult),
) -> anyhow::Result<()> {
    let client = OperatorServiceClient::new(services.user.clone())
        .max_decoding_message_size(chassis::grpc::MESSAGE_BYTES_MAX);
    let batch = usize::try_from(import.args.batch)?;
    let mut batches = parcels.chunks(batch).map(<[_]>::to_vec);
    let courier = Courier::new("user", import.args, stage);
    let send = async |users| {
        let mut client = client.clone();
        let response = client.import_users(request(ImportUsersRequest { users }));
        Ok(response.await?.into_inner().results)
    };
    courier.carry(async || Ok(batches.next()), send, done).await
}

/// Whether a hash is in one of the old system's formats, as far as one can see.
fn is_whole(hash: &str) -> bool {
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
    fn of_one_name_the_first_has_the_account_and_the_others_are_part_of_it() {
        let (mut accounts, mut report) = (Accounts::default(), Report::default());
        let first = accounts.judge(user(1, "a"), &mut report).unwrap();
        assert!(accounts.judge(user(2, "a"), &mut report).is_none());
        assert!(accounts.judge(user(3, ""), &mut report).is_none());
        assert!(accounts.judge(user(1, "b"), &mut report).is_none());

        let id = Uuid::from_slice(&first.content.id).unwrap();
        accounts.by_id.insert(1, Ok(id));
        assert_eq!(accounts.get(2), Ok(id));
        assert_eq!(accounts.get(3), Err(NoAccount::NotBrought));
        assert_eq!(accounts.get(4), Err(NoAccount::Unknown));
        assert_eq!(report.users.merged.len(), 1);
        assert_eq!(report.users.refused.len(), 2);
    }

    #[test]
    fn whoever_cannot_sign_in_is_told_of() {
        let (mut accounts, mut report) = (Accounts::default(), Report::default());
        for (user_id, pw_hash) in [
            (1, Text::Valid("7".to_owned())),
            (2, Text::Null),
            (3, Text::Valid("sha1$Kq3v$zz".to_owned())),
        ] {
            let mut damaged = user(user_id, &user_id.to_string());
            damaged.pw_hash = pw_hash;
            assert!(accounts.judge(damaged, &mut report).is_some());
        }
        assert!(accounts.judge(user(4, "whole"), &mut report).is_some());
        assert_eq!(report.locked_out, [1, 2, 3]);
    }
}
