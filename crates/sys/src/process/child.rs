//! A running child process, owned: waited for through its pidfd, killed with its group when dropped.

use super::{ExitStatus, ProcessError};
use crate::wait::{Deadline, poll_readable};
use rustix::process::{Pid, PidfdFlags, Signal};
use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{ChildStderr, ChildStdin, ChildStdout};
use std::time::Duration;

/// A running child process. Dropping it kills its process group and reaps it.
#[derive(Debug)]
pub struct Child {
    inner: std::process::Child,
    pid: Pid,
    pidfd: OwnedFd,
    command: String,
    own_group: bool,
    status: Option<ExitStatus>,
}

impl Child {
    pub(super) fn new(
        mut inner: std::process::Child,
        command: String,
        own_group: bool,
    ) -> Result<Self, ProcessError> {
        let pid = Pid::from_child(&inner);
        match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => Ok(Self { inner, pid, pidfd, command, own_group, status: None }),
            Err(errno) => {
                let _ = inner.kill();
                let _ = inner.wait();
                Err(ProcessError::Start { command, source: errno.into() })
            }
        }
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.inner.id()
    }

    /// The command line, for messages.
    #[must_use]
    pub fn command_line(&self) -> &str {
        &self.command
    }

    /// A descriptor that becomes readable when the child ends, for a `poll` of one's own.
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// The writing end of its standard input, once.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.inner.stdin.take()
    }

    /// The reading end of its standard output, once.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.inner.stdout.take()
    }

    /// The reading end of its standard error, once.
    pub fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.inner.stderr.take()
    }

    /// Waits for the end, at most `limit` (for ever when there is none); `None` means it still runs.
    ///
    /// # Errors
    /// When waiting itself fails.
    pub fn wait(&mut self, limit: Option<Duration>) -> Result<Option<ExitStatus>, ProcessError> {
        if self.status.is_some() {
            return Ok(self.status);
        }
        if !poll_readable(&self.pidfd, &Deadline::after(limit)).map_err(|e| self.talk(e))? {
            return Ok(None);
        }
        let status = self.inner.wait().map_err(|e| self.talk(e))?;
        self.status = Some(status);
        Ok(self.status)
    }

    /// How it ended, or `None` while it runs. Never blocks.
    ///
    /// # Errors
    /// When asking fails.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>, ProcessError> {
        self.wait(Some(Duration::ZERO))
    }

    /// Sends a signal to the child itself. A child that has ended is no error.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn signal(&self, signal: Signal) -> Result<(), ProcessError> {
        if self.status.is_some() {
            return Ok(());
        }
        match rustix::process::pidfd_send_signal(&self.pidfd, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(errno) => Err(self.talk(errno.into())),
        }
    }

    /// Asks the child to end (SIGTERM), waits `grace`, kills what is left of its group.
    ///
    /// # Errors
    /// When signalling or waiting fails.
    pub fn stop(&mut self, grace: Duration) -> Result<ExitStatus, ProcessError> {
        self.signal(Signal::TERM)?;
        match self.wait(Some(grace))? {
            Some(status) => {
                self.kill_group();
                Ok(status)
            }
            None => self.kill(),
        }
    }

    /// Kills the child and its process group, and reaps it.
    ///
    /// # Errors
    /// When reaping fails.
    pub fn kill(&mut self) -> Result<ExitStatus, ProcessError> {
        self.kill_group();
        if let Some(status) = self.status {
            return Ok(status);
        }
        let _ = self.inner.kill();
        let status = self.inner.wait().map_err(|e| self.talk(e))?;
        self.status = Some(status);
        Ok(status)
    }

    /// Puts bytes into the pipe of standard input and closes it.
    pub(super) fn fill_stdin(&mut self, bytes: &[u8]) -> Result<(), ProcessError> {
        let Some(mut stdin) = self.inner.stdin.take() else { return Ok(()) };
        let flags = rustix::fs::fcntl_getfl(&stdin).map_err(|e| self.talk(e.into()))?;
        rustix::fs::fcntl_setfl(&stdin, flags | rustix::fs::OFlags::NONBLOCK)
            .map_err(|e| self.talk(e.into()))?;
        stdin.write_all(bytes).map_err(|e| self.talk(e))
    }

    pub(super) fn talk(&self, source: std::io::Error) -> ProcessError {
        ProcessError::Talk { command: self.command.clone(), source }
    }

    /// Kills the process group. It can outlive the child, so this is done after its end too; the id
    /// of a group is not given away while a member lives, and with none left the call changes
    /// nothing unless the id was reused in the instant since the child was reaped.
    fn kill_group(&self) {
        if self.own_group {
            let _ = rustix::process::kill_process_group(self.pid, Signal::KILL);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.status.is_none() {
            let _ = self.kill();
        }
    }
}
