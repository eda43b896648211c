//! The directory of one run: sockets, key, overlay, console log. Its path is short, because the
//! sockets in it have at most 108 bytes for theirs.

use anyhow::Context as _;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Bytes a parent directory's path may have, so that sockets in the run's directory fit.
const PARENT: usize = 60;
const PREFIX: &str = "wellcar-run-";
/// Holds the process id of the run that owns the directory.
const OWNER: &str = "owner.pid";

/// A run's directory, removed at the end.
#[derive(Debug)]
pub struct State {
    dir: TempDir,
}

impl State {
    /// Makes a directory, and removes those that runs left when they were killed.
    pub fn create() -> anyhow::Result<Self> {
        let parent = std::env::temp_dir();
        let parent = if parent.as_os_str().len() > PARENT { PathBuf::from("/tmp") } else { parent };
        sweep(&parent);
        let dir = tempfile::Builder::new()
            .prefix(PREFIX)
            .rand_bytes(6)
            .tempdir_in(&parent)
            .with_context(|| format!("failed to create a directory in `{}`", parent.display()))?;
        let owner = dir.path().join(OWNER);
        fs::write(&owner, std::process::id().to_string())
            .with_context(|| format!("failed to write `{}`", owner.display()))?;
        Ok(Self { dir })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Leaves the directory where it is: a machine goes on using it.
    pub fn keep(self) -> PathBuf {
        let _ = fs::remove_file(self.dir.path().join(OWNER));
        self.dir.keep()
    }

    /// Saves the console's log from the end of the directory; gives its new place.
    pub fn keep_log(&self, log: &Path) -> Option<PathBuf> {
        let name = format!("{}.log", self.dir.path().file_name()?.to_string_lossy());
        let kept = self.dir.path().with_file_name(name);
        fs::copy(log, &kept).ok().map(|_| kept)
    }
}

/// Removes directories whose owner has ended. One without an owner belongs to a machine that was
/// left running on purpose.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let owner =
            fs::read_to_string(entry.path().join(OWNER)).ok().and_then(|text| text.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_run_left_is_removed() {
        let parent = tempfile::tempdir().unwrap();
        let make = |name: &str, owner: Option<&str>| {
            let dir = parent.path().join(name);
            fs::create_dir(&dir).unwrap();
            if let Some(owner) = owner {
                fs::write(dir.join(OWNER), owner).unwrap();
            }
            dir
        };
        let dead = make("wellcar-run-dead", Some("4194305"));
        let alive = make("wellcar-run-alive", Some(&std::process::id().to_string()));
        let detached = make("wellcar-run-detached", None);
        let foreign = make("other", Some("4194305"));
        sweep(parent.path());
        assert!(!dead.exists() && alive.exists() && detached.exists() && foreign.exists());
    }
}
