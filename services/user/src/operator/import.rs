//! Conversions of imported accounts.

use chassis::per_item;
use minitwit_proto::user::v1::ImportedUser;
use tonic::Status;

use crate::{
    password::PasswordHash,
    store::{InsertOutcome, NewAccount, User},
    validate,
};

/// Validates an imported account. The email address may lack its "@", so no account is lost because of a
/// wrong address.
pub(super) fn account(user: ImportedUser) -> Result<NewAccount, Status> {
    validate::username(&user.username)?;
    validate::email_bytes(&user.email)?;
    validate::password_hash(&user.password_hash)?;
    Ok(NewAccount {
        id: per_item::id("id", &user.id)?,
        username: user.username,
        email: user.email,
        pw_hash: PasswordHash::stored(user.password_hash),
    })
}

/// The stored account, or the reason why the account is not stored.
pub(super) fn stored(outcome: InsertOutcome) -> Result<User, Status> {
    match outcome {
        InsertOutcome::Stored(user) => Ok(user),
        InsertOutcome::NameTaken => Err(Status::already_exists("the name is taken")),
        InsertOutcome::IdTaken => Err(Status::already_exists("the id is another account's")),
    }
}
