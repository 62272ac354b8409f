//! The possible final values of a variable for which the last write wins.
//!
//! `latest` is such a variable, and so is the follow state of each pair of users.

use std::time::Duration;

use crate::attempt::{Attempt, Effect};

/// Maximum time after which a request may still take effect when its client has stopped waiting.
const LATE_EFFECT_MAX: Duration = Duration::from_secs(5);

/// A write of `value` that takes effect at some time between `begin` and `end`.
#[derive(Clone, Debug)]
pub(crate) struct ValueWrite<V> {
    begin: Duration,
    end: Duration,
    effect: Effect,
    value: V,
}

impl<V> ValueWrite<V> {
    pub(crate) fn new(attempt: &Attempt, effect: Effect, value: V) -> Self {
        let late = if effect == Effect::Maybe {
            LATE_EFFECT_MAX
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

/// All values that may have been written last, including `initial` if all writes may have failed.
///
/// A write cannot be the last if another write with a certain effect began after its end.
pub(crate) fn possible_final_values<V: Copy + PartialEq>(
    initial: V,
    value_writes: &[ValueWrite<V>],
) -> Vec<V> {
    let last_begin = value_writes
        .iter()
        .filter(|op| op.effect == Effect::Yes)
        .map(|op| op.begin)
        .max();
    let mut values = Vec::new();
    if last_begin.is_none() {
        values.push(initial);
    }
    for op in value_writes {
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

    fn op(begin: u64, end: u64, effect: Effect, value: i64) -> ValueWrite<i64> {
        let [begin, end] = [begin, end].map(Duration::from_millis);
        ValueWrite {
            begin,
            end,
            effect,
            value,
        }
    }

    #[test]
    fn the_last_write_of_a_sequence_wins() {
        use Effect::{Maybe, No, Yes};
        assert_eq!(possible_final_values(-1, &[]), [-1]);
        assert_eq!(
            possible_final_values(-1, &[op(0, 1, Yes, 1), op(2, 3, Yes, 2)]),
            [2]
        );
        assert_eq!(
            possible_final_values(-1, &[op(0, 1, Yes, 1), op(2, 3, No, 2)]),
            [1]
        );
        assert_eq!(
            possible_final_values(-1, &[op(0, 1, Yes, 1), op(2, 3, Maybe, 2)]),
            [1, 2]
        );
        assert_eq!(possible_final_values(-1, &[op(0, 1, Maybe, 1)]), [-1, 1]);
    }

    #[test]
    fn any_of_overlapping_writes_may_win() {
        use Effect::Yes;
        let value_writes = [
            op(0, 10, Yes, 1),
            op(5, 20, Yes, 2),
            op(9, 12, Yes, 3),
            op(0, 8, Yes, 4),
        ];
        assert_eq!(possible_final_values(-1, &value_writes), [1, 2, 3]);
    }
}
