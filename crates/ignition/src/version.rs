//! Spec versions: which there are, what they are called, how one is recognised.

use std::fmt;

/// A spec version, oldest first. All versions of spec 3 are read into the one model; spec 1 and 2 have
/// their own ([`crate::v2`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Version {
    V1,
    V2_0,
    V2_1,
    V2_2,
    V2_3,
    V2_4,
    V3_0,
    V3_1,
    V3_2,
    V3_3,
    V3_4,
    V3_5,
    V3_6,
    V3_7Exp,
}

impl Version {
    /// The newest stable version.
    pub const STABLE: Version = Version::V3_6;
    /// The newest version: the model itself, and what the engine's cache is written in.
    pub const NEWEST: Version = Version::V3_7Exp;
    /// All of them, oldest first.
    pub const ALL: [Version; 14] = [
        Version::V1,
        Version::V2_0,
        Version::V2_1,
        Version::V2_2,
        Version::V2_3,
        Version::V2_4,
        Version::V3_0,
        Version::V3_1,
        Version::V3_2,
        Version::V3_3,
        Version::V3_4,
        Version::V3_5,
        Version::V3_6,
        Version::V3_7Exp,
    ];

    /// The string of `ignition.version` (spec 1: `ignitionVersion`).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Version::V1 => "1",
            Version::V2_0 => "2.0.0",
            Version::V2_1 => "2.1.0",
            Version::V2_2 => "2.2.0",
            Version::V2_3 => "2.3.0",
            Version::V2_4 => "2.4.0",
            Version::V3_0 => "3.0.0",
            Version::V3_1 => "3.1.0",
            Version::V3_2 => "3.2.0",
            Version::V3_3 => "3.3.0",
            Version::V3_4 => "3.4.0",
            Version::V3_5 => "3.5.0",
            Version::V3_6 => "3.6.0",
            Version::V3_7Exp => "3.7.0-experimental",
        }
    }

    /// Whether it is a version of spec 3.
    #[must_use]
    pub fn is_3(self) -> bool {
        self >= Version::V3_0
    }

    /// The version with this exact string.
    #[must_use]
    pub fn find(text: &str) -> Option<Version> {
        Self::ALL.into_iter().find(|v| v.as_str() == text)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
