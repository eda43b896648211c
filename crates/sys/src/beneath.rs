//! Reads files below one directory and nothing else: the directory that a config's `local:` and
//! `trees:` name files in.
//!
//! The kernel resolves every path with `openat2(RESOLVE_BENEATH)`, so neither `..`, nor an absolute
//! path, nor a symbolic link (also one that is swapped in while we read) leads out of it. Only
//! regular files are read, and opening never waits for the other end of a FIFO.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Tries of one `openat2` when a rename elsewhere makes the kernel give up.
const RACE_TRIES: u32 = 4096;

/// Bounds of what is read.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest file, in bytes.
    pub file: u64,
    /// Most entries of one tree.
    pub entries: usize,
    /// Deepest nesting of one tree.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { file: 64 << 20, entries: 100_000, depth: 64 }
    }
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BeneathError {
    /// The directory itself cannot be opened.
    #[error("failed to open the directory `{}`", path.display())]
    Root {
        /// The directory.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A path leaves the directory.
    #[error("the path leads out of the directory `{}`", root.display())]
    Escape {
        /// The directory.
        root: PathBuf,
    },
    /// Something else than a regular file.
    #[error("expected a regular file, found {found}")]
    NotAFile {
        /// What it is.
        found: &'static str,
    },
    /// A limit was passed.
    #[error("more than {limit} {unit}")]
    Limit {
        /// The limit.
        limit: u64,
        /// Its unit.
        unit: &'static str,
    },
    /// A system call failed.
    #[error("{source}")]
    Call {
        /// The kernel's answer.
        source: io::Error,
    },
}

/// What an entry of a tree is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// A regular file with its mode bits.
    File {
        /// Permission bits.
        mode: u32,
    },
    /// A symbolic link with its target.
    Link {
        /// The target as it is written.
        target: OsString,
    },
    /// A FIFO, a socket or a device.
    Other,
}

/// One entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path below the tree's directory; empty for that directory itself.
    pub path: PathBuf,
    /// What it is.
    pub kind: EntryKind,
}

/// A directory that reading cannot leave.
#[derive(Debug)]
pub struct Beneath {
    root: OwnedFd,
    path: PathBuf,
    limits: Limits,
}

impl Beneath {
    /// Opens the directory. The path to it is the caller's own and may lead anywhere.
    ///
    /// # Errors
    /// It is not there, not a directory, or not readable.
    pub fn open(path: &Path, limits: Limits) -> Result<Self, BeneathError> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        let root = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|error| BeneathError::Root { path: path.to_owned(), source: error.into() })?;
        Ok(Self { root, path: path.to_owned(), limits })
    }

    /// The contents of a regular file.
    ///
    /// # Errors
    /// It is not there, outside, no regular file, or too large.
    pub fn read(&self, path: &Path) -> Result<Vec<u8>, BeneathError> {
        // A FIFO without a writer must not block the open; for regular files it changes nothing.
        let fd = self.openat(
            self.root.as_fd(),
            path.as_os_str(),
            OFlags::NONBLOCK | OFlags::NOCTTY,
            ResolveFlags::empty(),
        )?;
        let stat = rustix::fs::fstat(&fd).map_err(call)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind != FileType::RegularFile {
            return Err(BeneathError::NotAFile { found: name(kind) });
        }
        let limit = self.limits.file;
        let mut bytes = Vec::new();
        File::from(fd)
            .take(limit + 1)
            .read_to_end(&mut bytes)
            .map_err(|source| BeneathError::Call { source })?;
        if bytes.len() as u64 > limit {
            return Err(BeneathError::Limit { limit, unit: "bytes in one file" });
        }
        Ok(bytes)
    }

    /// The directory `path` and everything below it, parents first, names in byte order. Links are
    /// listed, not followed.
    ///
    /// # Errors
    /// It is not there, outside, no directory, too large or too deep.
    pub fn tree(&self, path: &Path) -> Result<Vec<Entry>, BeneathError> {
        let fd =
            self.openat(self.root.as_fd(), path.as_os_str(), OFlags::DIRECTORY, ResolveFlags::empty())?;
        let mut out = vec![Entry { path: PathBuf::new(), kind: EntryKind::Directory }];
        self.walk(&fd, Path::new(""), 0, &mut out)?;
        Ok(out)
    }

    fn walk(
        &self,
        dir: &OwnedFd,
        below: &Path,
        depth: usize,
        out: &mut Vec<Entry>,
    ) -> Result<(), BeneathError> {
        if depth >= self.limits.depth {
            return Err(BeneathError::Limit {
                limit: self.limits.depth as u64,
                unit: "levels of directories",
            });
        }
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(dir).map_err(call)? {
            let entry = entry.map_err(call)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes()).to_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
            if out.len() + names.len() > self.limits.entries {
                return Err(BeneathError::Limit {
                    limit: self.limits.entries as u64,
                    unit: "entries in one tree",
                });
            }
        }
        names.sort();
        for name in names {
            let stat = rustix::fs::statat(dir, &name, AtFlags::SYMLINK_NOFOLLOW).map_err(call)?;
            let path = below.join(&name);
            let kind = match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => EntryKind::Directory,
                FileType::RegularFile => EntryKind::File { mode: stat.st_mode & 0o7777 },
                FileType::Symlink => {
                    let target = rustix::fs::readlinkat(dir, &name, Vec::new()).map_err(call)?;
                    EntryKind::Link { target: OsStr::from_bytes(target.as_bytes()).to_owned() }
                }
                _ => EntryKind::Other,
            };
            let deeper = kind == EntryKind::Directory;
            out.push(Entry { path: path.clone(), kind });
            if deeper {
                let fd = self.openat(
                    dir.as_fd(),
                    &name,
                    OFlags::DIRECTORY | OFlags::NOFOLLOW,
                    ResolveFlags::NO_SYMLINKS,
                )?;
                self.walk(&fd, &path, depth + 1, out)?;
            }
        }
        Ok(())
    }

    fn openat(
        &self,
        dir: std::os::fd::BorrowedFd<'_>,
        path: &OsStr,
        flags: OFlags,
        resolve: ResolveFlags,
    ) -> Result<OwnedFd, BeneathError> {
        let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC;
        let resolve = resolve | ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let mut tries = 0;
        loop {
            match rustix::fs::openat2(dir, path, flags, Mode::empty(), resolve) {
                Ok(fd) => return Ok(fd),
                Err(Errno::AGAIN | Errno::INTR) if tries < RACE_TRIES => tries += 1,
                // A FIFO that nobody writes to, a socket.
                Err(Errno::NXIO) => return Err(BeneathError::NotAFile { found: "a socket or a device" }),
                Err(Errno::XDEV) => return Err(BeneathError::Escape { root: self.path.clone() }),
                Err(error) => return Err(call(error)),
            }
        }
    }
}

