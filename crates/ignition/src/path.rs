//! Absolute paths as Ignition wants them.

/// Why a path is not usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing is given.
    #[error("path not specified")]
    Missing,
    /// It does not start with a slash.
    #[error("path not absolute")]
    Relative,
    /// It has `.`, `..`, doubled or trailing slashes.
    #[error("path is not fully simplified")]
    Dirty,
}

/// Checks that a path is there, absolute and clean.
///
/// # Errors
/// The first of the three that does not hold.
pub fn check(path: &str) -> Result<(), PathError> {
    if path.is_empty() {
        return Err(PathError::Missing);
    }
    if !path.starts_with('/') {
        return Err(PathError::Relative);
    }
    if clean(path) != path {
        return Err(PathError::Dirty);
    }
    Ok(())
}

/// The shortest path with the same meaning, as Go's `path.Clean`.
#[must_use]
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(last) if *last != ".." => {
                    parts.pop();
                }
                _ if rooted => {}
                _ => parts.push(part),
            },
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

/// Joins and cleans, as Go's `path.Join`: empty parts are left out.
#[must_use]
pub fn join(a: &str, b: &str) -> String {
    match (a.is_empty(), b.is_empty()) {
        (true, true) => String::new(),
        (true, false) => clean(b),
        (false, true) => clean(a),
        (false, false) => clean(&format!("{a}/{b}")),
    }
}

/// The parents of a clean absolute path, nearest first, without the root.
pub fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    let mut rest = path;
    std::iter::from_fn(move || {
        rest = rest.rfind('/').and_then(|i| rest.get(..i)).filter(|r| !r.is_empty())?;
        Some(rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleans_as_go_does() {
        for (dirty, simple) in
            [("/a//b/", "/a/b"), ("/a/../../b", "/b"), ("a/./b", "a/b"), ("..", ".."), ("", "."), ("/", "/")]
        {
            assert_eq!(clean(dirty), simple, "{dirty}");
        }
        assert_eq!(join("/oem", "/x"), "/oem/x");
        assert_eq!(join("", ""), "");
        assert_eq!(ancestors("/a/b/c").collect::<Vec<_>>(), ["/a/b", "/a"]);
        assert_eq!(check("/a/"), Err(PathError::Dirty));
    }
}
