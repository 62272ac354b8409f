//! Which of the crowd may act, and on whom.
//!
//! The crowd's plan does not know how its requests fare. Here its steps are fitted to that: only
//! users whose registration was answered act or are followed, and no two writes to one pair of
//! users are ever under way together, so that the state they leave is known. A pair whose write was
//! not answered is not touched again. A step that cannot be taken as planned is taken by, or on,
//! somebody else.

use std::collections::HashSet;

use crate::action::{Action, Kind};
use crate::attempt::Answer;
use crate::crowd::CrowdPlan;
use crate::steps::{Crowd, Step};

/// Hands out the steps of a crowd, and takes back how they went.
pub(crate) struct Dispatch {
    plan: CrowdPlan,
    crowd: Crowd,
    left: u64,
    ready: Vec<u32>,
    is_ready: HashSet<u32>,
    /// Pairs with a write under way, or one that was never answered.
    held: HashSet<(u32, u32)>,
}

impl Dispatch {
    pub(crate) fn new(plan: CrowdPlan) -> Self {
        Self {
            crowd: Crowd::new(plan.clone()),
            left: plan.actions.unwrap_or(u64::MAX),
            plan,
            ready: Vec::new(),
            is_ready: HashSet::new(),
            held: HashSet::new(),
        }
    }

    /// The next step, and the request that it is; `None` when all are taken, or when nobody is
    /// there to act.
    pub(crate) fn next(&mut self) -> Option<(Step, Action)> {
        self.left = self.left.checked_sub(1)?;
        let mut step = self.crowd.next()?;
        if step.kind != Kind::Register {
            step.actor = self.ready_one(step.actor)?;
        }
        if matches!(step.kind, Kind::Follow | Kind::Unfollow) {
            match self.free_target(step.actor, step.whom) {
                Some(whom) => {
                    step.whom = whom;
                    self.held.insert((step.actor, whom));
                }
                None => step.kind = Kind::Tweet,
            }
        }
        let action = step.clone().into_action(&self.plan);
        Some((step, action))
    }

    /// Takes note of how a step went.
    pub(crate) fn settle(&mut self, step: &Step, answer: &Answer) {
        let open = match answer {
            Answer::Status(status) => *status >= 500,
            Answer::TimedOut | Answer::Broken(_) => true,
            Answer::NotConnected(_) | Answer::NotSent => false,
        };
        match step.kind {
            Kind::Register
                if answer.is_right(Kind::Register) && self.is_ready.insert(step.actor) =>
            {
                self.ready.push(step.actor);
            }
            Kind::Follow | Kind::Unfollow if !open => {
                self.held.remove(&(step.actor, step.whom));
            }
            _ => {}
        }
    }

    /// `user` if registered, or else somebody who is.
    fn ready_one(&self, user: u32) -> Option<u32> {
        if self.is_ready.contains(&user) {
            return Some(user);
        }
        self.nth(usize::try_from(user).unwrap_or(0))
    }

    /// `whom` if nothing is under way between the two, or else somebody with whom nothing is.
    fn free_target(&self, actor: u32, whom: u32) -> Option<u32> {
        let is_free = |whom: &u32| *whom != actor && !self.held.contains(&(actor, *whom));
        if self.is_ready.contains(&whom) && is_free(&whom) {
            return Some(whom);
        }
        let first = usize::try_from(whom).unwrap_or(0);
        (0..self.ready.len())
            .filter_map(|offset| self.nth(first + offset))
            .find(is_free)
    }

    fn nth(&self, index: usize) -> Option<u32> {
        self.ready
            .get(index.checked_rem(self.ready.len())?)
            .copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dispatch(users: u32) -> Dispatch {
        Dispatch::new(CrowdPlan::new(1, Some(1_000), Some(users), 0.0))
    }

    #[test]
    fn only_the_registered_act() {
        let mut dispatch = dispatch(10);
        let at_start = dispatch.plan.users_at_start();
        for number in 0..at_start {
            let (step, _) = dispatch.next().unwrap();
            let status = if number == 0 { 500 } else { 204 };
            dispatch.settle(&step, &Answer::Status(status));
        }
        while let Some((step, _)) = dispatch.next() {
            assert!(step.kind == Kind::Register || (1..at_start).contains(&step.actor));
            assert!(
                !matches!(step.kind, Kind::Follow | Kind::Unfollow)
                    || (1..at_start).contains(&step.whom)
            );
            dispatch.settle(
                &step,
                &Answer::Status(if step.actor < at_start { 204 } else { 500 }),
            );
        }
    }

    #[test]
    fn a_pair_is_never_written_to_twice_at_a_time() {
        let mut dispatch = dispatch(5);
        for _ in 0..5 {
            let (step, _) = dispatch.next().unwrap();
            dispatch.settle(&step, &Answer::Status(204));
        }
        let mut pairs = HashSet::new();
        while let Some((step, _)) = dispatch.next() {
            if matches!(step.kind, Kind::Follow | Kind::Unfollow) {
                assert_ne!(step.actor, step.whom);
                assert!(
                    pairs.insert((step.actor, step.whom)),
                    "never settled, and handed out"
                );
            }
            dispatch.settle(&step, &Answer::TimedOut);
        }
        assert_eq!(pairs.len(), 20, "the rest became messages");
    }

    #[test]
    fn with_nobody_registered_there_is_nothing_to_do() {
        let mut dispatch = dispatch(5);
        for _ in 0..5 {
            assert!(dispatch.next().is_some());
        }
        assert!(dispatch.next().is_none());
    }
}
