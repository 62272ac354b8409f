//! Signed cookies, and the session cookie.
//!
//! The gateway stores no session, so every replica can serve every request. A session cookie is valid
//! for seven days and is renewed daily. It contains the epoch of the account's sessions. When the
//! account starts a new epoch, all sessions of earlier epochs end.

use anyhow::ensure;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use cookie::Cookie;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, header};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use time::UtcDateTime;
use uuid::Uuid;

/// Validity of a session cookie, in seconds.
pub(crate) const SESSION_SECONDS_MAX: i64 = 7 * 24 * 60 * 60;

/// Age after which a session cookie is renewed, in seconds.
const RENEW_AFTER_SECONDS: i64 = 24 * 60 * 60;

/// Minimum length of a key, in bytes. Shorter keys could be guessed.
const KEY_BYTES_MIN: usize = 32;

/// Keys of cookie signatures. The first key signs and every key verifies, so an operator can put a new
/// key first without ending any session.
#[derive(Clone)]
pub struct CookieKeys(Vec<Hmac<Sha256>>);

impl std::fmt::Debug for CookieKeys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "CookieKeys({})", self.0.len())
    }
}

impl Default for CookieKeys {
    /// Creates a random key. Other replicas cannot verify its signatures, and it is lost when the
    /// process ends.
    fn default() -> Self {
        Self(vec![key(&rand::random::<[u8; 32]>())])
    }
}

impl CookieKeys {
    /// Parses a list of keys that are separated by commas or line ends.
    ///
    /// # Errors
    ///
    /// A key is too short, or the list is empty.
    pub fn parse(list: &SecretString) -> anyhow::Result<Self> {
        let entries = list.expose_secret().split([',', '\n']).map(str::trim);
        let entries: Vec<&str> = entries.filter(|entry| !entry.is_empty()).collect();
        ensure!(!entries.is_empty(), "COOKIE_KEYS is empty");
        for (index, entry) in entries.iter().enumerate() {
            ensure!(
                entry.len() >= KEY_BYTES_MIN,
                "COOKIE_KEYS: key {} has {} bytes, but at least {KEY_BYTES_MIN} are required; \
                 create a key with `openssl rand -hex 32`",
                index + 1,
                entry.len()
            );
        }
        Ok(Self(
            entries
                .into_iter()
                .map(|entry| key(entry.as_bytes()))
                .collect(),
        ))
    }

    /// Signs the value of a cookie. The signature covers the cookie's name, so the value is not valid
    /// for another cookie.
    pub(crate) fn sign(&self, name: &str, payload: &[u8]) -> String {
        let mac = mac(&self.0[0], name, payload).finalize().into_bytes();
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        format!("{}.{}", encode(payload), encode(&mac))
    }

    /// Returns the payload of a signed value, or `None` if no key verifies the signature.
    pub(crate) fn verify(&self, name: &str, value: &str) -> Option<Vec<u8>> {
        let (payload, signature) = value.split_once('.')?;
        let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        let valid = |key| mac(key, name, &payload).verify_slice(&signature).is_ok();
        self.0.iter().any(valid).then_some(payload)
    }

    /// Returns the payload of the first cookie with this name whose signature is valid.
    pub(crate) fn read(&self, headers: &HeaderMap, name: &str) -> Option<Vec<u8>> {
        headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|line| line.to_str().ok())
            .flat_map(Cookie::split_parse)
            .filter_map(Result::ok)
            .filter(|cookie| cookie.name() == name)
            .find_map(|cookie| self.verify(name, cookie.value()))
    }
}

fn key(bytes: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(bytes).expect("a key may have any length")
}

fn mac(key: &Hmac<Sha256>, name: &str, payload: &[u8]) -> Hmac<Sha256> {
    key.clone()
        .chain_update(name)
        .chain_update([0])
        .chain_update(payload)
}

/// Content of a session cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) account: Uuid,
    /// Epoch of the account's sessions that this session belongs to.
    pub(crate) epoch: i64,
    /// Time of the signature, in seconds since 1970.
    pub(crate) issued: i64,
    /// Name of the account, for pages that are shown while the user service is unavailable.
    pub(crate) username: String,
}

