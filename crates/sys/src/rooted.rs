//! Every write below a target root, through directory descriptors only.
//!
//! A provisioner writes into a tree that holds symlinks it did not make (an image, an old disk, a
//! user's own link). A path string that is checked first and opened later can be redirected in
//! between. Here each path is resolved by the kernel with `openat2(RESOLVE_IN_ROOT)`: absolute
//! links and `..` stay inside the root, magic links are refused, and the last component is never
//! followed unless the call says so. What follows works on (directory descriptor, name).
//!
//! It is not a sandbox: the caller still decides what to write. Mounts below the root are crossed.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Uid};

mod mount;

/// Tries of one `openat2` when a rename elsewhere in the tree makes the kernel give up.
const RACE_TRIES: u32 = 4096;
/// Symlinks followed for one path before it counts as a loop.
const MAX_LINKS: u32 = 40;
/// Directory levels that a removal descends.
const MAX_DEPTH: u32 = 512;

/// What went wrong below a root.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootedError {
    /// A system call failed.
    #[error("failed to {verb} `{}`", path.display())]
    Call {
        /// What was tried.
        verb: &'static str,
        /// Path as the root sees it.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A path leads through too many symbolic links.
    #[error("failed to resolve `{}`: more than {MAX_LINKS} symbolic links", path.display())]
    Links {
        /// Path as the root sees it.
        path: PathBuf,
    },
    /// A path that names the root itself where an entry of a directory is needed.
    #[error("failed to use `{}`: it names no entry below the root", path.display())]
    NoName {
        /// Path as given.
        path: PathBuf,
    },
    /// A file is larger than the reader's limit.
    #[error("failed to read `{}`: larger than {limit} bytes", path.display())]
    TooLarge {
        /// Path as the root sees it.
        path: PathBuf,
        /// Limit in bytes.
        limit: u64,
    },
    /// A directory tree is deeper than a removal descends.
    #[error("failed to remove `{}`: more than {MAX_DEPTH} levels deep", path.display())]
    TooDeep {
        /// Path as the root sees it.
        path: PathBuf,
    },
}

impl RootedError {
    /// The kernel's error, if it was one.
    #[must_use]
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Call { source, .. } => Some(source),
            Self::Links { .. } | Self::NoName { .. } | Self::TooLarge { .. } | Self::TooDeep { .. } => None,
        }
    }

    /// True when the path, or a parent of it, does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.io().is_some_and(|e| e.kind() == io::ErrorKind::NotFound)
    }
}

/// Result of this module.
pub type Result<T, E = RootedError> = std::result::Result<T, E>;

/// Kind of a directory entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Regular file.
    File,
    /// Directory.
    Directory,
    /// Symbolic link.
    Symlink,
    /// Device, socket, pipe.
    Other,
}

/// What `lstat` says of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Kind of the entry.
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// Device number and inode: two names of one file share them.
    pub id: (u64, u64),
}

impl Entry {
    fn of(stat: &Stat) -> Self {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Symlink,
            _ => Kind::Other,
        };
        Self {
            kind,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            id: (stat.st_dev, stat.st_ino),
        }
    }
}

/// Owner and permissions of what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// Permission bits, with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// When a written file must survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Before the call returns: file and directory are flushed.
    Now,
    /// With the next [`Root::sync`].
    Later,
}

/// An open target root.
#[derive(Debug)]
pub struct Root {
    dir: OwnedFd,
    shown: PathBuf,
}

