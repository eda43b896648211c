//! What can go wrong with a child process, and how its command line and last words are shown.

use std::ffi::OsStr;
use std::io;
use std::process::ExitStatus;
use std::time::Duration;

/// Lines and bytes of standard error that a message carries.
const TAIL_LINES: usize = 20;
const TAIL_BYTES: usize = 4096;

/// A child process that did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The program could not be started.
    #[error("failed to start `{command}`")]
    Start {
        /// The command line.
        command: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The program ended with a code other than 0, or by a signal.
    #[error("failed to run `{command}`: {status}{}", after_colon(.stderr))]
    Failed {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The last lines of its standard error (of its standard output, when that was empty).
        stderr: String,
    },
    /// The program was killed because it took longer than it may.
    #[error("failed to run `{command}`: killed after {} s{}", .limit.as_secs_f32(), after_colon(.stderr))]
    TimedOut {
        /// The command line.
        command: String,
        /// The time it had.
        limit: Duration,
        /// The last lines of its standard error.
        stderr: String,
    },
    /// The program was killed because it wrote more than it may.
    #[error("failed to run `{command}`: more than {limit} bytes on its {stream}")]
    TooMuchOutput {
        /// The command line.
        command: String,
        /// `standard output` or `standard error`.
        stream: &'static str,
        /// Bytes it may write.
        limit: usize,
    },
    /// The pipes to the program, or waiting for it, failed.
    #[error("failed to talk to `{command}`")]
    Talk {
        /// The command line.
        command: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl ProcessError {
    /// Whether the program does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Start { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// The exit code, when the program ended with one.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        match self {
            Self::Failed { status, .. } => status.code(),
            Self::Start { .. } | Self::TimedOut { .. } | Self::TooMuchOutput { .. } | Self::Talk { .. } => {
                None
            }
        }
    }
}

fn after_colon(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

/// A word of a command line as a shell would want it.
pub(super) fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%^".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The last lines of what a command wrote to standard error, or else to standard output.
pub(super) fn tail(stderr: &[u8], stdout: &[u8]) -> String {
    let bytes = if stderr.iter().all(u8::is_ascii_whitespace) { stdout } else { stderr };
    let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(TAIL_BYTES)..]).into_owned();
    let lines: Vec<&str> = text.trim().lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}
