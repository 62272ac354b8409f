//! The values that a place may hold at the end, when the last write to it wins.
//!
//! `latest` is such a place, and so is each pair of users: following or not.

use std::time::Duration;

use crate::attempt::{Attempt, Effect};

/// How long after its client gave up a request may still take effect.
const LATE_EFFECT: Duration = Duration::from_secs(5);

/// A write of `value`, at some time between `begin` and `end`.
#[derive(Clone, Debug)]
pub(crate) struct Op<V> {
    begin: Duration,
    end: Duration,
    effect: Effect,
    value: V,
}

impl<V> Op<V> {
    pub(crate) fn new(attempt: &Attempt, effect: Effect, value: V) -> Self {
        let late = if effect == Effect::Maybe {
            LATE_EFFECT
        } else {
            Duration::ZERO
        };
        Self {
            begin: attempt.sent,
            end: attempt.done + late,
            effect,
            value,
        }
    }
}

/// Every value that can have been written last, given what was there at first.
///
/// A write cannot have been the last if a write that surely took place began after it had ended.
pub(crate) fn possible<V: Copy + PartialEq>(initial: V, ops: &[Op<V>]) -> Vec<V> {
    let last_begin = ops
        .iter()
        .filter(|op| op.effect == Effect::Yes)
        .map(|op| op.begin)
        .max();
    let mut values = Vec::new();
    if last_begin.is_none() {
        values.push(initial);
    }
    for op in ops {
        let outdated = last_begin.is_some_and(|begin| op.end < begin);
        if op.effect != Effect::No && !outdated && !values.contains(&op.value) {
            values.push(op.value);
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(begin: u64, end: u64, effect: Effect, value: i64) -> Op<i64> {
        let [begin, end] = [begin, end].map(Duration::from_millis);
        Op {
            begin,
            end,
            effect,
            value,
        }
    }

    #[test]
    fn the_last_of_a_sequence_wins() {
        use Effect::{Maybe, No, Yes};
        assert_eq!(possible(-1, &[]), [-1]);
        assert_eq!(possible(-1, &[op(0, 1, Yes, 1), op(2, 3, Yes, 2)]), [2]);
        assert_eq!(possible(-1, &[op(0, 1, Yes, 1), op(2, 3, No, 2)]), [1]);
        assert_eq!(
            possible(-1, &[op(0, 1, Yes, 1), op(2, 3, Maybe, 2)]),
            [1, 2]
        );
        assert_eq!(possible(-1, &[op(0, 1, Maybe, 1)]), [-1, 1]);
    }

    #[test]
    fn overlapping_writes_may_win_in_any_order() {
        use Effect::Yes;
        let ops = [
            op(0, 10, Yes, 1),
            op(5, 20, Yes, 2),
            op(9, 12, Yes, 3),
            op(0, 8, Yes, 4),
        ];
        assert_eq!(possible(-1, &ops), [1, 2, 3]);
    }
}