/// A path cleaned to an absolute one: no `.`, no empty parts; `..` cancels what is before it.
#[must_use]
pub fn clean(path: &Path) -> PathBuf {
    let mut out = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => out.push(name),
            Component::ParentDir => {
                out.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    out
}

fn call(verb: &'static str, path: &Path) -> impl FnOnce(rustix::io::Errno) -> RootedError {
    let path = path.to_path_buf();
    move |errno| RootedError::Call { verb, path, source: errno.into() }
}

fn call_io(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RootedError {
    let path = path.to_path_buf();
    move |source| RootedError::Call { verb, path, source }
}

impl Root {
    /// Opens the directory `path` as the root. `path` itself is trusted and resolved as usual.
    ///
    /// # Errors
    /// When it cannot be opened or is no directory.
    pub fn open(path: &Path) -> Result<Self> {
        let dir = rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(call("open root", path))?;
        Ok(Self { dir, shown: path.to_path_buf() })
    }

    /// The path the root was opened by; for messages and for tools that take a `--root`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shown
    }

    fn openat2(&self, path: &Path, flags: OFlags, verb: &'static str) -> Result<OwnedFd> {
        let mut tries = 0;
        loop {
            let got = rustix::fs::openat2(
                &self.dir,
                path,
                flags | OFlags::CLOEXEC,
                Mode::empty(),
                ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
            );
            match got {
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) if tries < RACE_TRIES => tries += 1,
                Err(e) => return Err(call(verb, path)(e)),
                Ok(fd) => return Ok(fd),
            }
        }
    }

    /// The directory that holds `path`'s last component (links in it followed inside the root), and that component.
    fn parent(&self, path: &Path) -> Result<(OwnedFd, OsString)> {
        let path = clean(path);
        let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(RootedError::NoName { path });
        };
        let fd = self.openat2(dir, OFlags::PATH | OFlags::DIRECTORY, "open directory")?;
        Ok((fd, name.to_owned()))
    }

    /// `lstat`: the entry itself, or `None` when it (or a parent) is missing.
    ///
    /// # Errors
    /// Any failure but absence.
    pub fn entry(&self, path: &Path) -> Result<Option<Entry>> {
        self.look(path, OFlags::NOFOLLOW)
    }

    /// `stat`: what the last symlink leads to inside the root.
    ///
    /// # Errors
    /// Any failure but absence.
    pub fn entry_followed(&self, path: &Path) -> Result<Option<Entry>> {
        self.look(path, OFlags::empty())
    }

    fn look(&self, path: &Path, extra: OFlags) -> Result<Option<Entry>> {
        let path = clean(path);
        match self.openat2(&path, OFlags::PATH | extra, "look up") {
            Ok(fd) => {
                let stat = rustix::fs::fstat(&fd).map_err(call("look up", &path))?;
                Ok(Some(Entry::of(&stat)))
            }
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Opens a regular file for reading; links followed inside the root.
    ///
    /// # Errors
    /// When it is missing or no regular file.
    pub fn open_file(&self, path: &Path) -> Result<File> {
        let path = clean(path);
        let fd = self.openat2(&path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, "open")?;
        let stat = rustix::fs::fstat(&fd).map_err(call("look up", &path))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(call_io("read", &path)(io::Error::other("not a regular file")));
        }
        Ok(File::from(fd))
    }

    /// Reads a regular file of at most `limit` bytes; links followed inside the root.
    ///
    /// # Errors
    /// When it is missing, no regular file, or larger.
    pub fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>> {
        let file = self.open_file(path)?;
        let mut out = Vec::new();
        file.take(limit.saturating_add(1)).read_to_end(&mut out).map_err(call_io("read", path))?;
        if out.len() as u64 > limit {
            return Err(RootedError::TooLarge { path: path.to_path_buf(), limit });
        }
        Ok(out)
    }

    /// [`Root::read`], `None` when the file is missing.
    ///
    /// # Errors
    /// As [`Root::read`], but for absence.
    pub fn read_opt(&self, path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
        match self.read(path, limit) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Target of a symlink.
    ///
    /// # Errors
    /// When it is missing or no symlink.
    pub fn read_link(&self, path: &Path) -> Result<PathBuf> {
        let (dir, name) = self.parent(path)?;
        let target = rustix::fs::readlinkat(&dir, &name, Vec::new()).map_err(call("read link", path))?;
        Ok(PathBuf::from(OsString::from_vec(target.into_bytes())))
    }

    /// Names in a directory, sorted; empty when it is missing.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn list(&self, path: &Path) -> Result<Vec<OsString>> {
        let path = clean(path);
        match self.openat2(&path, OFlags::RDONLY | OFlags::DIRECTORY, "list") {
            Ok(fd) => list_dir(&fd).map_err(call("list", &path)),
            Err(e) if e.is_not_found() => Ok(Vec::new()),
            Err(e) => Err(e),
        }
    }

    /// Makes `path` and every missing parent, root-owned with `mode`; returns those made, parents first.
    ///
    /// A dangling link on the way is resolved inside the root, and what it names is made.
    ///
    /// # Errors
    /// When a component is no directory, or on any system failure.
    pub fn mkdir_all(&self, path: &Path, mode: u32) -> Result<Vec<PathBuf>> {
        let mut made = Vec::new();
        let mut links = 0;
        self.mkdir_below(&clean(path), mode, &mut made, &mut links)?;
        Ok(made)
    }

    fn mkdir_below(&self, path: &Path, mode: u32, made: &mut Vec<PathBuf>, links: &mut u32) -> Result<()> {
        match self.openat2(path, OFlags::PATH | OFlags::DIRECTORY, "open directory") {
            Ok(_) => return Ok(()),
            Err(e) if e.is_not_found() => {}
            Err(e) => return Err(e),
        }
        let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(RootedError::NoName { path: path.to_path_buf() });
        };
        self.mkdir_below(dir, mode, made, links)?;
        let parent = self.openat2(dir, OFlags::PATH | OFlags::DIRECTORY, "open directory")?;
        match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(mode & 0o7777)) {
            Ok(()) => {
                let fd = open_nofollow_dir(&parent, name).map_err(call("open directory", path))?;
                rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode & 0o7777))
                    .map_err(call("set mode of", path))?;
                made.push(path.to_path_buf());
                Ok(())
            }
            Err(rustix::io::Errno::EXIST) => {
                // A dangling link, or somebody made it just now.
                match rustix::fs::readlinkat(&parent, name, Vec::new()) {
                    Ok(target) => {
                        *links += 1;
                        if *links > MAX_LINKS {
                            return Err(RootedError::Links { path: path.to_path_buf() });
                        }
                        let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                        self.mkdir_below(&clean(&dir.join(target)), mode, made, links)
                    }
                    Err(rustix::io::Errno::INVAL) => {
                        self.openat2(path, OFlags::PATH | OFlags::DIRECTORY, "open directory").map(drop)
                    }
                    Err(e) => Err(call("read link", path)(e)),
                }
            }
            Err(e) => Err(call("make directory", path)(e)),
        }
    }

    /// Sets owner and mode of an entry that is no symlink; the last component is not followed.
    ///
    /// # Errors
    /// When it is missing or a symlink.
    pub fn set_meta(&self, path: &Path, meta: Meta) -> Result<()> {
        self.set_owner(path, meta.uid, meta.gid)?;
        self.set_mode(path, meta.mode)
    }

    /// Sets owner and group; a symlink itself is changed, not what it names.
    ///
    /// # Errors
    /// When it is missing.
    pub fn set_owner(&self, path: &Path, uid: u32, gid: u32) -> Result<()> {
        let (dir, name) = self.parent(path)?;
        rustix::fs::chownat(
            &dir,
            &name,
            Some(Uid::from_raw(uid)),
            Some(Gid::from_raw(gid)),
            AtFlags::SYMLINK_NOFOLLOW,
        )
        .map_err(call("set owner of", path))
    }

    /// Sets the permission bits of an entry that is no symlink.
    ///
    /// # Errors
    /// When it is missing or a symlink.
    pub fn set_mode(&self, path: &Path, mode: u32) -> Result<()> {
        let (dir, name) = self.parent(path)?;
        let fd = rustix::fs::openat(
            &dir,
            &name,
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(call("open", path))?;
        rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode & 0o7777)).map_err(call("set mode of", path))
    }

    /// Writes a whole file under a hidden temporary name and renames it: the old content or the new, never a part.
    ///
    /// The directory must exist. A symlink or file of that name is replaced; a directory is an error.
    ///
    /// # Errors
    /// Any failure of `fill` or of the system; the temporary file is removed then.
    pub fn write_with(
        &self,
        path: &Path,
        meta: Meta,
        durability: Durability,
        fill: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> Result<()> {
        let (dir, name) = self.parent(path)?;
        let temp = temp_name(&name);
        match rustix::fs::unlinkat(&dir, &temp, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(e) => return Err(call("remove stale temporary of", path)(e)),
        }
        let fd = rustix::fs::openat(
            &dir,
            &temp,
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::from_raw_mode(0o600),
        )
        .map_err(call("create", path))?;
        let mut file = File::from(fd);
        let written = fill(&mut file)
            .and_then(|()| {
                rustix::fs::fchown(&file, Some(Uid::from_raw(meta.uid)), Some(Gid::from_raw(meta.gid)))?;
                rustix::fs::fchmod(&file, Mode::from_raw_mode(meta.mode & 0o7777))?;
                if durability == Durability::Now {
                    file.sync_all()?;
                }
                drop(file);
                rustix::fs::renameat(&dir, &temp, &dir, &name)?;
                Ok(())
            })
            .map_err(call_io("write", path));
        if written.is_err() {
            let _ = rustix::fs::unlinkat(&dir, &temp, AtFlags::empty());
            return written;
        }
        if durability == Durability::Now {
            sync_dir(&dir).map_err(call("flush directory of", path))?;
        }
        Ok(())
    }

    /// [`Root::write_with`] for content in memory.
    ///
    /// # Errors
    /// As [`Root::write_with`].
    pub fn write(&self, path: &Path, meta: Meta, durability: Durability, content: &[u8]) -> Result<()> {
        self.write_with(path, meta, durability, |file| file.write_all(content))
    }

    /// Makes a symlink; something of that name must not be there.
    ///
    /// # Errors
    /// When the name exists, or on any system failure.
    pub fn symlink(&self, target: &OsStr, path: &Path, uid: u32, gid: u32) -> Result<()> {
        let (dir, name) = self.parent(path)?;
        rustix::fs::symlinkat(target, &dir, &name).map_err(call("make link", path))?;
        rustix::fs::chownat(
            &dir,
            &name,
            Some(Uid::from_raw(uid)),
            Some(Gid::from_raw(gid)),
            AtFlags::SYMLINK_NOFOLLOW,
        )
        .map_err(call("set owner of", path))
    }

    /// Gives the file `target` (a path in the root, its last link not followed) the second name `path`.
    ///
    /// # Errors
    /// When the target is missing, the name exists, or they are on different file systems.
    pub fn hard_link(&self, target: &Path, path: &Path) -> Result<()> {
        let (old_dir, old) = self.parent(target)?;
        let (dir, name) = self.parent(path)?;
        rustix::fs::linkat(&old_dir, &old, &dir, &name, AtFlags::empty())
            .map_err(call("make hard link", path))
    }

    /// Removes one entry that is no directory; true if it was there.
    ///
    /// # Errors
    /// When it is a directory, or on any system failure but absence.
    pub fn remove_file(&self, path: &Path) -> Result<bool> {
        let (dir, name) = match self.parent(path) {
            Err(e) if e.is_not_found() => return Ok(false),
            other => other?,
        };
        match rustix::fs::unlinkat(&dir, &name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::NOENT) => Ok(false),
            Err(e) => Err(call("remove", path)(e)),
        }
    }

    /// Removes an entry and all below it, links never followed; true if it was there.
    ///
    /// # Errors
    /// On any system failure but absence; a mount point below is busy and fails.
    pub fn remove_all(&self, path: &Path) -> Result<bool> {
        let (dir, name) = match self.parent(path) {
            Err(e) if e.is_not_found() => return Ok(false),
            other => other?,
        };
        remove_tree(&dir, &name, path, 0)
    }

    /// Moves an entry inside the root, replacing a file or an empty directory of that name.
    ///
    /// # Errors
    /// On any system failure.
    pub fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let (old_dir, old) = self.parent(from)?;
        let (dir, name) = self.parent(to)?;
        rustix::fs::renameat(&old_dir, &old, &dir, &name).map_err(call("rename", from))
    }

    /// Flushes the whole file system that holds `path`'s directory.
    ///
    /// # Errors
    /// When the device reports a failed write.
    pub fn sync(&self, path: &Path) -> Result<()> {
        let path = clean(path);
        let fd = self.openat2(&path, OFlags::RDONLY | OFlags::DIRECTORY, "open directory")?;
        rustix::fs::syncfs(&fd).map_err(call("flush file system of", &path))
    }

    /// Opens a directory for a mount on top of it; every component must be a real directory.
    ///
    /// # Errors
    /// When a component is a symlink or no directory.
    pub fn mount_point(&self, path: &Path) -> Result<OwnedFd> {
        let path = clean(path);
        let mut tries = 0;
        loop {
            let got = rustix::fs::openat2(
                &self.dir,
                &path,
                OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
                ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS,
            );
            match got {
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) if tries < RACE_TRIES => tries += 1,
                Err(e) => return Err(call("use as mount point", &path)(e)),
                Ok(fd) => return Ok(fd),
            }
        }
    }
}

