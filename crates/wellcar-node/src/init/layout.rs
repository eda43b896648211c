//! Where things are during the boot, and the mounts that make a root whole. Used by stage 1 on every
//! boot and by the first boot before files are written, so that both see the same /etc.

use anyhow::{Context as _, Result};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use sys::modules::ModuleDir;
use sys::mount::{self, Mount};

/// The verified /usr while the initramfs is the root.
pub const USR: &str = "/usr";
/// Where the machine's root is put together.
pub const SYSROOT: &str = "/sysroot";
/// Defaults of /etc, below /usr.
pub const ETC_DEFAULTS: &str = "/usr/share/wellcar/etc";
/// Written last by a provisioning that succeeded; below the machine's root.
pub const STAMP: &str = "var/lib/wellcar/provisioned.json";
/// Runtime files of this program.
pub const RUN: &str = "/run/wellcar";
/// The program of the first boot.
pub const NODE: &str = "/usr/lib/wellcar/wellcar-node";
/// Who takes over.
pub const SYSTEMD: &str = "/usr/lib/systemd/systemd";
/// Mapped device of /usr.
pub const USR_DEVICE: &str = "usr";

/// Links that stand for the folders moved into /usr.
const LINKS: [(&str, &str); 4] =
    [("bin", "usr/bin"), ("sbin", "usr/sbin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")];

/// Folders every root has, with their modes; the rest is made by systemd-tmpfiles.
const DIRECTORIES: [(&str, u32); 18] = [
    ("usr", 0o755),
    ("etc", 0o755),
    ("dev", 0o755),
    ("proc", 0o555),
    ("sys", 0o555),
    ("run", 0o755),
    ("tmp", 0o1777),
    ("var", 0o755),
    ("var/lib", 0o755),
    ("var/log", 0o755),
    ("var/tmp", 0o1777),
    ("root", 0o700),
    ("home", 0o755),
    ("opt", 0o755),
    ("mnt", 0o755),
    ("srv", 0o755),
    ("boot", 0o700),
    ("oem", 0o755),
];

/// Makes the folders and links a root needs; what is there already stays as it is.
///
/// # Errors
/// When one cannot be made.
pub fn make_skeleton(root: &Path) -> Result<()> {
    for (name, mode) in DIRECTORIES {
        make_dir(&root.join(name), mode)?;
    }
    for (name, target) in LINKS {
        let link = root.join(name);
        match std::os::unix::fs::symlink(target, &link) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(error).with_context(|| format!("failed to make link `{}`", link.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Makes one folder with exactly this mode, unless something is there.
///
/// # Errors
/// When it cannot be made.
pub fn make_dir(path: &Path, mode: u32) -> Result<()> {
    match std::fs::DirBuilder::new().mode(mode).create(path) {
        Ok(()) => std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
    .with_context(|| format!("failed to make folder `{}`", path.display()))
}

/// Loads a module (with what it needs) from the verified /usr.
///
/// # Errors
/// When there is no such module for this kernel, or the kernel refuses it.
pub fn load_module(name: &str) -> Result<()> {
    let release = sys::file::read_text(Path::new("/proc/sys/kernel/osrelease"), 256)
        .context("failed to read the kernel's version")?;
    let dir = PathBuf::from(USR).join("lib/modules").join(release.trim());
    let _ = ModuleDir::open(&dir)?.load(name, "")?;
    Ok(())
}

/// Whether the kernel can mount a file system of this type now.
fn knows_filesystem(kind: &str) -> bool {
    sys::file::read_text(Path::new("/proc/filesystems"), 64 << 10)
        .is_ok_and(|text| text.lines().any(|line| line.split_ascii_whitespace().last() == Some(kind)))
}

/// Loads the module of a file system unless the kernel has it.
///
/// # Errors
/// As [`load_module`].
pub fn need_filesystem(kind: &str) -> Result<()> {
    if knows_filesystem(kind) { Ok(()) } else { load_module(kind) }
}

/// Mounts the machine's ROOT at `target`.
///
/// # Errors
/// When its file system is not in the kernel, or cannot be mounted.
pub fn mount_root(node: &Path, kind: &str, target: &Path) -> Result<()> {
    need_filesystem(kind)?;
    make_dir(target, 0o755)?;
    let device = node.to_string_lossy();
    Mount::new(&device, kind, target).mount().context("failed to mount ROOT")
}

/// Mounts /etc of the root at `root`: the image's defaults below, `upper` and `work` in `writable`
/// above (`/.etc` of ROOT, or a folder in memory for the root of the first boot).
///
/// # Errors
/// When the folders cannot be made or the overlay cannot be mounted.
pub fn mount_etc(root: &Path, writable: &Path) -> Result<()> {
    need_filesystem("overlay")?;
    let (etc, upper, work) = (root.join("etc"), writable.join("upper"), writable.join("work"));
    make_dir(&etc, 0o755)?;
    make_dir(writable, 0o700)?;
    make_dir(&upper, 0o755)?;
    make_dir(&work, 0o700)?;
    Mount::new("overlay", "overlay", &etc)
        .flags(rustix::mount::MountFlags::NODEV | rustix::mount::MountFlags::NOSUID)
        .data(etc_options(Path::new(ETC_DEFAULTS), &upper, &work))
        .mount()
        .context("failed to mount /etc")
}

/// The overlay's options. The defaults below change with each update, so nothing may be remembered
/// about them in the upper layer: no index, no redirects, no metadata-only copies.
fn etc_options(lower: &Path, upper: &Path, work: &Path) -> String {
    format!(
        "lowerdir={},upperdir={},workdir={},index=off,redirect_dir=off,metacopy=off",
        lower.display(),
        upper.display(),
        work.display()
    )
}

/// Shows the verified /usr also below the machine's root, unless it is there.
///
/// # Errors
/// When it cannot be bound.
pub fn bind_usr(root: &Path) -> Result<()> {
    let target = root.join("usr");
    if mount::is_mounted(&target) {
        return Ok(());
    }
    make_dir(&target, 0o755)?;
    mount::bind(Path::new(USR), &target).context("failed to show /usr in the root")
}

/// Makes the root at `root`, with ROOT mounted there, whole: folders, /usr, /etc. Steps that are done
/// already are left out, so it may be called again.
///
/// # Errors
/// When a step fails.
pub fn complete_root(root: &Path) -> Result<()> {
    make_skeleton(root)?;
    bind_usr(root)?;
    if !mount::is_mounted(&root.join("etc")) {
        mount_etc(root, &root.join(".etc"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{etc_options, make_skeleton};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    #[test]
    fn a_skeleton_is_made_once_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        make_skeleton(dir.path()).unwrap();
        let mode =
            |name: &str| std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("tmp"), mode("root"), mode("var/lib")), (0o1777, 0o700, 0o755));
        assert_eq!(std::fs::read_link(dir.path().join("lib64")).unwrap(), Path::new("usr/lib64"));
        std::fs::set_permissions(dir.path().join("home"), std::fs::Permissions::from_mode(0o711)).unwrap();
        make_skeleton(dir.path()).unwrap();
        assert_eq!(mode("home"), 0o711);
    }

    #[test]
    fn the_overlay_remembers_nothing_of_its_lower_layer() {
        assert_eq!(
            etc_options("/l".as_ref(), "/u".as_ref(), "/w".as_ref()),
            "lowerdir=/l,upperdir=/u,workdir=/w,index=off,redirect_dir=off,metacopy=off"
        );
    }
}
