//! Mounting, and handing the machine over to a new root.

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, StatVfsMountFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A mount, or a move to a new root, that failed.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// A file system could not be mounted.
    #[error("failed to mount `{device}` as {kind} at `{target}`")]
    Mount {
        /// What was to be mounted.
        device: String,
        /// File system type.
        kind: String,
        /// Where.
        target: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A mount could not be bound to, or moved to, another place.
    #[error("failed to {verb} mount `{from}` to `{to}`")]
    Place {
        /// `bind` or `move`.
        verb: &'static str,
        /// Where it is.
        from: PathBuf,
        /// Where it should be.
        to: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file system could not be unmounted.
    #[error("failed to unmount `{target}`")]
    Unmount {
        /// Where it is mounted.
        target: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The new root could not be entered.
    #[error("failed to switch to the new root `{root}`")]
    SwitchRoot {
        /// The new root.
        root: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// One file system to be mounted.
#[derive(Debug, Clone)]
#[must_use]
pub struct Mount<'a> {
    device: &'a str,
    kind: &'a str,
    target: &'a Path,
    flags: MountFlags,
    data: String,
}

impl<'a> Mount<'a> {
    /// `device` (or a name for file systems without one) as `kind` at `target`.
    pub fn new(device: &'a str, kind: &'a str, target: &'a Path) -> Self {
        Self { device, kind, target, flags: MountFlags::empty(), data: String::new() }
    }

    /// Flags such as read-only, nosuid.
    pub fn flags(mut self, flags: MountFlags) -> Self {
        self.flags = flags;
        self
    }

    /// The file system's own options, parted by commas.
    pub fn data(mut self, data: impl Into<String>) -> Self {
        self.data = data.into();
        self
    }

    /// Mounts it; the target must exist.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn mount(self) -> Result<(), MountError> {
        let fail = |source: io::Error| MountError::Mount {
            device: self.device.to_owned(),
            kind: self.kind.to_owned(),
            target: self.target.to_owned(),
            source,
        };
        let data = CString::new(self.data.clone()).map_err(|e| fail(e.into()))?;
        rustix::mount::mount(self.device, self.target, self.kind, self.flags, data.as_c_str())
            .map_err(|errno| fail(errno.into()))
    }
}

/// Shows what is at `from` also at `to`, with everything mounted below it.
///
/// # Errors
/// When the kernel refuses.
pub fn bind(from: &Path, to: &Path) -> Result<(), MountError> {
    rustix::mount::mount_bind_recursive(from, to).map_err(|errno| place("bind", from, to, errno.into()))
}

/// Moves a mount to another place.
///
/// # Errors
/// When the kernel refuses.
pub fn move_to(from: &Path, to: &Path) -> Result<(), MountError> {
    rustix::mount::mount_move(from, to).map_err(|errno| place("move", from, to, errno.into()))
}

fn place(verb: &'static str, from: &Path, to: &Path, source: io::Error) -> MountError {
    MountError::Place { verb, from: from.to_owned(), to: to.to_owned(), source }
}

/// Makes the mounts below `at` invisible to other namespaces and the other way round.
///
/// # Errors
/// When the kernel refuses.
pub fn make_private(at: &Path) -> Result<(), MountError> {
    rustix::mount::mount_change(at, MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(|errno| place("change", at, at, errno.into()))
}

/// Unmounts; with `lazy` it goes from view at once and ends when its last user does.
///
/// # Errors
/// When the kernel refuses.
pub fn unmount(target: &Path, lazy: bool) -> Result<(), MountError> {
    let flags = if lazy { UnmountFlags::DETACH } else { UnmountFlags::empty() };
    rustix::mount::unmount(target, flags | UnmountFlags::NOFOLLOW)
        .map_err(|errno| MountError::Unmount { target: target.to_owned(), source: errno.into() })
}

/// Whether something is mounted exactly at this path: it lies on another device than its parent
/// (bind mounts within one file system are not seen by this).
#[must_use]
pub fn is_mounted(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(here) = std::fs::symlink_metadata(path) else { return false };
    let Ok(above) = std::fs::symlink_metadata(path.join("..")) else { return false };
    here.dev() != above.dev() || here.ino() == above.ino()
}

/// Whether the file system holding this path is mounted read-only.
///
/// # Errors
/// When the path cannot be looked at.
pub fn is_read_only(path: &Path) -> io::Result<bool> {
    Ok(rustix::fs::statvfs(path)?.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// Makes `root` the machine's root: removes what is left of the initramfs (only what lies on its own
/// file system), moves `root` onto `/` and enters it. Only for PID 1 in an initramfs.
///
/// # Errors
/// When the kernel refuses a step. What cannot be removed of the initramfs stays; that is no error.
pub fn switch_root(root: &Path) -> Result<(), MountError> {
    let fail =
        |errno: rustix::io::Errno| MountError::SwitchRoot { root: root.to_owned(), source: errno.into() };
    let old = rustix::fs::open("/", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(fail)?;
    rustix::process::chdir(root).map_err(fail)?;
    rustix::mount::mount_move(".", "/").map_err(fail)?;
    rustix::process::chroot(".").map_err(fail)?;
    rustix::process::chdir("/").map_err(fail)?;
    if let Ok(stat) = rustix::fs::fstat(&old) {
        remove_contents(&old, stat.st_dev, 0);
    }
    Ok(())
}

/// Deepest level of the initramfs that is cleaned.
const MAX_DEPTH: u32 = 16;

/// Removes everything below an open directory that lies on device `dev`; stops at mounts.
fn remove_contents(dir: &OwnedFd, dev: u64, depth: u32) {
    let Ok(entries) = Dir::read_from(dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let Ok(stat) = rustix::fs::statat(dir.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        if stat.st_dev != dev {
            continue;
        }
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            if depth < MAX_DEPTH
                && let Ok(below) = rustix::fs::openat(dir.as_fd(), name, flags, Mode::empty())
            {
                remove_contents(&below, dev, depth + 1);
            }
            let _ = rustix::fs::unlinkat(dir.as_fd(), name, AtFlags::REMOVEDIR);
        } else {
            let _ = rustix::fs::unlinkat(dir.as_fd(), name, AtFlags::empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{is_mounted, remove_contents};
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;

    #[test]
    fn mounts_are_seen() {
        assert!(is_mounted(Path::new("/proc")));
        assert!(is_mounted(Path::new("/")));
        assert!(!is_mounted(Path::new("/proc/sys")));
        assert!(!is_mounted(Path::new("/no/such/path")));
    }

    #[test]
    fn an_initramfs_is_emptied_without_following_links() {
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("kept"), "x").unwrap();
        std::fs::write(root.join("a/b/file"), "x").unwrap();
        std::os::unix::fs::symlink(&outside, root.join("a/link")).unwrap();
        let dev = std::fs::metadata(&root).unwrap().dev();
        remove_contents(&std::fs::File::open(&root).unwrap().into(), dev, 0);
        assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0);
        assert!(outside.join("kept").exists());
        std::fs::write(root.join("other"), "x").unwrap();
        remove_contents(&std::fs::File::open(&root).unwrap().into(), dev + 1, 0);
        assert!(root.join("other").exists());
    }
}
