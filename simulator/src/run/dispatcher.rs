//! Adapts the generated steps of a crowd to the outcomes of earlier requests.
//!
//! The step generator does not know these outcomes. The dispatcher guarantees two properties, so
//! that the final state is known:
//!
//! - Only users whose registration was acknowledged act or are followed.
//! - No two writes to the same pair of users are in flight at the same time. A pair whose write got
//!   no response is never written to again.
//!
//! The dispatcher replaces the users of a step that would violate these properties by other users.

use std::collections::HashSet;

use crate::action::{Action, Kind};
use crate::attempt::RequestOutcome;
use crate::crowd::CrowdPlan;
use crate::steps::{Crowd, Step};

/// Returns the steps of a crowd one at a time and records their outcomes.
pub(crate) struct Dispatcher {
    plan: CrowdPlan,
    crowd: Crowd,
    remaining: u64,
    registered: Vec<u32>,
    is_registered: HashSet<u32>,
    /// Pairs with a write that is in flight or got no response.
    locked_pairs: HashSet<(u32, u32)>,
}

impl Dispatcher {
    pub(crate) fn new(plan: CrowdPlan) -> Self {
        Self {
            crowd: Crowd::new(plan.clone()),
            remaining: plan.actions.unwrap_or(u64::MAX),
            plan,
            registered: Vec::new(),
            is_registered: HashSet::new(),
            locked_pairs: HashSet::new(),
        }
    }

    /// The next step and its request, or `None` if all actions are used up or no user is registered.
    pub(crate) fn next(&mut self) -> Option<(Step, Action)> {
        self.remaining = self.remaining.checked_sub(1)?;
        let mut step = self.crowd.next()?;
        if step.kind != Kind::Register {
            step.actor = self.registered_user(step.actor)?;
        }
        if matches!(step.kind, Kind::Follow | Kind::Unfollow) {
            match self.unlocked_target(step.actor, step.whom) {
                Some(whom) => {
                    step.whom = whom;
                    self.locked_pairs.insert((step.actor, whom));
                }
                None => step.kind = Kind::Tweet,
            }
        }
        let action = step.clone().into_action(&self.plan);
        Some((step, action))
    }

    /// Records the outcome of a step.
    pub(crate) fn record_outcome(&mut self, step: &Step, outcome: &RequestOutcome) {
        let has_unknown_effect = match outcome {
            RequestOutcome::Status(status) => *status >= 500,
            RequestOutcome::TimedOut | RequestOutcome::Broken(_) => true,
            RequestOutcome::NotConnected(_) | RequestOutcome::NotSent => false,
        };
        match step.kind {
            Kind::Register
                if outcome.is_expected(Kind::Register) && self.is_registered.insert(step.actor) =>
            {
                self.registered.push(step.actor);
            }
            Kind::Follow | Kind::Unfollow if !has_unknown_effect => {
                self.locked_pairs.remove(&(step.actor, step.whom));
            }
            _ => {}
        }
    }

    /// Returns `user` if registered, otherwise another registered user.
    fn registered_user(&self, user: u32) -> Option<u32> {
        if self.is_registered.contains(&user) {
            return Some(user);
        }
        self.nth_registered(usize::try_from(user).unwrap_or(0))
    }

    /// Returns `whom` if the pair is not locked, otherwise another registered user whose pair with
    /// `actor` is not locked.
    fn unlocked_target(&self, actor: u32, whom: u32) -> Option<u32> {
        let is_unlocked =
            |whom: &u32| *whom != actor && !self.locked_pairs.contains(&(actor, *whom));
        if self.is_registered.contains(&whom) && is_unlocked(&whom) {
            return Some(whom);
        }
        let first = usize::try_from(whom).unwrap_or(0);
        (0..self.registered.len())
            .filter_map(|offset| self.nth_registered(first + offset))
            .find(is_unlocked)
    }

    fn nth_registered(&self, index: usize) -> Option<u32> {
        self.registered
            .get(index.checked_rem(self.registered.len())?)
            .copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dispatcher(users: u32) -> Dispatcher {
        Dispatcher::new(CrowdPlan::new(1, Some(1_000), Some(users), 0.0))
    }

    #[test]
    fn only_registered_users_act() {
        let mut dispatcher = dispatcher(10);
        let at_start = dispatcher.plan.users_at_start();
        for number in 0..at_start {
            let (step, _) = dispatcher.next().unwrap();
            let status = if number == 0 { 500 } else { 204 };
            dispatcher.record_outcome(&step, &RequestOutcome::Status(status));
        }
        while let Some((step, _)) = dispatcher.next() {
            assert!(step.kind == Kind::Register || (1..at_start).contains(&step.actor));
            assert!(
                !matches!(step.kind, Kind::Follow | Kind::Unfollow)
                    || (1..at_start).contains(&step.whom)
            );
            dispatcher.record_outcome(
                &step,
                &RequestOutcome::Status(if step.actor < at_start { 204 } else { 500 }),
            );
        }
    }

    #[test]
    fn a_pair_never_has_two_writes_in_flight() {
        let mut dispatcher = dispatcher(5);
        for _ in 0..5 {
            let (step, _) = dispatcher.next().unwrap();
            dispatcher.record_outcome(&step, &RequestOutcome::Status(204));
        }
        let mut pairs = HashSet::new();
        while let Some((step, _)) = dispatcher.next() {
            if matches!(step.kind, Kind::Follow | Kind::Unfollow) {
                assert_ne!(step.actor, step.whom);
                assert!(
                    pairs.insert((step.actor, step.whom)),
                    "never final_value, and handed out"
                );
            }
            dispatcher.record_outcome(&step, &RequestOutcome::TimedOut);
        }
        assert_eq!(pairs.len(), 20, "the other steps became messages");
    }

    #[test]
    fn without_a_registered_user_there_is_no_step() {
        let mut dispatcher = dispatcher(5);
        for _ in 0..5 {
            assert!(dispatcher.next().is_some());
        }
        assert!(dispatcher.next().is_none());
    }
}
