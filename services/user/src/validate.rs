//! Validation of request fields, so a database gets no text that it cannot store.

use minitwit_proto::limits::{
    API_CLIENT_BYTES_MAX, CLIENT_ADDRESS_BYTES_MAX, EMAIL_BYTES_MAX, PASSWORD_BYTES_MAX,
    PASSWORD_HASH_BYTES_MAX, USERNAME_BYTES_MAX,
};
use tonic::Status;

pub(crate) fn username(name: &str) -> Result<(), Status> {
    not_empty("the username", name)?;
    within("the username", name, USERNAME_BYTES_MAX)
}

pub(crate) fn email(address: &str) -> Result<(), Status> {
    if !address.contains('@') {
        return Err(Status::invalid_argument("the email address has no \"@\""));
    }
    email_bytes(address)
}

/// Validates an email address that may lack its "@".
pub(crate) fn email_bytes(address: &str) -> Result<(), Status> {
    within("the email address", address, EMAIL_BYTES_MAX)
}

pub(crate) fn password_hash(hash: &str) -> Result<(), Status> {
    within("the password's hash", hash, PASSWORD_HASH_BYTES_MAX)
}

pub(crate) fn password(password: &str) -> Result<(), Status> {
    not_empty("the password", password)?;
    within("the password", password, PASSWORD_BYTES_MAX)
}

pub(crate) fn client_address(address: &str) -> Result<(), Status> {
    within("the client address", address, CLIENT_ADDRESS_BYTES_MAX)
}

/// Validates the name of an API client. The empty name stands for the client that wrote last.
pub(crate) fn client(name: &str) -> Result<(), Status> {
    within("the client", name, API_CLIENT_BYTES_MAX)
}

pub(crate) fn not_empty(field: &str, text: &str) -> Result<(), Status> {
    if text.is_empty() {
        return Err(Status::invalid_argument(format!("{field} is empty")));
    }
    Ok(())
}

fn within(field: &str, text: &str, bytes_max: usize) -> Result<(), Status> {
    if text.len() > bytes_max {
        return Err(Status::invalid_argument(format!(
            "{field} has {} bytes, at most {bytes_max} are taken",
            text.len()
        )));
    }
    if text.contains('\0') {
        return Err(Status::invalid_argument(format!(
            "{field} contains a NUL character"
        )));
    }
    Ok(())
}
