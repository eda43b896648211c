//! Signals as events: blocked in this thread and read from a descriptor that one can `poll`.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd as _, OwnedFd};

/// Signals that no longer interrupt this thread and wait to be read instead. They stay blocked when
/// this is dropped: it lives as long as its program.
#[derive(Debug)]
pub struct Signals {
    fd: File,
}

impl Signals {
    /// Blocks these signals in the calling thread (and in threads it starts later) and opens a
    /// descriptor for them. A signal that this process was told to ignore, as `nohup` does with
    /// SIGHUP, stays ignored. Child processes of [`crate::process`] start with none blocked.
    ///
    /// # Errors
    /// When the kernel has no descriptor left.
    pub fn watch(signals: &[Signal]) -> io::Result<Self> {
        // SAFETY: an all-zero `sigset_t` and `sigaction` are valid values of these plain structures,
        // `sigemptyset` and `sigaddset` only write to the set, `sigaction` with no new action only
        // writes the old one, and all pointers are to locals that outlive the calls.
        let (set, fd) = unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            for signal in signals {
                let mut now: libc::sigaction = std::mem::zeroed();
                let known = libc::sigaction(signal.as_raw(), std::ptr::null(), &raw mut now) == 0;
                if known && now.sa_sigaction != libc::SIG_IGN {
                    libc::sigaddset(&raw mut set, signal.as_raw());
                }
            }
            (set, libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just given us this descriptor, and nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: the set is initialised above; the old mask is not asked for.
        let failed = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
        if failed != 0 {
            return Err(io::Error::from_raw_os_error(failed));
        }
        Ok(Self { fd: fd.into() })
    }

    /// The next signal that came, or `None`. Never blocks.
    ///
    /// # Errors
    /// When reading fails.
    pub fn take(&mut self) -> io::Result<Option<Signal>> {
        const RECORD: usize = size_of::<libc::signalfd_siginfo>();
        let mut record = [0; RECORD];
        match self.fd.read(&mut record) {
            Ok(RECORD) => {
                let number = u32::from_ne_bytes([record[0], record[1], record[2], record[3]]);
                Ok(i32::try_from(number).ok().and_then(Signal::from_named_raw))
            }
            Ok(_) => Ok(None),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Whether a signal is waiting.
    #[must_use]
    pub fn pending(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(&self.fd, PollFlags::IN)], Some(&now)).is_ok_and(|count| count > 0)
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_to_this_thread_is_read_and_does_not_kill() {
        // In a thread of its own: the mask is the thread's.
        std::thread::spawn(|| {
            let mut signals = Signals::watch(&[Signal::USR1]).unwrap();
            assert_eq!(signals.take().unwrap(), None);
            assert!(!signals.pending());
            // SAFETY: a signal that is blocked here, to this very thread.
            unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGUSR1) };
            assert!(signals.pending());
            assert_eq!(signals.take().unwrap(), Some(Signal::USR1));
            assert_eq!(signals.take().unwrap(), None);
        })
        .join()
        .unwrap();
    }
}
