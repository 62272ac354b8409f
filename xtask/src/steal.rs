//! What the host takes of this machine's processors. A virtual machine that stands still for half a
//! second answers late, whatever runs on it: who reads of late answers should know of that.

use std::{
    cmp::Reverse,
    fmt, fs,
    sync::mpsc::{self, RecvTimeoutError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

const INTERVAL: Duration = Duration::from_millis(100);

/// A stretch is told of in which the host took this much of all processors.
const MUCH: f64 = 1.0 / 3.0;

/// So many stretches are told of.
const STRETCHES_MAX: usize = 8;

/// Watches until it is asked.
#[derive(Debug)]
pub(crate) struct Watch {
    /// That it is dropped is heard on the other side.
    running: mpsc::Sender<()>,
    thread: JoinHandle<Stolen>,
}

/// What the host took while somebody watched.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stolen {
    /// Of all processor time, from 0 to 1.
    pub(crate) share: f64,
    /// When it was much, counted from the start.
    stretches: Vec<(Duration, Duration)>,
}

/// The processors' time so far, in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Ticks {
    all: f64,
    stolen: f64,
}

impl Watch {
    pub(crate) fn start() -> Self {
        let (running, end) = mpsc::channel();
        let thread = thread::spawn(move || {
            let began = Instant::now();
            let mut looks = vec![(Duration::ZERO, Ticks::now())];
            while end.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                looks.push((began.elapsed(), Ticks::now()));
            }
            Stolen::between(&looks)
        });
        Self { running, thread }
    }

    /// Ends the watch.
    pub(crate) fn finish(self) -> Stolen {
        drop(self.running);
        // Whoever cannot be told of the host has still measured something.
        self.thread.join().unwrap_or_default()
    }
}

impl Ticks {
    /// Nothing where the kernel does not tell.
    fn now() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        Self::read(&stat).unwrap_or_default()
    }

    /// The first line: `cpu`, then user, nice, system, idle, iowait, irq, softirq, steal.
    fn read(stat: &str) -> Option<Self> {
        let (_, figures) = stat.lines().next()?.split_once(' ')?;
        let figures = figures.split_whitespace().take(8);
        let figures: Vec<f64> = figures.map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(Self {
            all: figures.iter().sum(),
            stolen: *figures.get(7)?,
        })
    }

    fn stolen_since(self, before: Self) -> f64 {
        let all = self.all - before.all;
        if all > 0.0 {
            (self.stolen - before.stolen) / all
        } else {
            0.0
        }
    }
}

impl Stolen {
    fn between(looks: &[(Duration, Ticks)]) -> Self {
        let [(_, first), .., (_, last)] = looks else {
            return Self::default();
        };
        let mut stretches: Vec<(Duration, Duration)> = Vec::new();
        for pair in looks.windows(2) {
            let [(from, before), (to, after)] = pair else {
                continue;
            };
            if after.stolen_since(*before) < MUCH {
                continue;
            }
            match stretches.last_mut() {
                Some((_, end)) if *end == *from => *end = *to,
                _ => stretches.push((*from, *to)),
            }
        }
        Self {
            share: last.stolen_since(*first),
            stretches,
        }
    }

    /// Both, one after the other.
    pub(crate) fn sum(one: Self, two: Self) -> Self {
        Self {
            share: one.share.max(two.share),
            stretches: [one.stretches, two.stretches].concat(),
        }
    }
}

impl fmt::Display for Stolen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = self.share * 100.0;
        write!(formatter, "the host took {percent:.0} % of the processors")?;
        let mut longest = self.stretches.clone();
        longest.sort_by_key(|(from, to)| Reverse(to.saturating_sub(*from)));
        longest.truncate(STRETCHES_MAX);
        longest.sort_unstable();
        for (index, (from, to)) in longest.iter().enumerate() {
            let before = if index == 0 { ", much of them at" } else { "," };
            let [from, to] = [from, to].map(Duration::as_secs_f32);
            write!(formatter, "{before} {from:.1}–{to:.1} s")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(at_ms: u64, all: f64, stolen: f64) -> (Duration, Ticks) {
        (Duration::from_millis(at_ms), Ticks { all, stolen })
    }

    #[test]
    fn the_kernels_line_is_read() {
        let stat = "cpu  10 1 5 70 2 0 2 10 99 98\ncpu0 1 2 3 4\n";
        let expected = Ticks {
            all: 100.0,
            stolen: 10.0,
        };
        assert_eq!(Ticks::read(stat), Some(expected));
        assert_eq!(Ticks::read("nothing"), None);
    }

    #[test]
    fn stretches_that_touch_are_one() {
        let stolen = Stolen::between(&[
            look(0, 0.0, 0.0),
            look(100, 20.0, 0.0),
            look(200, 40.0, 10.0),
            look(300, 60.0, 30.0),
            look(400, 80.0, 30.0),
            look(500, 100.0, 40.0),
        ]);
        assert_eq!(
            stolen.to_string(),
            "the host took 40 % of the processors, much of them at 0.1–0.3 s, 0.4–0.5 s"
        );
    }

    #[test]
    fn what_nobody_saw_was_not_taken() {
        let stolen = Stolen::between(&[look(0, 0.0, 0.0)]);
        assert_eq!(stolen.to_string(), "the host took 0 % of the processors");
    }

    #[test]
    fn a_watch_ends_when_it_is_asked() {
        let stolen = Watch::start().finish();
        assert!((0.0..=1.0).contains(&stolen.share), "{stolen}");
    }
}
