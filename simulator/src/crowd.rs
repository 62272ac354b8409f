//! The plan of a crowd, which is a set of simulated users with the proportions of the course's scenario.

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::phrases;

/// The share of registrations among the actions of the course's scenario.
pub(crate) const REGISTER_SHARE: f64 = 0.008;

/// Minimum number of users of a crowd without a given size. In a smaller crowd, there would be too
/// few users to follow.
const USERS_MIN: u32 = 20;

/// Number of users of a crowd without a given number of actions.
const USERS_DEFAULT: u32 = 200;

/// The parameters of a crowd.
#[derive(Clone, Debug)]
pub(crate) struct CrowdPlan {
    /// The seed of the random generator. The same seed generates the same crowd.
    pub(crate) seed: u64,
    /// Number of users that register in the whole run.
    pub(crate) users: u32,
    /// Number of actions, or `None` for a run with a time limit.
    pub(crate) actions: Option<u64>,
    /// The share of reads among the actions, from 0 to 1.
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

    /// Number of users that register before any other action.
    pub(crate) fn users_at_start(&self) -> u32 {
        (self.users / 4).clamp(5, 40).min(self.users)
    }

    /// The user with this number.
    pub(crate) fn user(&self, number: u32) -> User {
        let mut rng = StdRng::seed_from_u64(self.seed.rotate_left(17) ^ u64::from(number));
        let name = phrases::full_name(&mut rng, &format!("{}-{number}", self.tag()));
        let email = phrases::email(&mut rng, &name);
        User {
            email,
            password: phrases::password(&mut rng),
            name,
        }
    }

    /// A text for the seed, which makes the names and texts of this crowd unique.
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
    reason = "a share of a count, where saturation is correct at both ends"
)]
fn usual_users(actions: u64) -> u32 {
    let usual = (actions as f64 * REGISTER_SHARE).round() as u32;
    usual
        .max(USERS_MIN)
        .min(u32::try_from(actions).unwrap_or(u32::MAX))
}

/// A simulated user.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) password: String,
}
