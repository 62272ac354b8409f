//! A progress bar on the terminal.

use std::fmt;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// Time between two updates of the bar.
const UPDATE_INTERVAL: Duration = Duration::from_millis(100);

const BAR: &str = "{prefix:>10} {elapsed:>5} [{bar:32}] {human_pos}/{human_len} {rate} {msg}";
const SPINNER: &str = "{prefix:>10} {elapsed:>5} {spinner} {human_pos} {rate} {msg}";

/// Shows the progress of each stage of a run on the standard error output if it is a terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    shown: bool,
}

impl Progress {
    /// No progress bar.
    pub(crate) const HIDDEN: Self = Self { shown: false };

    /// A progress bar if the standard error output is a terminal.
    pub(crate) const SHOWN: Self = Self { shown: true };

    /// Begins a stage with `length` steps, or with an unknown number of steps.
    pub(crate) fn stage(self, name: &'static str, length: Option<u64>) -> Stage {
        // Indicatif itself draws nothing if the standard error output is no terminal.
        let target = if self.shown {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(length, target).with_prefix(name);
        let template = if length.is_some() { BAR } else { SPINNER };
        let style = ProgressStyle::with_template(template).expect("the template is well-formed");
        let style = style.with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
            // An error to write the rate must not fail the run.
            write!(out, "{:.0}/s", state.per_sec()).ok();
        });
        bar.set_style(style.progress_chars("=> "));
        if self.shown {
            bar.enable_steady_tick(UPDATE_INTERVAL);
        }
        Stage(bar)
    }
}

/// One stage of a run. Its bar is cleared when the stage is dropped.
pub(crate) struct Stage(ProgressBar);

impl Stage {
    pub(crate) fn step(&self) {
        self.0.inc(1);
    }

    pub(crate) fn errors(&self, count: u64) {
        self.0.set_message(match count {
            1 => "1 error".to_owned(),
            count => format!("{count} errors"),
        });
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
