//! The end of a run of the machine: reboot and power-off by the kernel.

use rustix::system::RebootCommand;

/// Flushes all file systems and restarts the machine. Returns only if the kernel refuses.
pub fn reboot() -> std::io::Error {
    rustix::fs::sync();
    match rustix::system::reboot(RebootCommand::Restart) {
        Ok(()) => std::io::Error::other("the kernel returned from a restart"),
        Err(errno) => errno.into(),
    }
}

/// Flushes all file systems and switches the machine off. Returns only if the kernel refuses.
pub fn power_off() -> std::io::Error {
    rustix::fs::sync();
    match rustix::system::reboot(RebootCommand::PowerOff) {
        Ok(()) => std::io::Error::other("the kernel returned from a power-off"),
        Err(errno) => errno.into(),
    }
}
