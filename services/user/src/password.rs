//! Passwords: argon2id for new ones, and whatever the old system left behind.
//!
//! Everything here costs a processor's time on purpose: call it through the
//! [`Hasher`](crate::hasher::Hasher).

use std::fmt::{self, Debug, Formatter};

use argon2::{
    Algorithm, Argon2, Params,
    password_hash::{PasswordHasher, PasswordVerifier, phc},
};

mod legacy;

/// The most that a stored hash may ask for: a damaged one must cost neither memory nor minutes.
const MEMORY_KIB_MAX: u32 = 256 * 1024;
const PASSES_MAX: u32 = 16;
const LANES_MAX: u32 = 16;

/// What stands before the hash of a password that is good for one sign-in.
const ONCE: &str = "once:";

/// What stands there once that sign-in has been.
const USED: &str = "used:";

/// What is kept of a password. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

/// What a password turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not the one.
    Wrong,
    /// The one.
    Right,
    /// The one, and this is to be kept of it from now on.
    Outdated(PasswordHash),
    /// The one, good for a single sign-in: for whoever puts this in the place of what was kept.
    OneTime(PasswordHash),
}

impl PasswordHash {
    /// What a database has kept, in whichever format.
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// What a database is to keep.
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

    /// Hashes a password that is good for a single sign-in.
    pub fn one_time(password: &str) -> Self {
        Self(format!("{ONCE}{}", Self::of(password).0))
    }

    /// The same as if the password were good for any number of sign-ins.
    #[must_use]
    pub fn for_good(&self) -> Self {
        let hash = self.0.strip_prefix(ONCE);
        let hash = hash.or_else(|| self.0.strip_prefix(USED));
        Self(hash.unwrap_or(&self.0).to_owned())
    }

    /// Which format it is in: what stands before the salt, if that is one that is known.
    pub fn format(&self) -> &str {
        if self.0.starts_with(ONCE) || self.0.starts_with(USED) {
            return "one-time";
        }
        let hash = self.0.strip_prefix('$').unwrap_or(&self.0);
        let format = hash.split('$').next().unwrap_or_default();
        let known = ["argon2id", "pbkdf2:", "scrypt:", "sha1"];
        let is_known = known.iter().any(|known| format.starts_with(known));
        if is_known { format } else { "unknown" }
    }

    /// Compares with a password as typed. A damaged hash matches none.
    pub fn verify(&self, password: &str) -> Verdict {
        if self.0.starts_with(USED) {
            return Verdict::Wrong;
        }
        if let Some(hash) = self.0.strip_prefix(ONCE) {
            return match self.for_good().verify(password) {
                Verdict::Wrong => Verdict::Wrong,
                _ => Verdict::OneTime(Self(format!("{USED}{hash}"))),
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

/// Whether a hash is at least as strong as a new one would be.
fn is_current(hash: &phc::PasswordHash, params: &Params) -> bool {
    hash.algorithm == Algorithm::Argon2id.ident()
        && params.m_cost() >= Params::DEFAULT_M_COST
        && params.t_cost() >= Params::DEFAULT_T_COST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_hash_knows_its_password_and_no_other() {
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
    fn a_one_time_password_is_good_once_and_then_for_its_change_alone() {
        let once = PasswordHash::one_time("secret");
        assert_eq!(once.verify("another"), Verdict::Wrong);
        let Verdict::OneTime(used) = once.verify("secret") else {
            panic!("it is a one-time password");
        };
        assert_eq!(used.verify("secret"), Verdict::Wrong);
        assert_eq!(used.for_good().verify("secret"), Verdict::Right);
        assert_eq!(once.format(), "one-time");
    }

    #[test]
    fn a_format_tells_nothing_of_the_hash() {
        let format = |stored: &str| PasswordHash::stored(stored.to_owned()).format().to_owned();
        assert_eq!(format("pbkdf2:sha256:50000$salt$00"), "pbkdf2:sha256:50000");
        assert_eq!(format("sha1$salt$00"), "sha1");
        assert_eq!(format("0123456789abcdef"), "unknown");
        assert_eq!(PasswordHash::of("a").format(), "argon2id");
    }

    #[test]
    fn a_damaged_hash_matches_nothing() {
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
    fn a_hash_is_never_shown() {
        let shown = format!("{:?}", Verdict::Outdated(PasswordHash::of("secret")));
        assert_eq!(shown, "Outdated(PasswordHash(…))");
    }
}
