//! Generates the steps of a crowd from its seed.
//!
//! The sequence is endless and independent of time. The caller decides how many steps are taken and
//! how fast. The generator tracks the follows between users, so that three of four unfollows end an
//! existing follow.

use std::collections::HashSet;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::action::{Action, Command, Kind};
use crate::crowd::{CrowdPlan, REGISTER_SHARE};
use crate::phrases;

/// The proportions of the course's scenario, in thousandths of all actions with registrations.
const TWEET_WEIGHT: u32 = 436;
const FOLLOW_WEIGHT: u32 = 376;
const UNFOLLOW_WEIGHT: u32 = 180;

/// The share of unfollows of a user who is not followed.
const NO_OP_UNFOLLOW_SHARE: f64 = 0.25;

/// The mean pause between actions in the course's scenario, and the time of its first action.
const DELAY_MS: u32 = 232_893;
const FIRST_TIMESTAMP_MS: i64 = 1_582_246_860_738;

/// One action, in which users are numbered in the order of their registration.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) id: i64,
    pub(crate) kind: Kind,
    pub(crate) actor: u32,
    /// The user to follow or unfollow. Other kinds ignore the field.
    pub(crate) whom: u32,
    /// The text of the message if the step is a message or is replaced by one.
    pub(crate) text: String,
}

impl Step {
    /// The action of this step.
    pub(crate) fn into_action(self, plan: &CrowdPlan) -> Action {
        let user = plan.user(self.actor);
        let whom = |number| plan.user(number).name;
        let command = match self.kind {
            Kind::Register => Command::Register {
                email: user.email,
                password: user.password,
            },
            Kind::Tweet => Command::Tweet { content: self.text },
            Kind::Follow => Command::Follow {
                whom: whom(self.whom),
            },
            Kind::Unfollow => Command::Unfollow {
                whom: whom(self.whom),
            },
            Kind::ReadAll => Command::ReadAll,
            Kind::ReadMessages => Command::ReadMessages,
            Kind::ReadFollows => Command::ReadFollows,
            Kind::ReadLatest => Command::ReadLatest,
        };
        Action {
            id: self.id,
            delay: if self.id == 0 { 0 } else { DELAY_MS.into() },
            timestamp_ms: FIRST_TIMESTAMP_MS + self.id * i64::from(DELAY_MS),
            username: user.name,
            command,
        }
    }
}

/// The endless sequence of a crowd's steps.
pub(crate) struct Crowd {
    plan: CrowdPlan,
    tag: String,
    rng: StdRng,
    next_id: i64,
    /// Number of users registered so far.
    registered: u32,
    /// Number of registrations per further step.
    register_rate: f64,
    /// Fraction of the next registration that is due. At 1, the step is a registration.
    register_due: f64,
    follows: Vec<(u32, u32)>,
    followed: HashSet<(u32, u32)>,
}

impl Crowd {
    pub(crate) fn new(plan: CrowdPlan) -> Self {
        let later = f64::from(plan.users - plan.users_at_start());
        let register_rate = match plan.actions {
            Some(actions) => later / rest(actions, plan.users_at_start()),
            None => REGISTER_SHARE,
        };
        Self {
            tag: plan.tag(),
            rng: StdRng::seed_from_u64(plan.seed),
            next_id: 0,
            registered: 0,
            register_rate,
            register_due: 0.5,
            follows: Vec::new(),
            followed: HashSet::new(),
            plan,
        }
    }

    fn kind(&mut self) -> Kind {
        if self.registered < self.plan.users_at_start() {
            return Kind::Register;
        }
        if self.registered < self.plan.users {
            self.register_due += self.register_rate;
            if self.register_due >= 1.0 {
                self.register_due -= 1.0;
                return Kind::Register;
            }
        }
        if self.plan.reads > 0.0 && self.rng.random_bool(self.plan.reads) {
            return match self.rng.random_range(0..10) {
                0..4 => Kind::ReadAll,
                4..7 => Kind::ReadMessages,
                7..9 => Kind::ReadFollows,
                _ => Kind::ReadLatest,
            };
        }
        let draw = self
            .rng
            .random_range(0..TWEET_WEIGHT + FOLLOW_WEIGHT + UNFOLLOW_WEIGHT);
        match draw {
            0..TWEET_WEIGHT => Kind::Tweet,
            TWEET_WEIGHT..812 => Kind::Follow,
            _ => Kind::Unfollow,
        }
    }

    /// A pair without a follow, or any pair if 16 random pairs all have one.
    fn unrelated_pair(&mut self) -> (u32, u32) {
        let mut pair = self.pair();
        for _ in 0..16 {
            if !self.followed.contains(&pair) {
                break;
            }
            pair = self.pair();
        }
        pair
    }

    fn pair(&mut self) -> (u32, u32) {
        let who = self.rng.random_range(0..self.registered);
        if self.registered == 1 {
            return (who, who);
        }
        let step = self.rng.random_range(1..self.registered);
        (who, (who + step) % self.registered)
    }

    fn follow(&mut self) -> (u32, u32) {
        let pair = self.unrelated_pair();
        if self.followed.insert(pair) {
            self.follows.push(pair);
        }
        pair
    }

