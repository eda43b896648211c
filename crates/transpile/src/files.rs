//! Files beside the config: what `contents.local`, `trees` and their like read. The crate itself
//! touches no file system; the program hands in something that does.

use report::{Report, Reports, Span, codes};

/// Why a local file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileError {
    /// What is wrong, lower case, without the path.
    pub message: String,
}

impl std::fmt::Display for FileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for FileError {}

/// One entry below a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeEntry {
    /// Its path below the directory, with `/`, without `.` or `..`; empty for the directory itself.
    pub path: String,
    /// What it is.
    pub kind: TreeKind,
}

/// What an entry of a tree is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TreeKind {
    /// A directory.
    Directory,
    /// A regular file; true if anyone may execute it.
    File {
        /// Any execute bit.
        executable: bool,
    },
    /// A symbolic link and where it points.
    Link {
        /// The target as it is written.
        target: String,
    },
    /// A FIFO, socket or device.
    Other,
}

/// Reads below one directory, which nothing may leave: neither `..` nor an absolute path nor a link.
pub trait Files: std::fmt::Debug {
    /// The contents of a regular file, up to a limit of the implementation.
    fn read(&self, path: &str) -> Result<Vec<u8>, FileError>;
    /// Everything below a directory (and the directory itself first), parents before children, names
    /// in byte order.
    fn tree(&self, path: &str) -> Result<Vec<TreeEntry>, FileError>;
}

/// Reads a local file, or reports why not.
pub fn read_local(
    files: Option<&dyn Files>,
    path: &str,
    span: Span,
    reports: &mut Reports,
) -> Option<Vec<u8>> {
    let files = require(files, span, reports)?;
    match files.read(path) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            reports.push(
                Report::error(codes::LOCAL_FILE, format!("failed to read the local file `{path}`: {error}"))
                    .at(span),
            );
            None
        }
    }
}

/// The files, or a report that there are none.
pub fn require<'a>(files: Option<&'a dyn Files>, span: Span, reports: &mut Reports) -> Option<&'a dyn Files> {
    if files.is_none() {
        reports.push(
            Report::error(codes::LOCAL_FILE, "local files need a directory to be read from")
                .at(span)
                .hint("give it with `--files-dir`"),
        );
    }
    files
}
