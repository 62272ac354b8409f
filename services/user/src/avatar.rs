//! Seeds of avatars. A seed is a hash of the email address, so an avatar does not reveal the address.

use std::fmt::Write as _;

use md5::{Digest, Md5};

/// MD5 of the trimmed, lower-cased email address, as Gravatar and the old system define it.
pub(crate) fn hash(email: &str) -> String {
    let digest = Md5::digest(email.trim().to_lowercase());
    digest
        .iter()
        .fold(String::with_capacity(32), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_surrounding_space_do_not_change_the_hash() {
        // Example from Gravatar's documentation.
        let known = "0bc83cb571cd1c50ba6f3e8a78ef1346";
        assert_eq!(hash("myemailaddress@example.com"), known);
        assert_eq!(hash(" MyEmailAddress@example.com "), known);
    }
}
