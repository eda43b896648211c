//! The stages of a first boot, by the names of the command line.

use std::fmt;
use std::str::FromStr;

/// One stage. Each runs as its own process and may be run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Fetch the config without network, or say that the network is needed.
    FetchOffline,
    /// Fetch the config and all configs it names.
    Fetch,
    /// Kernel arguments.
    Kargs,
    /// Partitions, arrays, encrypted volumes, file systems.
    Disks,
    /// Mount what the config gives a path.
    Mount,
    /// Accounts, files, links, units.
    Files,
    /// Unmount, and write the stamp of a finished provisioning.
    Umount,
}

impl Stage {
    /// All, in the order in which they run.
    pub const ALL: [Self; 7] =
        [Self::FetchOffline, Self::Fetch, Self::Kargs, Self::Disks, Self::Mount, Self::Files, Self::Umount];

    /// The name on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FetchOffline => "fetch-offline",
            Self::Fetch => "fetch",
            Self::Kargs => "kargs",
            Self::Disks => "disks",
            Self::Mount => "mount",
            Self::Files => "files",
            Self::Umount => "umount",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that is no stage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to read stage `{0}`: expected fetch-offline, fetch, kargs, disks, mount, files or umount")]
pub struct UnknownStage(pub String);

impl FromStr for Stage {
    type Err = UnknownStage;
    fn from_str(text: &str) -> Result<Self, UnknownStage> {
        Self::ALL.into_iter().find(|s| s.as_str() == text).ok_or_else(|| UnknownStage(text.to_owned()))
    }
}