impl Root {
    /// An unnamed temporary file in the root's file system; it vanishes when closed.
    ///
    /// # Errors
    /// When the file system has none of these and a named one cannot be made either.
    pub fn temp_file(&self) -> Result<File> {
        let shown = Path::new("/");
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.dir, ".", flags | OFlags::TMPFILE, Mode::from_raw_mode(0o600)) {
            Ok(fd) => return Ok(File::from(fd)),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR | rustix::io::Errno::INVAL) => {}
            Err(e) => return Err(call("make temporary file in", shown)(e)),
        }
        let name = temp_name(OsStr::new("temporary"));
        let _ = rustix::fs::unlinkat(&self.dir, &name, AtFlags::empty());
        let flags = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let fd = rustix::fs::openat(&self.dir, &name, flags, Mode::from_raw_mode(0o600))
            .map_err(call("make temporary file in", shown))?;
        rustix::fs::unlinkat(&self.dir, &name, AtFlags::empty()).map_err(call("remove", shown))?;
        Ok(File::from(fd))
    }
}

fn temp_name(name: &OsStr) -> OsString {
    // FNV-1a: a name of fixed length that is the same on a rerun, so that a crash leaves at most one.
    let hash = name
        .as_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3));
    OsString::from(format!(".wellcar-new-{hash:016x}"))
}

