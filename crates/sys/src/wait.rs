//! Waiting for events with a deadline: the only ways to wait in this project.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// A moment after which waiting ends; or never.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// `limit` from now; never when there is none.
    #[must_use]
    pub fn after(limit: Option<Duration>) -> Self {
        Self(limit.and_then(|limit| Instant::now().checked_add(limit)))
    }

    /// The time left; `None` when it never ends.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        self.0.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Whether the moment is past.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.left().is_some_and(|left| left.is_zero())
    }

    /// The time left as `poll` wants it.
    #[must_use]
    pub fn timespec(&self) -> Option<Timespec> {
        self.left().map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        })
    }
}

/// Waits until `fd` can be read (or has an error or an end to report); false when the deadline came
/// first.
///
/// # Errors
/// When `poll` fails.
pub fn poll_readable(fd: &impl AsFd, deadline: &Deadline) -> io::Result<bool> {
    loop {
        let mut fds = [PollFd::new(fd, PollFlags::IN)];
        match poll(&mut fds, deadline.timespec().as_ref()) {
            Ok(0) if deadline.passed() => return Ok(false),
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Does nothing until the deadline: only for a machine that shows a message before it restarts.
///
/// # Errors
/// When `poll` fails.
pub fn rest_until(deadline: &Deadline) -> io::Result<()> {
    while !deadline.passed() {
        match poll(&mut [], deadline.timespec().as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}
