//! Every code a report can carry, in one table. Codes are an interface (`--allow CODE`, SARIF rules):
//! they are never renamed and never reused; a new crate's codes are added here under its own heading.

use std::fmt;

/// A stable name for one kind of finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code {
    id: &'static str,
    about: &'static str,
}

impl Code {
    /// The stable string, for example `unknown-key`.
    #[must_use]
    pub fn id(self) -> &'static str {
        self.id
    }

    /// One sentence on what it means, for documentation and SARIF rules.
    #[must_use]
    pub fn about(self) -> &'static str {
        self.about
    }

    /// The code with this id.
    #[must_use]
    pub fn find(id: &str) -> Option<Code> {
        ALL.iter().copied().find(|c| c.id == id)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id)
    }
}

macro_rules! codes {
    ($($name:ident = $id:literal, $about:literal;)*) => {
        $(#[doc = $about] pub const $name: Code = Code { id: $id, about: $about };)*
        /// The whole table.
        pub const ALL: &[Code] = &[$($name),*];
    };
}

codes! {
    // Any input.
    SYNTAX = "syntax", "The text is not well-formed in its language.";
    TOO_LARGE = "too-large", "The input, or something inside it, is over a size limit.";
    TOO_DEEP = "too-deep", "The input is nested deeper than the limit.";
    DUPLICATE_KEY = "duplicate-key", "One object names a key twice; only one of the values counts.";
    WRONG_TYPE = "wrong-type", "A value has another type than its key wants.";
    UNKNOWN_KEY = "unknown-key", "A key that this language version does not know.";
    MISSING_KEY = "missing-key", "A key that must be there is not.";
    VALUE = "invalid-value", "A value that its key does not allow.";
    CONFLICT = "conflict", "Two settings exclude each other.";
    DEPRECATED = "deprecated", "Something that still works and has a better successor.";

    // Ignition.
    VERSION = "version", "The version is missing, malformed or not supported.";
    EMPTY = "empty", "The config is empty, or is not an Ignition config at all.";
    PATH = "path", "A path is relative, not clean, or otherwise not usable.";
    URL = "url", "A URL cannot be used.";
    HASH = "hash", "A verification hash is malformed or of an unknown kind.";
    COMPRESSION = "compression", "A compression that cannot be used here.";
    HEADER = "header", "An HTTP header that cannot be used here.";
    DUPLICATE_ENTRY = "duplicate-entry", "Two entries of one config have the same key.";
    FILE = "file", "A file, directory or link that cannot be made as described.";
    MODE = "mode", "A file mode out of range, or probably meant in octal.";
    PARTITION = "partition", "A partition table that cannot be made as described.";
    RAID = "raid", "A RAID array that cannot be made as described.";
    FILESYSTEM = "filesystem", "A file system that cannot be made as described.";
    LUKS = "luks", "An encrypted volume that cannot be made as described.";
    PASSWD = "passwd", "A user or group that cannot be made as described.";
    UNIT = "unit", "A systemd or networkd unit that is not usable.";
    KARGS = "kernel-argument", "A kernel argument that cannot be used.";
    TRANSLATE = "translate", "An older config that has no exact meaning in the current version.";
    MERGE = "merge", "Two sources set the same thing.";

    // Configs for people.
    LOCAL_FILE = "local-file", "A file beside the config that cannot be read.";
    LANGUAGE = "language", "The text is not in a language that can be used here.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_kebab_case() {
        let mut ids: Vec<_> = ALL.iter().map(|c| c.id()).collect();
        ids.sort_unstable();
        let count = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), count);
        assert!(ids.iter().all(|i| i.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
        assert_eq!(Code::find("unknown-key"), Some(UNKNOWN_KEY));
    }
}