fn open_nofollow_dir(dir: impl AsFd, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat(
        dir,
        name,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

/// Flushes a directory that was opened as a mere path.
fn sync_dir(dir: &OwnedFd) -> rustix::io::Result<()> {
    let fd =
        rustix::fs::openat(dir, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::fs::fsync(&fd)
}

fn list_dir(fd: &OwnedFd) -> rustix::io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for item in rustix::fs::Dir::read_from(fd)? {
        let item = item?;
        let name = item.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn remove_tree(dir: &OwnedFd, name: &OsStr, shown: &Path, depth: u32) -> Result<bool> {
    if depth > MAX_DEPTH {
        return Err(RootedError::TooDeep { path: shown.to_path_buf() });
    }
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) => return Ok(true),
        Err(rustix::io::Errno::NOENT) => return Ok(false),
        Err(rustix::io::Errno::ISDIR | rustix::io::Errno::PERM) => {}
        Err(e) => return Err(call("remove", shown)(e)),
    }
    let fd = open_nofollow_dir(dir, name).map_err(call("remove", shown))?;
    for child in list_dir(&fd).map_err(call("list", shown))? {
        remove_tree(&fd, &child, &shown.join(&child), depth + 1)?;
    }
    rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR).map_err(call("remove", shown))?;
    Ok(true)
}

#[cfg(test)]
#[path = "rooted_tests.rs"]
mod tests;
