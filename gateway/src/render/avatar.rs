//! Addresses and images of avatars.

use std::fmt::{self, Display, Formatter, Write as _};

use clap::ValueEnum;
use sha2::{Digest as _, Sha256};

/// Source of avatars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, ValueEnum)]
pub enum Avatars {
    /// Drawn by the gateway, so no third party sees which pages a reader visits
    #[default]
    Identicon,
    /// Loaded from gravatar.com, which sees the address of every reader
    Gravatar,
}

impl Avatars {
    /// Image sources that the Content-Security-Policy must allow.
    pub(crate) fn sources(self) -> &'static str {
        match self {
            Self::Identicon => "'self'",
            Self::Gravatar => "'self' https://www.gravatar.com",
        }
    }

    /// Address of the 48-pixel avatar for the avatar hash of an account.
    pub(crate) fn address(self, hash: &str) -> String {
        match self {
            Self::Identicon => format!("/-/avatar/{}", Seed::from_hash(hash)),
            Self::Gravatar => format!("https://www.gravatar.com/avatar/{hash}?d=identicon&s=48"),
        }
    }
}

/// Seed of a drawn avatar. The seed is a SHA-256 of the avatar hash, because the avatar hash is a
/// plain MD5 of an email address, which can be looked up in public tables.
pub(crate) struct Seed([u8; 8]);

impl Seed {
    fn from_hash(hash: &str) -> Self {
        let digest = Sha256::digest(hash.as_bytes());
        let (first, _) = digest
            .split_first_chunk::<8>()
            .expect("a SHA-256 digest has 32 bytes");
        Self(*first)
    }

    /// Parses the seed of an avatar's address.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut seed = [0; 8];
        hex::decode_to_slice(text, &mut seed).ok()?;
        Some(Self(seed))
    }

    /// Draws the avatar as SVG. It consists of five by five squares, is symmetric, and has two shades of
    /// one colour.
    pub(crate) fn draw(&self) -> String {
        let seed = u64::from_be_bytes(self.0);
        let hue = seed % 360;
        let bits = seed >> 16;
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
}

impl Display for Seed {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_avatar_depends_only_on_the_hash_and_does_not_reveal_the_hash() {
        let address = Avatars::Identicon.address("0bc83cb571cd1c50ba6f3e8a78ef1346");
        assert_eq!(
            address,
            Avatars::Identicon.address("0bc83cb571cd1c50ba6f3e8a78ef1346")
        );
        assert!(!address.contains("0bc83cb5"));
        let seed = Seed::parse(address.strip_prefix("/-/avatar/").unwrap()).unwrap();
        assert!(seed.draw().starts_with("<svg"));
    }

    #[test]
    fn text_that_is_not_a_seed_is_rejected() {
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
