//! Mounting on a directory of the root, by descriptor, and taking it down again.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use super::{Result, Root, call, clean};

impl Root {
    /// Mounts a file system on a directory whose every component is a real one. `options` as in fstab; words that
    /// only mount(8) or systemd know (`auto`, `nofail`, `_netdev`, `x-…`) are passed over.
    ///
    /// # Errors
    /// When the directory, the device, the type or an option is refused.
    pub fn mount(&self, source: &Path, format: &str, options: &[String], path: &Path) -> Result<()> {
        use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags};
        let point = self.mount_point(path)?;
        let mut attributes = MountAttrFlags::empty();
        let fs = rustix::mount::fsopen(format, FsOpenFlags::FSOPEN_CLOEXEC)
            .map_err(call("use file system type for", path))?;
        let set = |key: &str, value: &OsStr| rustix::mount::fsconfig_set_string(fs.as_fd(), key, value);
        set("source", source.as_os_str()).map_err(call("mount", path))?;
        for option in options.iter().flat_map(|o| o.split(',')).filter(|o| !o.is_empty()) {
            match option {
                "ro" => {
                    attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY;
                    rustix::mount::fsconfig_set_flag(fs.as_fd(), "ro").map_err(call("mount", path))?;
                }
                "nosuid" => attributes |= MountAttrFlags::MOUNT_ATTR_NOSUID,
                "nodev" => attributes |= MountAttrFlags::MOUNT_ATTR_NODEV,
                "noexec" => attributes |= MountAttrFlags::MOUNT_ATTR_NOEXEC,
                "noatime" => attributes |= MountAttrFlags::MOUNT_ATTR_NOATIME,
                "strictatime" => attributes |= MountAttrFlags::MOUNT_ATTR_STRICTATIME,
                "nodiratime" => attributes |= MountAttrFlags::MOUNT_ATTR_NODIRATIME,
                "defaults" | "rw" | "suid" | "dev" | "exec" | "async" | "relatime" | "auto" | "noauto"
                | "nofail" | "user" | "nouser" | "_netdev" => {}
                word if word.starts_with("x-") || word.starts_with("comment=") => {}
                word => match word.split_once('=') {
                    Some((key, value)) => {
                        set(key, OsStr::new(value)).map_err(call("use mount option for", path))?;
                    }
                    None => rustix::mount::fsconfig_set_flag(fs.as_fd(), word)
                        .map_err(call("use mount option for", path))?,
                },
            }
        }
        rustix::mount::fsconfig_create(fs.as_fd()).map_err(call("mount", path))?;
        let mounted = rustix::mount::fsmount(fs.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
            .map_err(call("mount", path))?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        rustix::mount::move_mount(mounted.as_fd(), "", point.as_fd(), "", flags)
            .map_err(call("mount at", path))
    }

    /// Flushes and unmounts what is mounted on a directory of the root; true if something was.
    ///
    /// # Errors
    /// When it is busy.
    pub fn unmount(&self, path: &Path) -> Result<bool> {
        // The path was free of links when it was mounted on, and a mount point cannot be renamed away.
        let relative: PathBuf = clean(path).components().skip(1).collect();
        let full = self.shown.join(relative);
        match rustix::mount::unmount(&full, rustix::mount::UnmountFlags::NOFOLLOW) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => Ok(false),
            Err(e) => Err(call("unmount", path)(e)),
        }
    }
}
