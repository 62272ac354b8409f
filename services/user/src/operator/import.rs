//! Accounts of another system on their way in.

use chassis::per_item;
use minitwit_proto::user::v1::ImportedUser;
use tonic::Status;

use crate::{
    password::PasswordHash,
    store::{Inserted, NewAccount, User},
    validate,
};

/// An account as it came. Its email address is taken as it is: nobody should lose an account to it.
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

/// The account as it is stored, or why it is not.
pub(super) fn outcome(inserted: Inserted) -> Result<User, Status> {
    match inserted {
        Inserted::Stored(user) => Ok(user),
        Inserted::NameTaken => Err(Status::already_exists("the name is taken")),
        Inserted::IdTaken => Err(Status::already_exists("the id is another account's")),
    }
}