fn call(error: Errno) -> BeneathError {
    BeneathError::Call { source: error.into() }
}

fn name(kind: FileType) -> &'static str {
    match kind {
        FileType::Directory => "a directory",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::BlockDevice | FileType::CharacterDevice => "a device",
        FileType::Symlink => "a symbolic link",
        FileType::RegularFile => "a regular file",
        FileType::Unknown => "something unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering};

    fn fixture() -> (tempfile::TempDir, Beneath) {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("files");
        fs::create_dir_all(root.join("sub/deep")).unwrap();
        fs::write(temp.path().join("secret"), "secret").unwrap();
        fs::write(root.join("a"), "inside").unwrap();
        fs::write(root.join("sub/b"), "below").unwrap();
        symlink("a", root.join("in")).unwrap();
        symlink("../a", root.join("sub/up")).unwrap();
        symlink("../secret", root.join("out")).unwrap();
        symlink("/etc/passwd", root.join("absolute")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        symlink("/proc/self/root/etc/passwd", root.join("magic")).unwrap();
        let beneath = Beneath::open(&root, Limits { file: 1000, ..Limits::default() }).unwrap();
        (temp, beneath)
    }

    #[test]
    fn what_is_inside_is_read_and_what_is_outside_is_not() {
        let (_temp, files) = fixture();
        for (path, want) in [
            ("a", "inside"),
            ("in", "inside"),
            ("sub/b", "below"),
            ("sub/up", "inside"),
            ("sub/../a", "inside"),
            ("./a", "inside"),
        ] {
            assert_eq!(files.read(Path::new(path)).unwrap(), want.as_bytes(), "{path}");
        }
        for path in ["../secret", "out", "absolute", "magic", "/etc/passwd", "sub/../../secret", "/"] {
            assert!(matches!(files.read(Path::new(path)), Err(BeneathError::Escape { .. })), "{path}");
        }
        for path in ["loop", "nothing", "", "a/b"] {
            assert!(matches!(files.read(Path::new(path)), Err(BeneathError::Call { .. })), "{path}");
        }
        assert!(matches!(files.read(Path::new("sub")), Err(BeneathError::NotAFile { found: "a directory" })));
    }

    #[test]
    fn fifos_do_not_block_and_large_files_are_refused() {
        let (temp, files) = fixture();
        let fifo = temp.path().join("files/fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert!(matches!(files.read(Path::new("fifo")), Err(BeneathError::NotAFile { found: "a FIFO" })));
        fs::write(temp.path().join("files/large"), vec![b'x'; 1001]).unwrap();
        assert!(matches!(files.read(Path::new("large")), Err(BeneathError::Limit { limit: 1000, .. })));
        fs::write(temp.path().join("files/fits"), vec![b'x'; 1000]).unwrap();
        assert_eq!(files.read(Path::new("fits")).unwrap().len(), 1000);
    }

    #[test]
    fn trees_are_listed_in_order_without_following_links() {
        let (_temp, files) = fixture();
        let tree = files.tree(Path::new("sub")).unwrap();
        let names: Vec<&str> = tree.iter().filter_map(|entry| entry.path.to_str()).collect();
        assert_eq!(names, ["", "b", "deep", "up"]);
        assert_eq!(tree[3].kind, EntryKind::Link { target: "../a".into() });
        assert!(files.tree(Path::new("..")).is_err() && files.tree(Path::new("a")).is_err());
        let small = Beneath {
            limits: Limits { entries: 3, ..Limits::default() },
            root: files.root,
            path: files.path,
        };
        assert!(matches!(small.tree(Path::new("sub")), Err(BeneathError::Limit { limit: 3, .. })));
    }

    #[test]
    fn a_link_swapped_in_while_reading_leads_nowhere() {
        let (temp, files) = fixture();
        let root = temp.path().join("files");
        fs::write(root.join("swap"), "inside").unwrap();
        symlink("../secret", root.join("other")).unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let dir = rustix::fs::open(&root, OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty()).unwrap();
                while !stop.load(Ordering::Relaxed) {
                    rustix::fs::renameat_with(&dir, "swap", &dir, "other", rustix::fs::RenameFlags::EXCHANGE)
                        .unwrap();
                }
            });
            let (mut inside, mut refused) = (0, 0);
            for _ in 0..20_000 {
                match files.read(Path::new("swap")) {
                    Ok(bytes) => {
                        assert_eq!(bytes, b"inside");
                        inside += 1;
                    }
                    Err(_) => refused += 1,
                }
            }
            stop.store(true, Ordering::Relaxed);
            println!("read {inside} times, refused {refused} times");
        });
    }
}
