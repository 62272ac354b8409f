//! Password hashes of the old system: `method$salt$hex`. The salt is used as text, without decoding.

use hmac::{Hmac, KeyInit, Mac};
use scrypt::Params;
use sha1::Sha1;
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// Maximum number of PBKDF2 rounds. The old system used fewer, so a damaged number cannot block a thread
/// for minutes.
const PBKDF2_ROUNDS_MAX: u32 = 2_000_000;

/// Maximum of N · r · p. The old system used 2^18. Four times as much needs 128 MiB and one second.
const SCRYPT_COST_MAX: u64 = 1 << 20;

/// Whether `stored` is a hash of `password`. A hash of an unknown format matches no password.
pub(super) fn matches(stored: &str, password: &str) -> bool {
    let mut parts = stored.splitn(3, '$');
    let (Some(method), Some(salt), Some(hex)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let Some(method) = Method::parse(method) else {
        return false;
    };
    // A hash of the wrong length cannot match, so the expensive derivation is not needed.
    let Some(expected) = decode(hex).filter(|bytes| bytes.len() == method.output_bytes()) else {
        return false;
    };
    let actual = method.derive(password.as_bytes(), salt.as_bytes());
    expected.ct_eq(&actual).into()
}

enum Method {
    Pbkdf2 { rounds: u32 },
    Scrypt(Params),
    Sha1,
}

impl Method {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let method = match parts.next()? {
            "pbkdf2" if parts.next()? == "sha256" => {
                let rounds = parts.next()?.parse().ok()?;
                let within = (1..=PBKDF2_ROUNDS_MAX).contains(&rounds);
                within.then_some(Self::Pbkdf2 { rounds })?
            }
            "scrypt" => {
                let mut number = || parts.next()?.parse::<u32>().ok();
                Self::Scrypt(scrypt_params(number()?, number()?, number()?)?)
            }
            "sha1" => Self::Sha1,
            _ => return None,
        };
        parts.next().is_none().then_some(method)
    }

    fn output_bytes(&self) -> usize {
        match self {
            Self::Pbkdf2 { .. } => 32,
            Self::Scrypt(_) => 64,
            Self::Sha1 => 20,
        }
    }

    fn derive(&self, password: &[u8], salt: &[u8]) -> Vec<u8> {
        let mut output = vec![0; self.output_bytes()];
        match self {
            Self::Pbkdf2 { rounds } => {
                pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, *rounds, &mut output);
            }
            Self::Scrypt(params) => {
                scrypt::scrypt(password, salt, params, &mut output)
                    .expect("64 bytes are a valid length");
            }
            Self::Sha1 => {
                let mut mac =
                    Hmac::<Sha1>::new_from_slice(salt).expect("a key may have any length");
                mac.update(password);
                output.copy_from_slice(&mac.finalize().into_bytes());
            }
        }
        output
    }
}

fn scrypt_params(n: u32, r: u32, p: u32) -> Option<Params> {
    let cost = u64::from(n)
        .checked_mul(u64::from(r))?
        .checked_mul(u64::from(p))?;
    if !n.is_power_of_two() || cost > SCRYPT_COST_MAX {
        return None;
    }
    Params::new(u8::try_from(n.ilog2()).ok()?, r, p).ok()
}

fn decode(hex: &str) -> Option<Vec<u8>> {
    let digit = |character: u8| char::from(character).to_digit(16);
    let (pairs, []) = hex.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok();
    pairs.iter().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hashes and passwords, computed with Python's `hashlib` and `hmac`.
    const KNOWN: [(&str, &str); 6] = [
        (
            "pbkdf2:sha256:50000$zrxYqWfg$b7a2eb0f8db955eb17abaf686d8172f0534588a9f30e67debdcff00a90cd31ba",
            "default",
        ),
        (
            "pbkdf2:sha256:260000$TsCFqMXDsXJXS4oP$ed9be1d0d16a6b7116c3f5e604402b7cb3d7ae104fc2ea69bad4a631e849e079",
            "blåbær 😀",
        ),
        (
            "pbkdf2:sha256:1000$x$0ad6d3a9bbc6488d2ec44d87fe49af7da6f59ce9d2ab89565c5206c1776d3cbf",
            "default",
        ),
        (
            "scrypt:32768:8:1$oG8XnFzWmGcTqYdM$16c3b026de71c35e0f4d617f06ac848dd72fd63399ba01dcf25d97abf826c028cd0f72a475325c3973ec0a37d5a501250d1341c1fa5aabf9f3987d2e7b8c5092",
            "s3cret/$pass",
        ),
        (
            "sha1$Kq3v$72d33ba352a94ff1855070b1d993b10db56a6ec5",
            "password",
        ),
        ("sha1$Kq3v$04c8249552a79a5e95397a821b522554ea0d3cd5", ""),
    ];

    #[test]
    fn known_hashes_match_only_their_password() {
        for (stored, password) in KNOWN {
            assert!(matches(stored, password), "{stored}");
            assert!(!matches(stored, "another"), "{stored}");
        }
    }

    #[test]
    fn damaged_hashes_match_no_password() {
        let (sha1, sha1_password) = KNOWN[4];
        for damaged in [
            "",
            "$",
            "$$",
            "sha1",
            "sha1$Kq3v",
            "sha1$Kq3v$",
            "sha1:1$Kq3v$72d33ba352a94ff1855070b1d993b10db56a6ec5",
            "sha1$Kq3v$72d33ba352a94ff1855070b1d993b10db56a6ec",
            "sha1$Kq3v$72d33ba352a94ff1855070b1d993b10db56a6ezz",
            "sha1$Kq3v$72d33ba352a94ff1855070b1d993b10db56a6ec500",
            "sha1$Kq3v$ææææææææææææææææææææ",
            "md5$Kq3v$72d33ba352a94ff1855070b1d993b10db56a6ec5",
            "pbkdf2$x$00",
            "pbkdf2:sha1:1000$x$00",
            "pbkdf2:sha256:0$x$0ad6d3a9bbc6488d2ec44d87fe49af7da6f59ce9d2ab89565c5206c1776d3cbf",
            "pbkdf2:sha256:-1$x$0ad6d3a9bbc6488d2ec44d87fe49af7da6f59ce9d2ab89565c5206c1776d3cbf",
            "pbkdf2:sha256:1000:1$x$0ad6d3a9bbc6488d2ec44d87fe49af7da6f59ce9d2ab89565c5206c1776d3cbf",
            "pbkdf2:sha256:2000001$x$0ad6d3a9bbc6488d2ec44d87fe49af7da6f59ce9d2ab89565c5206c1776d3cbf",
            "scrypt:0:0:0$x$00",
            "7",
        ] {
            assert!(!matches(damaged, "password"), "{damaged}");
            assert!(!matches(damaged, "default"), "{damaged}");
        }
        assert!(matches(sha1, sha1_password));
    }

    #[test]
    fn a_hash_that_requires_excessive_work_is_refused_immediately() {
        let start = std::time::Instant::now();
        let hex = "0".repeat(128);
        for method in [
            "scrypt:1073741824:8:1",
            "scrypt:32768:4294967295:1",
            "scrypt:32768:8:4294967295",
            "scrypt:2:1:536870912",
            "scrypt:32767:8:1",
        ] {
            assert!(!matches(&format!("{method}$x${hex}"), "password"));
        }
        assert!(start.elapsed() < std::time::Duration::from_secs(1));
    }
}