impl Session {
    /// Name of the cookie.
    pub(crate) const COOKIE: &str = "session";

    /// Encodes the session as the payload of its cookie.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = self.account.as_bytes().to_vec();
        bytes.extend(self.epoch.to_be_bytes());
        bytes.extend(self.issued.to_be_bytes());
        bytes.extend(self.username.as_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (account, rest) = bytes.split_first_chunk::<16>()?;
        let (epoch, rest) = rest.split_first_chunk::<8>()?;
        let (issued, username) = rest.split_first_chunk::<8>()?;
        Some(Self {
            account: Uuid::from_bytes(*account),
            epoch: i64::from_be_bytes(*epoch),
            issued: i64::from_be_bytes(*issued),
            username: String::from_utf8(username.to_vec()).ok()?,
        })
    }

    /// Reads the session cookie of a request. Returns `None` if the signature is not valid or the cookie
    /// has expired.
    pub(crate) fn from_headers(headers: &HeaderMap, keys: &CookieKeys, now: i64) -> Option<Self> {
        let session = Self::decode(&keys.read(headers, Self::COOKIE)?)?;
        (now - session.issued <= SESSION_SECONDS_MAX).then_some(session)
    }

    /// Whether the cookie must be renewed.
    pub(crate) fn needs_renewal(&self, now: i64) -> bool {
        now - self.issued > RENEW_AFTER_SECONDS
    }
}

/// Current time, in seconds since 1970.
pub(crate) fn now_seconds() -> i64 {
    UtcDateTime::now().unix_timestamp()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn session() -> Session {
        let username = "blåbær 😀".to_owned();
        Session {
            account: Uuid::from_u128(7),
            epoch: 3,
            issued: NOW,
            username,
        }
    }

    fn request(keys: &CookieKeys) -> HeaderMap {
        let value = keys.sign(Session::COOKIE, &session().encode());
        let line = format!("theme=dark; session=nonsense; session={value}");
        HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(&line).unwrap())])
    }

    #[test]
    fn a_session_is_valid_for_seven_days() {
        let keys = CookieKeys::default();
        let headers = request(&keys);
        assert_eq!(Session::from_headers(&headers, &keys, NOW), Some(session()));
        assert!(Session::from_headers(&headers, &keys, NOW + SESSION_SECONDS_MAX).is_some());
        assert_eq!(
            Session::from_headers(&headers, &keys, NOW + SESSION_SECONDS_MAX + 1),
            None
        );
        assert!(session().needs_renewal(NOW + RENEW_AFTER_SECONDS + 1));
    }

    #[test]
    fn old_keys_verify_and_unknown_keys_do_not() {
        let (old, new) = ("o".repeat(32), "n".repeat(32));
        let headers = request(&CookieKeys::parse(&old.clone().into()).unwrap());
        let both = CookieKeys::parse(&format!("{new},{old}\n").into()).unwrap();
        assert!(Session::from_headers(&headers, &both, NOW).is_some());
        let new = CookieKeys::parse(&new.into()).unwrap();
        assert!(Session::from_headers(&headers, &new, NOW).is_none());
        assert!(Session::from_headers(&request(&both), &new, NOW).is_some());
    }

    #[test]
    fn the_value_of_one_cookie_is_not_valid_for_another_cookie() {
        let keys = CookieKeys::default();
        let value = keys.sign("flash", b"hello");
        assert_eq!(
            keys.verify("flash", &value).as_deref(),
            Some(b"hello".as_slice())
        );
        assert_eq!(keys.verify("session", &value), None);
        assert_eq!(keys.verify("flash", &format!("x{value}")), None);
    }

    #[test]
    fn a_short_key_is_rejected_and_does_not_appear_in_the_error() {
        let error = CookieKeys::parse(&"hunter2".into())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("32") && !error.contains("hunter2"),
            "{error}"
        );
    }
}
