//! The actions of simulated users. One action is one HTTP request.

use bytes::Bytes;
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::json;

/// The characters to encode in a path segment, which are all but letters, digits, `-` and `_`.
/// The dot is encoded because a user may be named `..`, which has a meaning in a path.
const PATH_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');

/// One line of a scenario, or one step of a crowd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// The value of the request's parameter `latest`.
    pub id: i64,
    /// The pause before the action, in the course's unit of 1e-8 seconds.
    pub delay: u64,
    /// The time of the action in the course's scenario. The file format has it, but runs ignore it.
    pub timestamp_ms: i64,
    /// The user who acts. Empty for commands without a user.
    pub username: String,
    /// The command that the user carries out.
    pub command: Command,
}

/// The command of an [`Action`], with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `POST /register`
    Register {
        /// The new user's address.
        email: String,
        /// The new user's password.
        password: String,
    },
    /// `POST /msgs/<user>`
    Tweet {
        /// The text of the message.
        content: String,
    },
    /// `POST /fllws/<user>` with `follow`
    Follow {
        /// The user to follow.
        whom: String,
    },
    /// `POST /fllws/<user>` with `unfollow`
    Unfollow {
        /// The user to unfollow.
        whom: String,
    },
    /// `GET /msgs`
    ReadAll,
    /// `GET /msgs/<user>`
    ReadMessages,
    /// `GET /fllws/<user>`
    ReadFollows,
    /// `GET /latest`, the only request without the parameter `latest`
    ReadLatest,
}

/// The kinds of commands that the report distinguishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `POST /register`
    Register,
    /// `POST /msgs/<user>`
    Tweet,
    /// `POST /fllws/<user>` with `follow`
    Follow,
    /// `POST /fllws/<user>` with `unfollow`
    Unfollow,
    /// `GET /msgs`
    ReadAll,
    /// `GET /msgs/<user>`
    ReadMessages,
    /// `GET /fllws/<user>`
    ReadFollows,
    /// `GET /latest`
    ReadLatest,
}

impl Kind {
    /// All kinds, in the order of the report.
    pub const ALL: [Self; 8] = [
        Self::Register,
        Self::Tweet,
        Self::Follow,
        Self::Unfollow,
        Self::ReadAll,
        Self::ReadMessages,
        Self::ReadFollows,
        Self::ReadLatest,
    ];

    /// The name in the report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Tweet => "tweet",
            Self::Follow => "follow",
            Self::Unfollow => "unfollow",
            Self::ReadAll => "GET /msgs",
            Self::ReadMessages => "GET /msgs/<u>",
            Self::ReadFollows => "GET /fllws/<u>",
            Self::ReadLatest => "GET /latest",
        }
    }

    /// Whether the course counts `status` as success. A registration of a taken name (400) is no error.
    pub const fn expects(self, status: u16) -> bool {
        match self {
            Self::Register => matches!(status, 204 | 400),
            Self::Tweet | Self::Follow | Self::Unfollow => status == 204,
            Self::ReadAll | Self::ReadMessages | Self::ReadFollows | Self::ReadLatest => {
                status == 200
            }
        }
    }

    /// Whether the command changes more than `latest`.
    pub const fn is_write(self) -> bool {
        matches!(
            self,
            Self::Register | Self::Tweet | Self::Follow | Self::Unfollow
        )
    }
}

impl Action {
    /// The kind of the action's command.
    pub const fn kind(&self) -> Kind {
        match self.command {
            Command::Register { .. } => Kind::Register,
            Command::Tweet { .. } => Kind::Tweet,
            Command::Follow { .. } => Kind::Follow,
            Command::Unfollow { .. } => Kind::Unfollow,
            Command::ReadAll => Kind::ReadAll,
            Command::ReadMessages => Kind::ReadMessages,
            Command::ReadFollows => Kind::ReadFollows,
            Command::ReadLatest => Kind::ReadLatest,
        }
    }

    /// The method, the path with its query, and the body of the request.
    pub(crate) fn to_request(&self) -> (Method, String, Bytes) {
        let user = &self.username;
        let (method, path, body) = match &self.command {
            Command::Register { email, password } => (
                Method::POST,
                "/register".to_owned(),
                Some(json!({ "username": user, "email": email, "pwd": password })),
            ),
            Command::Tweet { content } => (
                Method::POST,
                messages_path(user),
                Some(json!({ "content": content })),
            ),
            Command::Follow { whom } => (
                Method::POST,
                follows_path(user),
                Some(json!({ "follow": whom })),
            ),
            Command::Unfollow { whom } => (
                Method::POST,
                follows_path(user),
                Some(json!({ "unfollow": whom })),
            ),
            Command::ReadAll => (Method::GET, "/msgs".to_owned(), None),
            Command::ReadMessages => (Method::GET, messages_path(user), None),
            Command::ReadFollows => (Method::GET, follows_path(user), None),
            Command::ReadLatest => return (Method::GET, "/latest".to_owned(), Bytes::new()),
        };
        let body = body.map_or_else(Bytes::new, |value| Bytes::from(value.to_string()));
        (method, format!("{path}?latest={}", self.id), body)
    }
}

/// `/msgs/<user>`
pub(crate) fn messages_path(username: &str) -> String {
    format!("/msgs/{}", utf8_percent_encode(username, PATH_SEGMENT))
}

/// `/fllws/<user>`
pub(crate) fn follows_path(username: &str) -> String {
    format!("/fllws/{}", utf8_percent_encode(username, PATH_SEGMENT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(username: &str, command: Command) -> Action {
        Action {
            id: 7,
            delay: 0,
            timestamp_ms: 0,
            username: username.into(),
            command,
        }
    }

    #[test]
    fn names_are_encoded_in_paths() {
        let (_, path, _) = action("Roger Histand", Command::ReadMessages).to_request();
        assert_eq!(path, "/msgs/Roger%20Histand?latest=7");
        assert_eq!(follows_path("a/b%é"), "/fllws/a%2Fb%25%C3%A9");
        assert_eq!(messages_path(".."), "/msgs/%2E%2E");
    }

    #[test]
    fn bodies_are_json() {
        let content = "say \"hi\" \\ æ".to_owned();
        let (method, _, body) = action("a", Command::Tweet { content }).to_request();
        assert_eq!(method, Method::POST);
        assert_eq!(body, r#"{"content":"say \"hi\" \\ æ"}"#);
    }

    #[test]
    fn reading_latest_does_not_set_it() {
        let (_, path, _) = action("", Command::ReadLatest).to_request();
        assert_eq!(path, "/latest");
    }

    #[test]
    fn a_taken_name_is_no_error() {
        assert!(Kind::Register.expects(400));
        assert!(!Kind::Tweet.expects(200));
    }
}
