//! Stage 1, the `/init` of the initramfs: find, verify and mount /usr; provision at the first boot with
//! the tools of the verified /usr; mount ROOT and /etc; hand over to systemd.
//!
//! [`decide`] says what is to be done from facts, [`stage1`] does it. Nothing here ever gives a shell:
//! a failure is told on every console and in the kernel log, then the machine restarts, and the boot
//! loader counts it as a failed try.

pub mod decide;
#[cfg(feature = "full")]
pub mod firstboot;
#[cfg(feature = "full")]
mod keep;
pub mod layout;
#[cfg(feature = "stage1")]
mod modules;
#[cfg(feature = "full")]
mod network;
#[cfg(feature = "full")]
mod plan;
#[cfg(feature = "full")]
mod service;
#[cfg(feature = "stage1")]
mod stage1;
pub mod superblock;
#[cfg(feature = "stage1")]
mod trouble;
#[cfg(feature = "stage1")]
mod watch;

#[cfg(feature = "stage1")]
pub use stage1::run;

use std::ffi::OsStr;

/// Exit code of the first boot's program when it has told on the consoles why it failed.
pub const FIRST_BOOT_FAILED: u8 = 3;

/// Whether this process is the machine's first: process 1 *and* started as `init` (so that a container
/// whose first process is `wellcar-node` is not mistaken for a machine).
#[must_use]
pub fn is_init(pid: i32, argv0: &OsStr) -> bool {
    pid == 1 && std::path::Path::new(argv0).file_name() == Some(OsStr::new("init"))
}

#[cfg(test)]
mod tests {
    use super::is_init;

    #[test]
    fn only_process_one_called_init_is_init() {
        assert!(is_init(1, "/init".as_ref()));
        assert!(!is_init(1, "/usr/bin/wellcar-node".as_ref()));
        assert!(!is_init(7, "/init".as_ref()));
    }
}
