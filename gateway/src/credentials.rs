//! Credentials of the simulator's API.

use anyhow::{bail, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

/// API clients and their passwords, in the encoding of an `Authorization` header.
#[derive(Clone)]
pub struct Credentials(Vec<Client>);

#[derive(Clone)]
struct Client {
    name: String,
    /// `name:password` in Base64, which Basic authentication sends.
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
    /// Parses a list of `name:password` entries that are separated by commas or line ends.
    ///
    /// # Errors
    ///
    /// An entry has no colon or an empty name, or the list is empty. The message does not contain the
    /// entry, because the entry may be a password.
    pub fn parse(list: &SecretString) -> anyhow::Result<Self> {
        let mut clients = Vec::new();
        for entry in list.expose_secret().split([',', '\n']) {
            let entry = entry.trim();
            if entry.is_empty() {
                continue;
            }
            let Some((name, _)) = entry.split_once(':') else {
                bail!(
                    "SIMULATOR_CREDENTIALS: entry {} has no colon; write name:password",
                    clients.len() + 1
                );
            };
            ensure!(
                (1..=255).contains(&name.len()),
                "SIMULATOR_CREDENTIALS: the name of entry {} has {} bytes, but 1 to 255 are allowed",
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
            "SIMULATOR_CREDENTIALS is empty, so no client could use the API"
        );
        Ok(Self(clients))
    }

    /// Returns the name of the client whose credentials an `Authorization` header contains.
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
    fn the_simulator_of_the_course_is_recognised_by_its_header() {
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
    fn other_schemes_and_malformed_headers_match_no_client() {
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
    fn an_error_does_not_contain_the_secret() {
        let error = Credentials::parse(&"hunter2".into())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("no colon") && !error.contains("hunter2"),
            "{error}"
        );
    }
}
