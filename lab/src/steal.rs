//! Processor time that the host takes from this virtual machine.
//!
//! If the host pauses the machine for half a second, every program answers late. The stolen time shows
//! whether the host or the suite caused a delay.

use std::{
    cmp::Reverse,
    fmt, fs,
    sync::mpsc::{self, RecvTimeoutError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

const INTERVAL: Duration = Duration::from_millis(100);

/// Share of all processors in an interval from which the interval is reported.
const REPORTED_SHARE: f64 = 1.0 / 3.0;

/// Maximum number of periods that a message lists.
const PERIODS_SHOWN_MAX: usize = 8;

/// Reads the counters of the processors until [`Watch::finish`].
#[derive(Debug)]
pub(crate) struct Watch {
    /// Closed to end the thread.
    running: mpsc::Sender<()>,
    thread: JoinHandle<StolenTime>,
}

/// Processor time that the host has taken during a watch.
#[derive(Clone, Debug, Default)]
pub(crate) struct StolenTime {
    /// Share of all processor time, from 0 to 1.
    pub(crate) share: f64,
    /// Periods in which the host has taken much, from the start of the watch.
    periods: Vec<(Duration, Duration)>,
}

/// Counters of the processors since the start of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Ticks {
    all: f64,
    stolen: f64,
}

impl Watch {
    pub(crate) fn start() -> Self {
        let (running, end) = mpsc::channel();
        let thread = thread::spawn(move || {
            let start = Instant::now();
            let mut samples = vec![(Duration::ZERO, Ticks::now())];
            while end.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                samples.push((start.elapsed(), Ticks::now()));
            }
            samples.push((start.elapsed(), Ticks::now()));
            StolenTime::from_samples(&samples)
        });
        Self { running, thread }
    }

    /// Ends the watch.
    pub(crate) fn finish(self) -> StolenTime {
        drop(self.running);
        // A measurement without the stolen time is still a measurement.
        self.thread.join().unwrap_or_default()
    }
}

impl Ticks {
    /// Zero where the kernel has no such counters.
    fn now() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        Self::parse(&stat).unwrap_or_default()
    }

    /// Parses the first line: `cpu`, then user, nice, system, idle, iowait, irq, softirq, steal.
    fn parse(stat: &str) -> Option<Self> {
        let (_, counters) = stat.lines().next()?.split_once(' ')?;
        let counters = counters.split_whitespace().take(8);
        let counters: Vec<f64> = counters.map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(Self {
            all: counters.iter().sum(),
            stolen: *counters.get(7)?,
        })
    }

    fn stolen_share_since(self, before: Self) -> f64 {
        let all = self.all - before.all;
        if all > 0.0 {
            (self.stolen - before.stolen) / all
        } else {
            0.0
        }
    }
}

impl StolenTime {
    fn from_samples(samples: &[(Duration, Ticks)]) -> Self {
        let [(_, first), .., (_, last)] = samples else {
            return Self::default();
        };
        let mut periods: Vec<(Duration, Duration)> = Vec::new();
        for pair in samples.windows(2) {
            let [(from, before), (to, after)] = pair else {
                continue;
            };
            if after.stolen_share_since(*before) < REPORTED_SHARE {
                continue;
            }
            match periods.last_mut() {
                Some((_, end)) if *end == *from => *end = *to,
                _ => periods.push((*from, *to)),
            }
        }
        Self {
            share: last.stolen_share_since(*first),
            periods,
        }
    }

    /// The greater share of two watches, and the periods of both.
    pub(crate) fn combine(one: Self, other: Self) -> Self {
        Self {
            share: one.share.max(other.share),
            periods: [one.periods, other.periods].concat(),
        }
    }
}

impl fmt::Display for StolenTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = self.share * 100.0;
        write!(
            formatter,
            "the host took {percent:.1} % of the processor time"
        )?;
        let mut longest = self.periods.clone();
        longest.sort_by_key(|(from, to)| Reverse(to.saturating_sub(*from)));
        longest.truncate(PERIODS_SHOWN_MAX);
        longest.sort_unstable();
        for (index, (from, to)) in longest.iter().enumerate() {
            let separator = if index == 0 { ", mostly at" } else { "," };
            let [from, to] = [from, to].map(Duration::as_secs_f32);
            write!(formatter, "{separator} {from:.1}–{to:.1} s")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at_ms: u64, all: f64, stolen: f64) -> (Duration, Ticks) {
        (Duration::from_millis(at_ms), Ticks { all, stolen })
    }

    #[test]
    fn the_line_of_the_kernel_is_parsed() {
        let stat = "cpu  10 1 5 70 2 0 2 10 99 98\ncpu0 1 2 3 4\n";
        let expected = Ticks {
            all: 100.0,
            stolen: 10.0,
        };
        assert_eq!(Ticks::parse(stat), Some(expected));
        assert_eq!(Ticks::parse("nothing"), None);
    }

    #[test]
    fn adjacent_intervals_become_one_period() {
        let stolen = StolenTime::from_samples(&[
            sample(0, 0.0, 0.0),
            sample(100, 20.0, 0.0),
            sample(200, 40.0, 10.0),
            sample(300, 60.0, 30.0),
            sample(400, 80.0, 30.0),
            sample(500, 100.0, 40.0),
        ]);
        assert_eq!(
            stolen.to_string(),
            "the host took 40.0 % of the processor time, mostly at 0.1–0.3 s, 0.4–0.5 s"
        );
    }

    #[test]
    fn a_single_sample_shows_no_stolen_time() {
        let stolen = StolenTime::from_samples(&[sample(0, 0.0, 0.0)]);
        assert_eq!(
            stolen.to_string(),
            "the host took 0.0 % of the processor time"
        );
    }

    #[test]
    fn a_watch_ends_when_it_is_finished() {
        let stolen = Watch::start().finish();
        assert!((0.0..=1.0).contains(&stolen.share), "{stolen}");
    }
}
