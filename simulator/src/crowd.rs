//! A crowd of the course's habits: how many there are, and who they are.

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::words;

/// The course's share of registrations.
pub(crate) const REGISTER_SHARE: f64 = 0.008;

/// A crowd without a given size has at least so many users: with fewer, there is hardly anybody to
/// follow.
const USERS_MIN: u32 = 20;

/// What a crowd of unknown length has.
const USERS_DEFAULT: u32 = 200;

/// What there is to know of a crowd before it acts.
#[derive(Clone, Debug)]
pub(crate) struct CrowdPlan {
    /// The same seed makes the same crowd.
    pub(crate) seed: u64,
    /// How many users register in the whole run.
    pub(crate) users: u32,
    /// How many actions there will be, if that is known.
    pub(crate) actions: Option<u64>,
    /// The share of reads, 0 to 1.
    pub(crate) reads: f64,
}

impl CrowdPlan {
    pub(crate) fn new(seed: u64, actions: Option<u64>, users: Option<u32>, reads: f64) -> Self {
        let users = users.unwrap_or_else(|| actions.map_or(USERS_DEFAULT, usual_users));
        Self {
            seed,
            users,
            actions,
            reads,
        }
    }

    /// How many users register before anybody does anything else.
    pub(crate) fn users_at_start(&self) -> u32 {
        (self.users / 4).clamp(5, 40).min(self.users)
    }

    /// The user with this number.
    pub(crate) fn user(&self, number: u32) -> User {
        let mut rng = StdRng::seed_from_u64(self.seed.rotate_left(17) ^ u64::from(number));
        let name = words::full_name(&mut rng, &format!("{}-{number}", self.tag()));
        let email = words::email(&mut rng, &name);
        User {
            email,
            password: words::password(&mut rng),
            name,
        }
    }

    /// What tells this crowd's names and texts from another's.
    pub(crate) fn tag(&self) -> String {
        let mut rest = self.seed;
        let mut digits = Vec::new();
        loop {
            let digit = u32::try_from(rest % 36).expect("less than 36");
            digits.push(char::from_digit(digit, 36).expect("a digit of base 36"));
            rest /= 36;
            if rest == 0 {
                return digits.into_iter().rev().collect();
            }
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a count; saturating is right at both ends"
)]
fn usual_users(actions: u64) -> u32 {
    let usual = (actions as f64 * REGISTER_SHARE).round() as u32;
    usual
        .max(USERS_MIN)
        .min(u32::try_from(actions).unwrap_or(u32::MAX))
}

/// One of the crowd.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) password: String,
}
