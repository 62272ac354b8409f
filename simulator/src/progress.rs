//! A bar on the terminal; nothing where there is none.

use std::fmt;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// How often the bar moves.
const TICK: Duration = Duration::from_millis(100);

const BAR: &str = "{prefix:>10} {elapsed:>5} [{bar:32}] {human_pos}/{human_len} {rate} {msg}";
const SPINNER: &str = "{prefix:>10} {elapsed:>5} {spinner} {human_pos} {rate} {msg}";

/// Shows how far each stage of a run is, on the standard error and only if that is a terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    shown: bool,
}

impl Progress {
    /// Progress that nobody sees.
    pub(crate) const HIDDEN: Self = Self { shown: false };

    /// Progress as a bar, unless the standard error is no terminal.
    pub(crate) const SHOWN: Self = Self { shown: true };

    /// Begins a stage of `length` steps, or of an unknown number.
    pub(crate) fn stage(self, name: &'static str, length: Option<u64>) -> Stage {
        // Indicatif itself keeps quiet where the standard error is no terminal.
        let target = if self.shown {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(length, target).with_prefix(name);
        let template = if length.is_some() { BAR } else { SPINNER };
        let style = ProgressStyle::with_template(template).expect("the template is well-formed");
        let style = style.with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
            // A rate that cannot be written is not worth a failure.
            write!(out, "{:.0}/s", state.per_sec()).ok();
        });
        bar.set_style(style.progress_chars("=> "));
        if self.shown {
            bar.enable_steady_tick(TICK);
        }
        Stage(bar)
    }
}

/// One stage; its bar goes away at its end.
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
