//! Who may use the simulator's API.

use anyhow::{bail, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::HeaderValue;
use minitwit_proto::limits::API_CLIENT_BYTES_MAX;
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

/// The API's clients and their passwords, ready to be compared with an `Authorization` header.
#[derive(Clone)]
pub struct Credentials(Vec<Client>);

#[derive(Clone)]
struct Client {
    name: String,
    /// `name:password` in base64, as Basic authentication sends it.
    token: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_list()
            .entries(self.0.iter().map(|client| &client.name))
            .finish()
    }
}

impl Credentials {
    /// Reads a list of `name:password`, separated by commas or line ends.
    ///
    /// # Errors
    ///
    /// An entry without a colon or with an empty name, or no entry at all. The message does not
    /// repeat what was given: it may be a password.
    pub fn parse(list: &SecretString) -> anyhow::Result<Self> {
        let mut clients = Vec::new();
        for entry in list.expose_secret().split([',', '\n']) {
            let entry = entry.trim();
            if entry.is_empty() {
                continue;
            }
            let Some((name, _)) = entry.split_once(':') else {
                bail!(
                    "SIMULATOR_CREDENTIALS: entry {} has no colon",
                    clients.len() + 1
                );
            };
            ensure!(
                (1..=API_CLIENT_BYTES_MAX).contains(&name.len()),
                "SIMULATOR_CREDENTIALS: the name of entry {} has {} bytes, 1 to {API_CLIENT_BYTES_MAX} are taken",
                clients.len() + 1,
                name.len()
            );
            let token = BASE64_STANDARD.encode(entry);
            clients.push(Client {
                name: name.to_owned(),
                token,
            });
        }
        ensure!(
            !clients.is_empty(),
            "SIMULATOR_CREDENTIALS is empty: nobody could use the API"
        );
        Ok(Self(clients))
    }

    /// The client whose credentials an `Authorization` header carries.
    pub fn client(&self, authorization: &HeaderValue) -> Option<&str> {
        let (scheme, token) = authorization.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let token = token.trim().as_bytes();
        let known = self
            .0
            .iter()
            .find(|client| bool::from(client.token.as_bytes().ct_eq(token)));
        known.map(|client| client.name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(list: &str, header: &'static str) -> Option<String> {
        let credentials = Credentials::parse(&list.into()).unwrap();
        credentials
            .client(&HeaderValue::from_static(header))
            .map(str::to_owned)
    }

    #[test]
    fn the_course_s_simulator_is_known_by_its_header() {
        let header = "Basic c2ltdWxhdG9yOnN1cGVyX3NhZmUh";
        assert_eq!(
            client("simulator:super_safe!", header).as_deref(),
            Some("simulator")
        );
        assert_eq!(
            client("other:pw,simulator:super_safe!", header).as_deref(),
            Some("simulator")
        );
        assert_eq!(client("simulator:other", header), None);
    }

    #[test]
    fn other_schemes_and_nonsense_are_nobody() {
        for header in [
            "",
            "Basic",
            "Bearer c2ltdWxhdG9yOnN1cGVyX3NhZmUh",
            "Basic !!",
        ] {
            assert_eq!(client("simulator:super_safe!", header), None, "{header:?}");
        }
    }

    #[test]
    fn a_mistake_is_told_without_the_secret() {
        let error = Credentials::parse(&"hunter2".into())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("no colon") && !error.contains("hunter2"),
            "{error}"
        );
    }
}
