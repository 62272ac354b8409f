//! Password hashes: argon2id for new passwords, and the formats of the old system.
//!
//! Hashing and verifying need much processor time by design, so callers run them in the
//! [`Hasher`](crate::hasher::Hasher).

use std::fmt::{self, Debug, Formatter};

use argon2::{
    Algorithm, Argon2, Params,
    password_hash::{PasswordHasher, PasswordVerifier, phc},
};

mod legacy;

/// Maximum memory that a stored hash may require, in KiB. With these three limits a damaged hash cannot use
/// up the memory or block a thread for minutes.
const MEMORY_KIB_MAX: u32 = 256 * 1024;
/// Maximum iteration count of argon2 in a stored hash.
const PASSES_MAX: u32 = 16;
/// Maximum number of lanes that a stored hash may require.
const LANES_MAX: u32 = 16;

/// Prefix of the hash of a one-time password.
const ONE_TIME_PREFIX: &str = "once:";

/// Prefix of the hash of a one-time password after its sign-in.
const USED_PREFIX: &str = "used:";

/// Stored form of a password. Its `Debug` output does not contain the hash.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

/// Result of comparing a password with a hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The password is wrong.
    Wrong,
    /// The password is right.
    Right,
    /// The password is right. The new hash should replace the stored one.
    Outdated(PasswordHash),
    /// The one-time password is right. The sign-in succeeds only if it replaces the stored hash by this
    /// hash.
    OneTime(PasswordHash),
}

impl PasswordHash {
    /// A hash from the database, in any format.
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// The text to store in the database.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Hashes a new password.
    pub fn of(password: &str) -> Self {
        let hash: phc::PasswordHash = Argon2::default()
            .hash_password(password.as_bytes())
            .expect("a password is far shorter than argon2's 4 GiB");
        Self(hash.to_string())
    }

    /// Hashes a one-time password.
    pub fn one_time(password: &str) -> Self {
        Self(format!("{ONE_TIME_PREFIX}{}", Self::of(password).0))
    }

    /// The same hash without the limit to one sign-in.
    #[must_use]
    pub fn reusable(&self) -> Self {
        let hash = self.0.strip_prefix(ONE_TIME_PREFIX);
        let hash = hash.or_else(|| self.0.strip_prefix(USED_PREFIX));
        Self(hash.unwrap_or(&self.0).to_owned())
    }

    /// Name of the format: the text before the salt, or `unknown`.
    pub fn format(&self) -> &str {
        if self.0.starts_with(ONE_TIME_PREFIX) || self.0.starts_with(USED_PREFIX) {
            return "one-time";
        }
        let hash = self.0.strip_prefix('$').unwrap_or(&self.0);
        let format = hash.split('$').next().unwrap_or_default();
        let known = ["argon2id", "pbkdf2:", "scrypt:", "sha1"];
        let is_known = known.iter().any(|known| format.starts_with(known));
        if is_known { format } else { "unknown" }
    }

    /// Compares a password with this hash. A damaged hash matches no password.
    pub fn verify(&self, password: &str) -> Verdict {
        if self.0.starts_with(USED_PREFIX) {
            return Verdict::Wrong;
        }
        if let Some(hash) = self.0.strip_prefix(ONE_TIME_PREFIX) {
            return match self.reusable().verify(password) {
                Verdict::Wrong => Verdict::Wrong,
                _ => Verdict::OneTime(Self(format!("{USED_PREFIX}{hash}"))),
            };
        }
        if !self.0.starts_with("$argon2") {
            return if legacy::matches(&self.0, password) {
                Verdict::Outdated(Self::of(password))
            } else {
                Verdict::Wrong
            };
        }
        let Ok(hash) = phc::PasswordHash::new(&self.0) else {
            return Verdict::Wrong;
        };
        let Some(params) = params_within_bounds(&hash) else {
            return Verdict::Wrong;
        };
        let matched = Argon2::default().verify_password(password.as_bytes(), &hash);
        match matched {
            Err(_) => Verdict::Wrong,
            Ok(()) if is_current(&hash, &params) => Verdict::Right,
            Ok(()) => Verdict::Outdated(Self::of(password)),
        }
    }
}

