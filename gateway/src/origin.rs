//! Origin of a request, and the key of its write.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use axum::{extract::FromRequestParts, http::request::Parts};
use chassis::stamp::unix_millis;
use http::{HeaderMap, HeaderName};
use ipnet::IpNet;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::App;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_REQUEST_START: HeaderName = HeaderName::from_static("x-request-start");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Address of the connection's other end. The server adds it to each request as an extension.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Client, key and age of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    /// Address of the client. Only trusted proxies can report another address than that of the
    /// connection.
    pub(crate) client: Option<IpAddr>,
    /// Key of the write. A trusted proxy that repeats a request sends the same `X-Request-Id`, so every
    /// repetition has the same key. A request without an id receives a new key.
    pub(crate) key: Uuid,
    /// Whether a trusted proxy reports that the client uses TLS.
    pub(crate) secure: bool,
    /// Time since a trusted proxy received the request, by the clocks of both hosts. A repeated request
    /// has already waited for another gateway.
    pub(crate) waited: Duration,
}

impl FromRequestParts<App> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<Peer>().copied();
        let proxied = Self::is_proxied(peer, app);
        let (peer, trusted) = (peer.map(|peer| peer.0.ip()), &app.0.trusted_proxies);
        let start = start(&parts.headers).filter(|_| proxied);
        let key = start.and_then(|start| key_of_id(&parts.headers, start));
        let waited = start.map_or(0, |start| unix_millis().saturating_sub(start));
        let client = if proxied {
            client_address(&parts.headers, trusted).or(peer)
        } else {
            peer
        };
        let scheme = parts.headers.get(X_FORWARDED_PROTO).filter(|_| proxied);
        let secure = scheme.is_some_and(|scheme| scheme.as_bytes() == b"https");
        Ok(Self {
            client,
            key: key.unwrap_or_else(|| app.0.backend.clock.stamp()),
            secure,
            waited: Duration::from_millis(waited),
        })
    }
}

impl Origin {
    /// Whether the connection's other end is a trusted proxy.
    pub(crate) fn is_proxied(peer: Option<Peer>, app: &App) -> bool {
        peer.is_some_and(|peer| is_trusted(&app.0.trusted_proxies, peer.0.ip()))
    }
}

fn is_trusted(trusted: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|network| network.contains(&address))
}

/// Returns the last address of `X-Forwarded-For` that does not belong to a trusted proxy.
fn client_address(headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let lines = headers
        .get_all(X_FORWARDED_FOR)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let addresses: Vec<IpAddr> = lines
        .flat_map(|line| line.split(','))
        .filter_map(|part| part.trim().parse().ok())
        .collect();
    addresses
        .iter()
        .rev()
        .find(|address| !is_trusted(trusted, **address))
        .copied()
}

/// Returns the time at which the proxy received the request, in milliseconds since 1970.
fn start(headers: &HeaderMap) -> Option<u64> {
    parse_start(headers.get(X_REQUEST_START)?.to_str().ok()?)
}

/// Derives the key of a write from the request's id and start.
fn key_of_id(headers: &HeaderMap, start: u64) -> Option<Uuid> {
    let id = headers.get(X_REQUEST_ID)?;
    let digest = Sha256::digest(id.as_bytes());
    let name = u128::from_be_bytes(
        digest[..16]
            .try_into()
            .expect("a SHA-256 digest has 32 bytes"),
    );
    Some(chassis::stamp::from_name(start, name))
}

/// Parses the start of a request as milliseconds since 1970. Proxies write seconds with a fraction,
/// milliseconds or microseconds, some with the prefix `t=`.
fn parse_start(text: &str) -> Option<u64> {
    let text = text.trim().trim_start_matches("t=");
    if let Some((seconds, fraction)) = text.split_once('.') {
        let millis = format!("{fraction:0<3}");
        return Some(seconds.parse::<u64>().ok()? * 1000 + millis.get(..3)?.parse::<u64>().ok()?);
    }
    let number: u64 = text.parse().ok()?;
    Some(match text.len() {
        0..=10 => number * 1000,
        11..=13 => number,
        _ => number / 1000,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_a_request_is_parsed_in_every_notation_of_proxies() {
        for text in [
            "1700000000.123",
            "t=1700000000123",
            "1700000000123",
            "1700000000123456",
        ] {
            assert_eq!(parse_start(text), Some(1_700_000_000_123), "{text}");
        }
        assert_eq!(parse_start("t=1700000000"), Some(1_700_000_000_000));
        assert_eq!(parse_start("yesterday"), None);
    }

    #[test]
    fn a_client_cannot_choose_its_own_address() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let mut headers = HeaderMap::new();
        headers.insert(
            X_FORWARDED_FOR,
            "6.6.6.6, 1.2.3.4, 10.0.0.7".parse().unwrap(),
        );
        assert_eq!(
            client_address(&headers, &trusted),
            Some("1.2.3.4".parse().unwrap())
        );
    }

    #[test]
    fn a_repeated_request_has_the_same_key() {
        let mut headers = HeaderMap::new();
        headers.insert(X_REQUEST_ID, "abc".parse().unwrap());
        assert_eq!(start(&headers), None);
        headers.insert(X_REQUEST_START, "1700000000123".parse().unwrap());
        let start = start(&headers).unwrap();
        let key = key_of_id(&headers, start).unwrap();
        assert_eq!(key_of_id(&headers.clone(), start), Some(key));
        assert_eq!(chassis::stamp::millis(key), 1_700_000_000_123);
        assert_eq!(key_of_id(&HeaderMap::new(), start), None);
    }
}
