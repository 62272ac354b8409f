//! Who a browser says it is: a cookie that we have signed, and nothing kept on our side.
//!
//! So any gateway serves any request. A cookie holds for seven days and is renewed daily; it names
//! the generation of the account's sessions that it belongs to, and ends with it.

use anyhow::ensure;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, header};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use uuid::Uuid;

/// How long a session holds that is not renewed.
pub(crate) const SESSION_SECONDS_MAX: i64 = 7 * 24 * 60 * 60;

/// After what time a session is renewed.
const RENEW_AFTER_SECONDS: i64 = 24 * 60 * 60;

/// The shortest key: one that cannot be guessed by trying.
const KEY_BYTES_MIN: usize = 32;

/// The keys that cookies are signed with: the first one signs, all of them verify, so that a new
/// one can be put before the old ones without ending anybody's session.
#[derive(Clone)]
pub struct CookieKeys(Vec<Hmac<Sha256>>);

impl std::fmt::Debug for CookieKeys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "CookieKeys({})", self.0.len())
    }
}

impl Default for CookieKeys {
    /// A key that nobody else knows: other replicas do not, and it is gone with the process.
    fn default() -> Self {
        Self(vec![key(&rand::random::<[u8; 32]>())])
    }
}

impl CookieKeys {
    /// Reads a list of keys, separated by commas or line ends.
    ///
    /// # Errors
    ///
    /// A key is too short, or there is none.
    pub fn parse(list: &SecretString) -> anyhow::Result<Self> {
        let entries = list.expose_secret().split([',', '\n']).map(str::trim);
        let entries: Vec<&str> = entries.filter(|entry| !entry.is_empty()).collect();
        ensure!(!entries.is_empty(), "COOKIE_KEYS is empty");
        for (place, entry) in entries.iter().enumerate() {
            ensure!(
                entry.len() >= KEY_BYTES_MIN,
                "COOKIE_KEYS: key {} has {} bytes, at least {KEY_BYTES_MIN} are needed: \
                 `openssl rand -hex 32` makes one",
                place + 1,
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

    /// A cookie's value that only we can have made; `purpose` keeps one cookie from being taken
    /// for another.
    pub(crate) fn sign(&self, purpose: &str, payload: &[u8]) -> String {
        let mac = mac(&self.0[0], purpose, payload).finalize().into_bytes();
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        format!("{}.{}", encode(payload), encode(&mac))
    }

    /// What we have signed.
    pub(crate) fn verify(&self, purpose: &str, value: &str) -> Option<Vec<u8>> {
        let (payload, signature) = value.split_once('.')?;
        let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        let ours = |key| mac(key, purpose, &payload).verify_slice(&signature).is_ok();
        self.0.iter().any(ours).then_some(payload)
    }

    /// What we have signed, from the cookie of a request.
    pub(crate) fn cookie(&self, headers: &HeaderMap, name: &str) -> Option<Vec<u8>> {
        let lines = headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|line| line.to_str().ok());
        let pairs = lines
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.split_once('='));
        pairs
            .filter(|(key, _)| key.trim() == name)
            .find_map(|(_, value)| self.verify(name, value.trim()))
    }
}

fn key(bytes: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(bytes).expect("a key may have any length")
}

fn mac(key: &Hmac<Sha256>, purpose: &str, payload: &[u8]) -> Hmac<Sha256> {
    key.clone()
        .chain_update(purpose)
        .chain_update([0])
        .chain_update(payload)
}

/// What a session's cookie says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) account: Uuid,
    /// The generation of the account's sessions that it belongs to.
    pub(crate) epoch: i64,
    /// When it was signed, in seconds since 1970.
    pub(crate) issued: i64,
    /// The account's name, for when the user service is away.
    pub(crate) username: String,
}

impl Session {
    /// The name of the cookie.
    pub(crate) const COOKIE: &str = "session";

    /// What is signed.
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

    /// The session that a request comes with, if it is ours and not too old.
    pub(crate) fn of(headers: &HeaderMap, keys: &CookieKeys, now: i64) -> Option<Self> {
        let session = Self::decode(&keys.cookie(headers, Self::COOKIE)?)?;
        (now - session.issued <= SESSION_SECONDS_MAX).then_some(session)
    }

    /// Whether it is time to sign it again.
    pub(crate) fn is_old(&self, now: i64) -> bool {
        now - self.issued > RENEW_AFTER_SECONDS
    }
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
    fn a_session_is_read_as_it_was_signed_for_seven_days() {
        let keys = CookieKeys::default();
        let headers = request(&keys);
        assert_eq!(Session::of(&headers, &keys, NOW), Some(session()));
        assert!(Session::of(&headers, &keys, NOW + SESSION_SECONDS_MAX).is_some());
        assert_eq!(
            Session::of(&headers, &keys, NOW + SESSION_SECONDS_MAX + 1),
            None
        );
        assert!(session().is_old(NOW + RENEW_AFTER_SECONDS + 1));
    }

    #[test]
    fn old_keys_verify_and_strange_ones_do_not() {
        let (old, new) = ("o".repeat(32), "n".repeat(32));
        let headers = request(&CookieKeys::parse(&old.clone().into()).unwrap());
        let both = CookieKeys::parse(&format!("{new},{old}\n").into()).unwrap();
        assert!(Session::of(&headers, &both, NOW).is_some());
        let new = CookieKeys::parse(&new.into()).unwrap();
        assert!(Session::of(&headers, &new, NOW).is_none());
        assert!(Session::of(&request(&both), &new, NOW).is_some());
    }

    #[test]
    fn one_cookie_cannot_be_taken_for_another() {
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
    fn a_short_key_is_refused_without_being_shown() {
        let error = CookieKeys::parse(&"hunter2".into())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("32") && !error.contains("hunter2"),
            "{error}"
        );
    }
}
