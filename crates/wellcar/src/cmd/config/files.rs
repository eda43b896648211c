//! Local files of a config, read below `--files-dir` by the kernel's own resolution.

use crate::failure::Failure;
use std::path::Path;
use sys::beneath::{Beneath, BeneathError, EntryKind, Limits};
use transpile::{FileError, Files, TreeEntry, TreeKind};

/// The directory.
#[derive(Debug)]
pub struct Directory(Beneath);

impl Directory {
    /// Opens it.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        Beneath::open(path, Limits::default())
            .map(Self)
            .map_err(|error| Failure::work(error, "`--files-dir` must be a directory"))
    }
}

fn error(error: &BeneathError) -> FileError {
    FileError { message: error.to_string() }
}

impl Files for Directory {
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        self.0.read(Path::new(path)).map_err(|e| error(&e))
    }

    fn tree(&self, path: &str) -> Result<Vec<TreeEntry>, FileError> {
        let entries = self.0.tree(Path::new(path)).map_err(|e| error(&e))?;
        let text = |path: &std::ffi::OsStr| {
            path.to_str()
                .map(str::to_owned)
                .ok_or_else(|| FileError { message: format!("the name `{}` is not UTF-8", path.display()) })
        };
        entries
            .into_iter()
            .map(|entry| {
                let kind = match entry.kind {
                    EntryKind::Directory => TreeKind::Directory,
                    EntryKind::File { mode } => TreeKind::File { executable: mode & 0o111 != 0 },
                    EntryKind::Link { target } => TreeKind::Link { target: text(&target)? },
                    EntryKind::Other => TreeKind::Other,
                };
                Ok(TreeEntry { path: text(entry.path.as_os_str())?, kind })
            })
            .collect()
    }
}
