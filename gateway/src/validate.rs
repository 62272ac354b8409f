//! Validation of input that the API and the pages share.

use minitwit_proto::limits::{
    EMAIL_BYTES_MAX, PASSWORD_BYTES_MAX, TEXT_BYTES_MAX, USERNAME_BYTES_MAX,
};

use crate::error::ApiError;

/// Error of a registration whose user name exists, in the words of the original application.
pub(crate) const USERNAME_TAKEN: &str = "The username is already taken";

/// Error of a form whose password field is empty, in the words of the original application.
pub(crate) const PASSWORD_MISSING: &str = "You have to enter a password";

/// Error of a form whose two password fields differ, in the words of the original application.
pub(crate) const PASSWORDS_DIFFER: &str = "The two passwords do not match";

/// Reason why an input is not valid.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InvalidInput(pub(crate) String);

impl From<InvalidInput> for ApiError {
    fn from(invalid: InvalidInput) -> Self {
        Self::bad_request(invalid.0)
    }
}

/// Validates the text of a message.
pub(crate) fn content(content: &str) -> Result<(), InvalidInput> {
    limit("the content", content, TEXT_BYTES_MAX)
}

/// Validates a registration. The order and the words of the first three errors are those of the
/// original application.
pub(crate) fn registration(
    username: &str,
    email: &str,
    password: &str,
) -> Result<(), InvalidInput> {
    let missing = if username.is_empty() {
        "You have to enter a username"
    } else if !email.contains('@') {
        "You have to enter a valid email address"
    } else if password.is_empty() {
        PASSWORD_MISSING
    } else {
        limit("The username", username, USERNAME_BYTES_MAX)?;
        limit("The email address", email, EMAIL_BYTES_MAX)?;
        return limit("The password", password, PASSWORD_BYTES_MAX);
    };
    Err(InvalidInput(missing.to_owned()))
}

/// Validates a new password and its repetition.
pub(crate) fn new_password(password: &str, repeated: &str) -> Result<(), InvalidInput> {
    if password.is_empty() {
        return Err(InvalidInput(PASSWORD_MISSING.to_owned()));
    }
    if password != repeated {
        return Err(InvalidInput(PASSWORDS_DIFFER.to_owned()));
    }
    limit("The password", password, PASSWORD_BYTES_MAX)
}

/// Checks that a value is short enough and contains no NUL character. `name` starts the error message.
fn limit(name: &str, value: &str, bytes_max: usize) -> Result<(), InvalidInput> {
    let length = value.len();
    if length > bytes_max {
        let message = format!("{name} has {length} bytes, but at most {bytes_max} are allowed");
        return Err(InvalidInput(message));
    }
    if value.contains('\0') {
        return Err(InvalidInput(format!("{name} contains a NUL character")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(result: Result<(), InvalidInput>) -> String {
        result.unwrap_err().0
    }

    #[test]
    fn a_value_may_be_as_long_as_its_limit() {
        assert_eq!(content(&"x".repeat(TEXT_BYTES_MAX)), Ok(()));
        let longer = "x".repeat(TEXT_BYTES_MAX + 1);
        assert!(error(content(&longer)).contains("10001 bytes"));
        assert!(error(content("a\0b")).contains("NUL"));
    }

    #[test]
    fn a_registration_reports_its_first_error() {
        assert_eq!(registration("foo", "foo@x.org", "pw"), Ok(()));
        let empty = error(registration("", "broken", ""));
        assert_eq!(empty, "You have to enter a username");
        let broken = error(registration("foo", "broken", ""));
        assert_eq!(broken, "You have to enter a valid email address");
        assert_eq!(error(registration("foo", "@", "")), PASSWORD_MISSING);
        let long = "x".repeat(PASSWORD_BYTES_MAX + 1);
        assert!(error(registration("foo", "@", &long)).contains("1025 bytes"));
    }

    #[test]
    fn a_new_password_must_be_repeated() {
        assert_eq!(new_password("a", "a"), Ok(()));
        assert_eq!(error(new_password("a", "b")), PASSWORDS_DIFFER);
        assert_eq!(error(new_password("", "")), PASSWORD_MISSING);
    }
}
