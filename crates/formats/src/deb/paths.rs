//! The rules for names inside a package: what is admitted, and what an entry may stand on.

use std::collections::HashMap;

use super::{Entry, Error, Kind};
use crate::tar_in::{Header, MAX_NAME, Type};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    Dir,
    File,
    Link,
}

/// What the package has had so far.
#[derive(Debug, Default)]
pub(super) struct Seen(HashMap<String, Is>);

impl Seen {
    /// Checks a header against the rules and everything before it.
    pub(super) fn admit(&mut self, header: Header) -> Result<Entry, Error> {
        let path = normalise(&header.path)?;
        self.parents(&path)?;
        let (kind, is) = match header.kind {
            Type::File => (Kind::File { size: header.size }, Is::File),
            Type::Dir => (Kind::Dir, Is::Dir),
            Type::Symlink => (Kind::Symlink { target: symlink_target(&path, &header.link)? }, Is::Link),
            Type::Hardlink => {
                let target = normalise(&header.link)?;
                if self.0.get(&target) != Some(&Is::File) {
                    return Err(Error::Hardlink { path, target });
                }
                (Kind::Hardlink { target }, Is::File)
            }
            Type::CharDevice | Type::BlockDevice | Type::Fifo => {
                return Err(Error::Kind { path, kind: header.kind });
            }
        };
        if path.is_empty() && is != Is::Dir {
            return Err(Error::Path { path: ".".to_owned(), reason: "the root is not a directory" });
        }
        if self.0.insert(path.clone(), is).is_some() {
            return Err(Error::Duplicate(path));
        }
        let Header { mode, uid, gid, uname, gname, mtime, .. } = header;
        Ok(Entry { path, kind, mode, uid, gid, uname, gname, mtime })
    }

    fn parents(&self, path: &str) -> Result<(), Error> {
        for (at, _) in path.match_indices('/') {
            let parent = &path[..at];
            if matches!(self.0.get(parent), Some(Is::File | Is::Link)) {
                return Err(Error::Through { path: path.to_owned(), parent: parent.to_owned() });
            }
        }
        Ok(())
    }
}

/// A relative path without empty, `.` and `..` components; empty for the root.
fn normalise(raw: &[u8]) -> Result<String, Error> {
    let refuse = |reason| Err(Error::Path { path: raw.escape_ascii().to_string(), reason });
    let Ok(text) = std::str::from_utf8(raw) else { return refuse("it is not UTF-8") };
    if text.is_empty() {
        return refuse("it is empty");
    }
    if text.len() as u64 > MAX_NAME {
        return refuse("it is longer than 4096 bytes");
    }
    if text.starts_with('/') {
        return refuse("it is absolute");
    }
    if text.chars().any(char::is_control) {
        return refuse("it has a control character");
    }
    let mut out = String::with_capacity(text.len());
    for part in text.split('/') {
        match part {
            "" | "." => continue,
            ".." => return refuse("it leaves its directory"),
            _ if part.len() > 255 => return refuse("a component is longer than 255 bytes"),
            _ => {}
        }
        if !out.is_empty() {
            out.push('/');
        }
        out.push_str(part);
    }
    Ok(out)
}

fn symlink_target(path: &str, raw: &[u8]) -> Result<String, Error> {
    let refuse = |reason| Err(Error::Path { path: format!("{path} -> {}", raw.escape_ascii()), reason });
    match std::str::from_utf8(raw) {
        Err(_) => refuse("the link target is not UTF-8"),
        Ok("") => refuse("the link target is empty"),
        Ok(text) if text.len() as u64 >= MAX_NAME => refuse("the link target is longer than 4095 bytes"),
        Ok(text) if text.chars().any(char::is_control) => refuse("the link target has a control character"),
        Ok(text) => Ok(text.to_owned()),
    }
}
