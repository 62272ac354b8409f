//! A bar on the terminal; nothing where there is none.

use std::{cell::Cell, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const BAR: &str =
    "{prefix:>10} {elapsed:>5} [{bar:32}] {human_pos}/{human_len} {per_sec:>12} {msg}";

/// One table; its bar goes away at its end.
pub(crate) struct Stage {
    bar: ProgressBar,
    says_something: Cell<bool>,
}

impl Stage {
    /// Begins a stage of `length` rows.
    pub(crate) fn begin(name: &'static str, length: u64) -> Self {
        // Indicatif itself keeps quiet where the standard error is no terminal.
        let target = ProgressDrawTarget::stderr();
        let bar = ProgressBar::with_draw_target(Some(length), target).with_prefix(name);
        let style = ProgressStyle::with_template(BAR).expect("the template is well-formed");
        bar.set_style(style.progress_chars("=> "));
        bar.enable_steady_tick(Duration::from_millis(200));
        Self {
            bar,
            says_something: Cell::new(false),
        }
    }

    pub(crate) fn step(&self) {
        self.bar.inc(1);
    }

    /// What there is to say of how it goes.
    pub(crate) fn say(&self, what: &'static str) {
        if !what.is_empty() || self.says_something.get() {
            self.bar.set_message(what);
            self.says_something.set(!what.is_empty());
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
