//! Pictures of people: drawn here from a hash, or asked of gravatar if the operator wants it so.

use std::fmt::Write as _;

use axum::{
    extract::Path,
    response::{IntoResponse, Response},
};
use clap::ValueEnum;
use http::{StatusCode, header};
use sha2::{Digest as _, Sha256};

use super::{assets::FOR_EVER, error::PageError};

/// Where pictures come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, ValueEnum)]
pub enum Avatars {
    /// Drawn by the gateway: nobody else learns who reads what
    #[default]
    Identicon,
    /// gravatar.com, which sees every reader's address
    Gravatar,
}

impl Avatars {
    /// Whom the browser has to be allowed to ask for pictures.
    pub(crate) fn sources(self) -> &'static str {
        match self {
            Self::Identicon => "'self'",
            Self::Gravatar => "'self' https://www.gravatar.com",
        }
    }

    /// The address of the picture of 48 pixels for a hash of the user service.
    pub(crate) fn address(self, hash: &str) -> String {
        match self {
            Self::Identicon => format!("/-/avatar/{}", Seed::of(hash)),
            Self::Gravatar => format!("https://www.gravatar.com/avatar/{hash}?d=identicon&s=48"),
        }
    }
}

/// What a picture is drawn from: a hash of the hash, because a plain MD5 of an address can be looked
/// up.
struct Seed(u64);

impl Seed {
    fn of(hash: &str) -> Self {
        let digest = Sha256::digest(hash.as_bytes());
        let (first, _) = digest
            .split_first_chunk::<8>()
            .expect("a digest has 32 bytes");
        Self(u64::from_be_bytes(*first))
    }

    fn parse(text: &str) -> Option<Self> {
        let valid = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        valid
            .then(|| u64::from_str_radix(text, 16).ok().map(Self))
            .flatten()
    }
}

impl std::fmt::Display for Seed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

/// A picture; what it shows is in its address, so it never changes.
pub(super) async fn show(Path(seed): Path<String>) -> Result<Response, PageError> {
    let seed = Seed::parse(&seed).ok_or_else(|| PageError::new(StatusCode::NOT_FOUND))?;
    let headers = [
        (header::CONTENT_TYPE, "image/svg+xml"),
        (header::CACHE_CONTROL, FOR_EVER),
    ];
    Ok((headers, draw(&seed)).into_response())
}

/// Five by five fields, mirrored, in two shades of one colour.
fn draw(seed: &Seed) -> String {
    let hue = seed.0 % 360;
    let bits = seed.0 >> 16;
    let mut path = String::new();
    for row in 0..5 {
        for column in 0..3 {
            if bits >> (row * 3 + column) & 1 == 1 {
                let mirrored = if column == 2 { None } else { Some(4 - column) };
                for column in std::iter::once(column).chain(mirrored) {
                    let _ = write!(path, "M{} {}h1v1h-1z", column + 1, row + 1);
                }
            }
        }
    }
    if path.is_empty() {
        path.push_str("M3 3h1v1h-1z");
    }
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 7 7" shape-rendering="crispEdges"><rect width="7" height="7" fill="hsl({hue} 55% 90%)"/><path d="{path}" fill="hsl({hue} 48% 45%)"/></svg>"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_of_its_hash_alone_and_does_not_tell_it() {
        let address = Avatars::Identicon.address("0bc83cb571cd1c50ba6f3e8a78ef1346");
        assert_eq!(
            address,
            Avatars::Identicon.address("0bc83cb571cd1c50ba6f3e8a78ef1346")
        );
        assert!(!address.contains("0bc83cb5"));
        let seed = Seed::parse(address.strip_prefix("/-/avatar/").unwrap()).unwrap();
        assert!(draw(&seed).starts_with("<svg"));
    }

    #[test]
    fn only_seeds_are_drawn() {
        for text in [
            "",
            "+bc83cb571cd1c50",
            "0bc83cb571cd1c5",
            "0bc83cb571cd1c500",
            "zzzzzzzzzzzzzzzz",
        ] {
            assert!(Seed::parse(text).is_none(), "{text}");
        }
    }
}
