//! What a long command shows while it works, on standard error: a bar on a terminal, plain lines
//! elsewhere (a log stays readable). Results never go through here.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes from which on a transfer is worth lines of its own in a log.
const WORTH_LINES: u64 = 4 << 20;

/// Where progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ui {
    /// A bar that is drawn anew.
    Terminal,
    /// One line now and then.
    Lines,
    /// Nothing.
    Quiet,
}

impl Ui {
    /// A bar where standard error is a terminal, lines elsewhere.
    pub fn detect() -> Self {
        if std::io::stderr().is_terminal() { Self::Terminal } else { Self::Lines }
    }

    /// Says what happens now.
    pub fn say(self, line: &str) {
        if self != Self::Quiet {
            let _ = writeln!(std::io::stderr().lock(), "{line}");
        }
    }

    /// Starts to show a transfer of `total` bytes.
    pub fn transfer(self, label: &str, total: u64) -> Transfer {
        let bar = match self {
            Self::Terminal => {
                let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(10));
                if let Ok(style) = ProgressStyle::with_template(
                    "{prefix} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
                ) {
                    bar.set_style(style);
                }
                bar.set_prefix(label.to_owned());
                Some(bar)
            }
            Self::Lines | Self::Quiet => None,
        };
        Transfer { ui: self, label: label.to_owned(), total, done: AtomicU64::new(0), bar }
    }
}

/// A transfer that is shown. Shared by the threads that transfer.
#[derive(Debug)]
pub struct Transfer {
    ui: Ui,
    label: String,
    total: u64,
    done: AtomicU64,
    bar: Option<ProgressBar>,
}

impl Transfer {
    /// More bytes have arrived.
    pub fn add(&self, bytes: u64) {
        let before = self.done.fetch_add(bytes, Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            bar.set_position(before + bytes);
        } else if self.total >= WORTH_LINES {
            let tenth = |done: u64| done.saturating_mul(10) / self.total;
            if tenth(before) < tenth(before + bytes) {
                self.ui.say(&format!(
                    "{}: {} of {}",
                    self.label,
                    mebibytes(before + bytes),
                    mebibytes(self.total)
                ));
            }
        }
    }

    /// Bytes that had arrived are fetched again.
    pub fn back(&self, bytes: u64) {
        let before = self.done.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            bar.set_position(before.saturating_sub(bytes));
        }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Bytes as a number for people: `12.3 MiB`.
pub fn mebibytes(bytes: u64) -> String {
    format!("{}.{} MiB", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20)
}
