//! How a command ends when it does not succeed, and the exit code that says so
//! (contract section 3: 1 the input is invalid, 2 wrong usage, 3 the work failed).

use std::process::ExitCode;

/// The end of a command that did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// The input is invalid; its reports were printed already.
    Input,
    /// The command line makes no sense together; the message says how to put it right.
    Usage(String),
    /// The work failed; the chain of causes is printed, then the hint, where there is one.
    Work {
        /// What failed, with its causes.
        error: anyhow::Error,
        /// What the user can do next.
        hint: Option<String>,
    },
}

impl Failure {
    /// Work that failed, with a hint of what to do next.
    pub fn work(error: impl Into<anyhow::Error>, hint: impl Into<String>) -> Self {
        Self::Work { error: error.into(), hint: Some(hint.into()) }
    }

    /// Prints what is left to say on standard error and gives the exit code.
    #[expect(clippy::print_stderr, reason = "this is the program's one place that reports its failure")]
    pub fn report(self) -> ExitCode {
        match self {
            Self::Input => ExitCode::from(1),
            Self::Usage(message) => {
                eprintln!("error: {message}");
                ExitCode::from(2)
            }
            Self::Work { error, hint } => {
                eprintln!("error: {error}");
                for cause in error.chain().skip(1) {
                    eprintln!("  because: {cause}");
                }
                if let Some(hint) = hint {
                    eprintln!("  hint: {hint}");
                }
                ExitCode::from(3)
            }
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Work { error: error.into(), hint: None }
    }
}
