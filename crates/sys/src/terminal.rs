//! Terminals: a pseudo-terminal for a command, and the user's own terminal in raw mode for a while.

use rustix::io::FdFlags;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};
use std::io;
use std::os::fd::{AsFd, FromRawFd as _, OwnedFd};

/// Both ends of a pseudo-terminal (pty(7)), closed on exec.
#[derive(Debug)]
pub struct Pty {
    /// The end that stands for the person: what is written here is typed, what is read here is shown.
    pub master: OwnedFd,
    /// The end that a command uses as its terminal.
    pub slave: OwnedFd,
}

impl Pty {
    /// A new pseudo-terminal.
    ///
    /// # Errors
    /// When the system has none left.
    pub fn open() -> io::Result<Self> {
        let (mut master, mut slave) = (-1, -1);
        // SAFETY: the first two pointers are to locals that outlive the call; name, attributes and
        // size are not asked for and not given.
        let failed = unsafe {
            libc::openpty(
                &raw mut master,
                &raw mut slave,
                std::ptr::null_mut(),
                std::ptr::null_mut(),
                std::ptr::null_mut(),
            )
        };
        if failed != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call above has just opened these two, and nobody else has them.
        let (master, slave) = unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
        for end in [&master, &slave] {
            rustix::io::fcntl_setfd(end, FdFlags::CLOEXEC)?;
        }
        Ok(Self { master, slave })
    }

    /// Gives it the attributes and the window size of another terminal.
    ///
    /// # Errors
    /// When that is no terminal.
    pub fn imitate(&self, other: impl AsFd) -> io::Result<()> {
        tcsetattr(&self.slave, OptionalActions::Now, &tcgetattr(&other)?)?;
        copy_window_size(other, &self.master)
    }
}

/// Gives terminal `to` the window size of terminal `from`; who runs in it gets SIGWINCH.
///
/// # Errors
/// When one of them is no terminal.
pub fn copy_window_size(from: impl AsFd, to: impl AsFd) -> io::Result<()> {
    Ok(tcsetwinsize(to, tcgetwinsize(from)?)?)
}

/// A terminal in raw mode; as it was before, once this is dropped.
#[derive(Debug)]
pub struct Raw {
    terminal: OwnedFd,
    before: Termios,
}

impl Raw {
    /// Puts a terminal into raw mode.
    ///
    /// # Errors
    /// When it is no terminal.
    pub fn enter(terminal: impl AsFd) -> io::Result<Self> {
        let raw = Self { terminal: terminal.as_fd().try_clone_to_owned()?, before: tcgetattr(terminal)? };
        raw.again()?;
        Ok(raw)
    }

    /// Back to raw mode, after [`leave`](Self::leave).
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn again(&self) -> io::Result<()> {
        let mut attributes = self.before.clone();
        attributes.make_raw();
        Ok(tcsetattr(&self.terminal, OptionalActions::Drain, &attributes)?)
    }

    /// The terminal as it was before.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn leave(&self) -> io::Result<()> {
        Ok(tcsetattr(&self.terminal, OptionalActions::Drain, &self.before)?)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::termios::{LocalModes, Winsize};

    #[test]
    fn raw_mode_ends_with_its_owner() {
        let pty = Pty::open().unwrap();
        let canonical = |pty: &Pty| tcgetattr(&pty.slave).unwrap().local_modes.contains(LocalModes::ICANON);
        assert!(canonical(&pty));
        let raw = Raw::enter(&pty.slave).unwrap();
        assert!(!canonical(&pty));
        raw.leave().unwrap();
        assert!(canonical(&pty));
        raw.again().unwrap();
        drop(raw);
        assert!(canonical(&pty));
    }

    #[test]
    fn a_terminal_imitates_another() {
        let (one, two) = (Pty::open().unwrap(), Pty::open().unwrap());
        tcsetwinsize(&one.master, Winsize { ws_row: 17, ws_col: 71, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        two.imitate(&one.slave).unwrap();
        let size = tcgetwinsize(&two.slave).unwrap();
        assert_eq!((size.ws_row, size.ws_col), (17, 71));
        let (_reader, writer) = std::io::pipe().unwrap();
        assert!(two.imitate(writer).is_err());
    }
}
