//! The watchdog: hardware that resets the machine when nobody feeds it.
//!
//! Dropping [`Watchdog`] leaves it running: without the magic letter a driver does not disarm on
//! close. Who comes next (systemd) must take it over before the time is up.
//!
//! Reference: the kernel's `Documentation/watchdog/watchdog-api.rst`.

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::ioctl::{NoArg, Updater, ioctl, opcode};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

const KEEPALIVE: u32 = opcode::read::<i32>(b'W', 5);
const SETTIMEOUT: u32 = opcode::read_write::<i32>(b'W', 6);

/// A watchdog that could not be armed or fed.
#[derive(Debug, thiserror::Error)]
pub enum WatchdogError {
    /// The device could not be opened.
    #[error("failed to open watchdog `{path}`")]
    Open {
        /// The device.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The driver refused the time limit.
    #[error("failed to set the time limit of watchdog `{path}` to {seconds} s")]
    Timeout {
        /// The device.
        path: PathBuf,
        /// What was asked for.
        seconds: i32,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Feeding failed.
    #[error("failed to feed watchdog `{path}`")]
    Feed {
        /// The device.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// An armed watchdog.
#[derive(Debug)]
pub struct Watchdog {
    fd: OwnedFd,
    path: PathBuf,
    timeout: Duration,
}

impl Watchdog {
    /// Opens (and so arms) the watchdog at `path` with a time limit in whole seconds.
    ///
    /// # Errors
    /// When there is none, someone has it, or it refuses the limit.
    pub fn arm(path: &Path, limit: Duration) -> Result<Self, WatchdogError> {
        let fd = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|e| WatchdogError::Open { path: path.to_owned(), source: e.into() })?;
        let mut seconds = i32::try_from(limit.as_secs()).unwrap_or(i32::MAX);
        let asked = seconds;
        // SAFETY: WDIOC_SETTIMEOUT reads and writes one int, which lives for the call.
        let set = unsafe { ioctl(&fd, Updater::<SETTIMEOUT, i32>::new(&mut seconds)) };
        match set {
            // A driver with a fixed limit keeps its own.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOTTY) => {}
            Err(e) => {
                return Err(WatchdogError::Timeout {
                    path: path.to_owned(),
                    seconds: asked,
                    source: e.into(),
                });
            }
        }
        let watchdog = Self {
            fd,
            path: path.to_owned(),
            timeout: Duration::from_secs(u64::try_from(seconds).unwrap_or_default()),
        };
        watchdog.feed()?;
        Ok(watchdog)
    }

    /// The limit the driver took.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Starts the time anew.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn feed(&self) -> Result<(), WatchdogError> {
        // SAFETY: WDIOC_KEEPALIVE takes no argument, whatever its number says.
        let fed = unsafe { ioctl(&self.fd, NoArg::<KEEPALIVE>::new()) };
        fed.map_err(|e| WatchdogError::Feed { path: self.path.clone(), source: e.into() })
    }
}