    fn unfollow(&mut self) -> (u32, u32) {
        if self.follows.is_empty() || self.rng.random_bool(NO_OP_UNFOLLOW_SHARE) {
            return self.unrelated_pair();
        }
        let index = self.rng.random_range(0..self.follows.len());
        let pair = self.follows.swap_remove(index);
        self.followed.remove(&pair);
        pair
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of actions")]
fn rest(actions: u64, at_start: u32) -> f64 {
    actions.saturating_sub(u64::from(at_start)).max(1) as f64
}

impl Iterator for Crowd {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let id = self.next_id;
        self.next_id += 1;
        let kind = self.kind();
        let (actor, whom) = match kind {
            Kind::Register => {
                self.registered += 1;
                (self.registered - 1, 0)
            }
            Kind::Follow => self.follow(),
            Kind::Unfollow => self.unfollow(),
            _ => (self.rng.random_range(0..self.registered), 0),
        };
        let text = phrases::text(&mut self.rng, &format!("{}.{id}", self.tag));
        Some(Step {
            id,
            kind,
            actor,
            whom,
            text,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(steps: &[Step], matches: impl Fn(&Step) -> bool) -> f64 {
        let count = u32::try_from(steps.iter().filter(|step| matches(step)).count()).unwrap();
        f64::from(count) / f64::from(u32::try_from(steps.len()).unwrap())
    }

    #[test]
    fn the_proportions_are_those_of_the_courses_scenario() {
        let plan = CrowdPlan::new(1, Some(25_000), None, 0.0);
        assert_eq!(plan.users, 200);
        let steps: Vec<_> = Crowd::new(plan).take(25_000).collect();
        for (kind, expected) in [
            (Kind::Register, 0.008),
            (Kind::Tweet, 0.436),
            (Kind::Follow, 0.376),
            (Kind::Unfollow, 0.18),
        ] {
            let share = share(&steps, |step| step.kind == kind);
            assert!((share - expected).abs() < 0.02, "{kind:?}: {share}");
        }
        let non_ascii = share(&steps, |step| {
            step.kind == Kind::Tweet && !step.text.is_ascii()
        }) / 0.436;
        assert!((non_ascii - 0.45).abs() < 0.03, "{non_ascii}");
        assert!(
            steps[20_000..]
                .iter()
                .any(|step| step.kind == Kind::Register),
            "registrations are spread over the run"
        );
    }

    #[test]
    fn a_quarter_of_the_unfollows_ends_no_follow() {
        let mut followed = HashSet::new();
        let (mut without_effect, mut all) = (0.0, 0.0);
        for step in Crowd::new(CrowdPlan::new(2, Some(20_000), None, 0.0)).take(20_000) {
            let pair = (step.actor, step.whom);
            match step.kind {
                Kind::Follow => {
                    followed.insert(pair);
                }
                Kind::Unfollow => {
                    all += 1.0;
                    without_effect += if followed.remove(&pair) { 0.0 } else { 1.0 };
                }
                _ => {}
            }
        }
        let share: f64 = without_effect / all;
        assert!((share - 0.25).abs() < 0.03, "{share}");
    }

    #[test]
    fn users_act_only_after_their_registration() {
        let mut registered = 0;
        for step in Crowd::new(CrowdPlan::new(3, Some(5_000), None, 0.3)).take(5_000) {
            if step.kind == Kind::Register {
                assert_eq!(step.actor, registered);
                registered += 1;
            } else {
                assert!(step.actor < registered && step.whom < registered);
            }
        }
        assert_eq!(registered, 40);
    }

    #[test]
    fn reads_take_their_share() {
        let steps: Vec<_> = Crowd::new(CrowdPlan::new(4, Some(5_000), None, 0.5))
            .take(5_000)
            .collect();
        let reads = share(&steps, |step| !step.kind.is_write());
        assert!((reads - 0.5).abs() < 0.03, "{reads}");
    }

    #[test]
    fn the_same_seed_generates_the_same_crowd_and_another_seed_a_different_one() {
        let lines = |seed| {
            let plan = CrowdPlan::new(seed, Some(500), None, 0.0);
            let steps = Crowd::new(plan.clone()).take(500);
            let mut file = Vec::new();
            crate::scenario::write(steps.map(|step| step.into_action(&plan)), &mut file).unwrap();
            file
        };
        assert_eq!(lines(7), lines(7));
        let names = |seed| {
            let plan = CrowdPlan::new(seed, None, None, 0.0);
            (0..200)
                .map(|number| plan.user(number).name)
                .collect::<HashSet<_>>()
        };
        assert_eq!(names(7).len(), 200);
        assert!(names(7).is_disjoint(&names(8)));
    }

    #[test]
    fn a_crowd_can_have_a_single_user() {
        let steps: Vec<_> = Crowd::new(CrowdPlan::new(5, Some(50), Some(1), 0.0))
            .take(50)
            .collect();
        assert_eq!(
            steps
                .iter()
                .filter(|step| step.kind == Kind::Register)
                .count(),
            1
        );
    }
}
