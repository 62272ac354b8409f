//! Progress bar on the terminal. Without a terminal, nothing is shown.

use std::{cell::Cell, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const BAR: &str =
    "{prefix:>10} {elapsed:>5} [{bar:32}] {human_pos}/{human_len} {per_sec:>12} {msg}";

/// Progress of the import of one table. A drop removes the bar.
pub(crate) struct Stage {
    bar: ProgressBar,
    shows_message: Cell<bool>,
}

impl Stage {
    /// Starts a stage of `length` rows.
    pub(crate) fn begin(name: &'static str, length: u64) -> Self {
        // Indicatif shows nothing if the standard error is not a terminal.
        let target = ProgressDrawTarget::stderr();
        let bar = ProgressBar::with_draw_target(Some(length), target).with_prefix(name);
        let style = ProgressStyle::with_template(BAR).expect("the template is well-formed");
        bar.set_style(style.progress_chars("=> "));
        bar.enable_steady_tick(Duration::from_millis(200));
        Self {
            bar,
            shows_message: Cell::new(false),
        }
    }

    /// Advances the bar by one row.
    pub(crate) fn step(&self) {
        self.bar.inc(1);
    }

    /// Shows a message beside the bar. An empty message removes the previous message.
    pub(crate) fn show(&self, message: &'static str) {
        if !message.is_empty() || self.shows_message.get() {
            self.bar.set_message(message);
            self.shows_message.set(!message.is_empty());
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
