//! The median of some measurements and its interval.

/// Greatest probability that the interval is on one side of the true median.
const TAIL: f64 = 0.025;

/// Median of some numbers, with the interval in which the true median is with a probability of 95 %.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub(super) struct Estimate {
    pub(super) median: f64,
    /// `None` for fewer than six numbers.
    pub(super) interval: Option<[f64; 2]>,
    #[serde(rename = "min")]
    pub(super) least: f64,
    #[serde(rename = "max")]
    pub(super) greatest: f64,
}

impl Estimate {
    /// Estimates the median. There is at least one number.
    pub(super) fn new(numbers: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = numbers.collect();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len();
        let middle = count / 2;
        let median = if count.is_multiple_of(2) {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        } else {
            sorted[middle]
        };
        let interval = lower_rank(count).map(|rank| [sorted[rank - 1], sorted[count - rank]]);
        Self {
            median,
            interval,
            least: sorted[0],
            greatest: sorted[count - 1],
        }
    }

    /// Whether the whole interval is below a threshold.
    pub(super) fn is_below(&self, threshold: f64) -> bool {
        self.interval.is_some_and(|[_, upper]| upper < threshold)
    }
}

/// Rank, from 1, of the number at which the median's interval begins. The interval ends at the same rank
/// from above.
///
/// The true median is above the number of rank k if at most k - 1 numbers are above it, which has the
/// probability of at most k - 1 heads in `count` tosses of a coin. No distribution of the numbers is
/// assumed.
fn lower_rank(count: usize) -> Option<usize> {
    let mut probability = 0.5_f64.powi(i32::try_from(count).ok()?);
    let mut tail = probability;
    let mut rank = 0;
    while tail <= TAIL {
        rank += 1;
        probability *= float(count + 1 - rank) / float(rank);
        tail += probability;
    }
    (rank > 0).then_some(rank)
}

#[expect(clippy::cast_precision_loss, reason = "a number of measurements")]
fn float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_two() {
        let estimate = Estimate::new([4.0, 1.0, 3.0, 2.0].into_iter());

        assert!((estimate.median - 2.5).abs() < 1e-9);
        assert_eq!((estimate.least, estimate.greatest), (1.0, 4.0));
        assert_eq!(estimate.interval, None);
    }

    #[test]
    fn the_ranks_are_those_of_the_binomial_distribution() {
        let ranks = [5, 6, 9, 21, 51].map(lower_rank);
        assert_eq!(ranks, [None, Some(1), Some(2), Some(6), Some(19)]);
    }

    #[test]
    fn a_threshold_is_missed_only_if_the_interval_excludes_it() {
        let numbers = || (0..21_u32).map(|number| 0.90 + f64::from(number) / 100.0);
        let estimate = Estimate::new(numbers());

        let [lower, upper] = estimate.interval.unwrap();
        assert!((lower - 0.95).abs() < 1e-9 && (upper - 1.05).abs() < 1e-9);
        assert!(!estimate.is_below(1.04) && estimate.is_below(1.06));
    }
}
