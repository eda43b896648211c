//! The exit codes that every Wellcar program shares.

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The work is done.
    Done,
    /// The input is invalid.
    InvalidInput,
    /// The command line is wrong.
    Usage,
    /// The work failed.
    Failed,
}

impl Exit {
    /// The process exit code: 0, 1, 2 or 3.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::InvalidInput => 1,
            Exit::Usage => 2,
            Exit::Failed => 3,
        }
    }
}
