//! Paths of users' pages.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Characters that are percent-encoded in one segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// User names that cannot be the first segment of a path. Another route starts with the name, or a
/// browser removes the segment because it is a dot segment.
pub(crate) const RESERVED_NAMES: [&str; 9] = [
    "public",
    "login",
    "register",
    "logout",
    "add_message",
    "static",
    "-",
    ".",
    "..",
];

/// Prefix of the pages of users with a reserved name.
pub(crate) const USER_PREFIX: &str = "/-/user/";

/// Character before the name in such a path. With the character, no name is a dot segment.
pub(crate) const ESCAPE: char = '@';

/// Path of a user's timeline. The paths of the user's other pages start with it.
pub(crate) fn user_path(name: &str) -> String {
    let segment = utf8_percent_encode(name, SEGMENT);
    if RESERVED_NAMES.contains(&name) {
        format!("{USER_PREFIX}{ESCAPE}{segment}")
    } else {
        format!("/{segment}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_one_segment_of_a_path() {
        assert_eq!(user_path("Roger Histand"), "/Roger%20Histand");
        assert_eq!(user_path("a/../b%?#"), "/a%2F..%2Fb%25%3F%23");
        assert_eq!(user_path("😀"), "/%F0%9F%98%80");
        assert_eq!(user_path("public"), "/-/user/@public");
        assert_eq!(user_path(".."), "/-/user/@..");
    }
}