impl Debug for PasswordHash {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("PasswordHash(…)")
    }
}

fn params_within_bounds(hash: &phc::PasswordHash) -> Option<Params> {
    let params = Params::try_from(hash).ok()?;
    let within = params.m_cost() <= MEMORY_KIB_MAX
        && params.t_cost() <= PASSES_MAX
        && params.p_cost() <= LANES_MAX;
    within.then_some(params)
}

/// Whether a hash is at least as strong as a new hash.
fn is_current(hash: &phc::PasswordHash, params: &Params) -> bool {
    hash.algorithm == Algorithm::Argon2id.ident()
        && params.m_cost() >= Params::DEFAULT_M_COST
        && params.t_cost() >= Params::DEFAULT_T_COST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_hash_matches_only_its_password() {
        let hash = PasswordHash::of("pæss wörd 😀");
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_eq!(hash.verify("pæss wörd 😀"), Verdict::Right);
        assert_eq!(hash.verify("pæss wörd"), Verdict::Wrong);
    }

    #[test]
    fn the_same_password_is_hashed_differently_each_time() {
        assert_ne!(PasswordHash::of("a"), PasswordHash::of("a"));
    }

    #[test]
    fn a_weaker_hash_is_outdated() {
        let params = Params::new(1024, 1, 1, None).unwrap();
        let weak = Argon2::new(Algorithm::Argon2id, argon2::Version::V0x13, params);
        let weak: phc::PasswordHash = weak.hash_password(b"secret").unwrap();
        let Verdict::Outdated(renewed) = PasswordHash::stored(weak.to_string()).verify("secret")
        else {
            panic!("a weak hash is renewed");
        };
        assert_eq!(renewed.verify("secret"), Verdict::Right);
    }

    #[test]
    fn a_one_time_password_matches_once_and_then_only_for_its_change() {
        let one_time = PasswordHash::one_time("secret");
        assert_eq!(one_time.verify("another"), Verdict::Wrong);
        let Verdict::OneTime(used) = one_time.verify("secret") else {
            panic!("the password is a one-time password");
        };
        assert_eq!(used.verify("secret"), Verdict::Wrong);
        assert_eq!(used.reusable().verify("secret"), Verdict::Right);
        assert_eq!(one_time.format(), "one-time");
    }

    #[test]
    fn a_format_contains_no_part_of_the_hash() {
        let format = |stored: &str| PasswordHash::stored(stored.to_owned()).format().to_owned();
        assert_eq!(format("pbkdf2:sha256:50000$salt$00"), "pbkdf2:sha256:50000");
        assert_eq!(format("sha1$salt$00"), "sha1");
        assert_eq!(format("0123456789abcdef"), "unknown");
        assert_eq!(PasswordHash::of("a").format(), "argon2id");
    }

    #[test]
    fn a_damaged_hash_matches_no_password() {
        for damaged in [
            "",
            "$argon2id",
            "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ",
            "$argon2id$v=19$m=4294967295,t=2,p=1$c2FsdHNhbHQ$MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE",
            "$argon2id$v=19$m=64,t=4294967295,p=1$c2FsdHNhbHQ$MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE",
            "$argon2x$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE",
        ] {
            let hash = PasswordHash::stored(damaged.to_owned());
            assert_eq!(hash.verify(""), Verdict::Wrong, "{damaged}");
            assert_eq!(hash.verify("secret"), Verdict::Wrong, "{damaged}");
        }
    }

    #[test]
    fn the_debug_output_contains_no_hash() {
        let debug = format!("{:?}", Verdict::Outdated(PasswordHash::of("secret")));
        assert_eq!(debug, "Outdated(PasswordHash(…))");
    }
}
