//! Making the lock files of `os/`: read the suites, solve the closures, write what they are. Used by
//! `wellcar image lock`, and by `wellcar run` when a pinned package has vanished from the mirror.

use crate::archive::{ArchiveError, Reading, Snapshot};
use compose::repo::spec::ToolSet;
use compose::repo::{
    Archive, ImageSpec, Lock, LockError, Request, SolveError, SpecError, Suites, ToolsSpec, Universe,
};
use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use thiserror::Error;
use trust::UnixTime;

/// The image's lock, below `os/`.
pub const OS_LOCK: &str = "os.lock";
/// The build tools' lock, below `os/`.
pub const TOOLS_LOCK: &str = "tools.lock";

/// Why there is no lock.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LockingError {
    /// A file of `os/` cannot be read.
    #[error("failed to read `os/{file}`")]
    Read {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file of `os/` is malformed.
    #[error("failed to understand `os/`")]
    Spec(#[from] SpecError),
    /// The present lock is malformed.
    #[error("failed to use `os/{file}`")]
    Lock {
        /// The file.
        file: &'static str,
        /// Why.
        #[source]
        source: LockError,
    },
    /// The archive cannot be read or trusted.
    #[error("failed to read the archive")]
    Archive(#[from] ArchiveError),
    /// A list has no closure.
    #[error("failed to solve the package list `{list}`")]
    Solve {
        /// The list.
        list: String,
        /// Why.
        #[source]
        source: SolveError,
    },
    /// A lock cannot be written.
    #[error("failed to write `{}`", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl LockingError {
    /// What the user can do, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Archive(error) => error.hint(),
            Self::Lock { file, .. } => {
                Some(format!("make it anew: remove `{file}`, then `wellcar image lock`"))
            }
            _ => None,
        }
    }
}

/// The locks, made anew.
#[derive(Debug, Clone)]
pub struct Locks {
    /// The image's packages.
    pub os: Lock,
    /// The build tools' packages.
    pub tools: Lock,
    /// What is odd but no error.
    pub notes: Vec<String>,
}

fn text(reading: &Reading<'_>, file: &str) -> Result<String, LockingError> {
    (reading.os)(file)
        .and_then(|bytes| String::from_utf8(bytes).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e)))
        .map_err(|source| LockingError::Read { file: file.to_owned(), source })
}

/// Reads a lock of `os/`; `None` when there is none yet.
pub fn present(os: crate::archive::ReadOs<'_>, file: &'static str) -> Result<Option<Lock>, LockingError> {
    let bytes = match os(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(LockingError::Read { file: file.into(), source }),
    };
    let text = String::from_utf8_lossy(&bytes);
    Lock::parse(&text).map(Some).map_err(|source| LockingError::Lock { file, source })
}

/// Reads the suites and solves every list of `os/`.
pub fn solve(reading: &Reading<'_>) -> Result<Locks, LockingError> {
    let suites = Suites::parse(&text(reading, "suites.toml")?)?;
    let image = ImageSpec::parse(&text(reading, "packages.toml")?)?;
    let tools = ToolsSpec::parse(&text(reading, "tools.toml")?)?;
    let snapshot = reading.snapshot(&suites)?;
    solve_snapshot(&suites, &image, &tools, &snapshot)
}

fn solve_snapshot(
    suites: &Suites,
    image: &ImageSpec,
    tools: &ToolsSpec,
    snapshot: &Snapshot,
) -> Result<Locks, LockingError> {
    let universe = Universe::new(&snapshot.packages);
    let failed = |list: &str| {
        let list = list.to_owned();
        move |source| LockingError::Solve { list, source }
    };
    let mut notes = Vec::new();
    let drop: BTreeSet<String> = image.drop.iter().cloned().collect();
    let request =
        Request { packages: &image.packages, drop: &drop, prefer: &image.prefer, name: "packages.toml" };
    let os = universe.solve(&request).map_err(failed("packages.toml"))?;
    notes.extend(
        os.unused_drops.iter().map(|name| format!("packages.toml drops `{name}`, which nothing asks for")),
    );
    let mut closures = Vec::new();
    for (name, set) in &tools.sets {
        let ToolSet { packages, drop } = set;
        let drop: BTreeSet<String> = drop.iter().chain(&tools.drop).cloned().collect();
        let request = Request { packages, drop: &drop, prefer: &tools.prefer, name: "tools.toml" };
        let solution = universe.solve(&request).map_err(failed(&format!("sets.{name} of tools.toml")))?;
        closures.push((name.as_str(), solution));
    }
    let lock = |solutions| Lock::new(&suites.architecture, snapshot.suites.clone(), &suites.suite, solutions);
    Ok(Locks {
        os: lock(vec![(None, &os)]),
        tools: lock(closures.iter().map(|(name, solution)| (Some(*name), solution)).collect()),
        notes,
    })
}

/// Writes both locks into `folder`, each whole or not at all.
pub fn write(locks: &Locks, folder: &Path) -> Result<(), LockingError> {
    for (file, lock) in [(OS_LOCK, &locks.os), (TOOLS_LOCK, &locks.tools)] {
        let path = folder.join(file);
        let temporary = folder.join(format!(".{file}.{}", std::process::id()));
        let written = std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::File::create(&temporary))
            .and_then(|mut out| out.write_all(lock.to_toml().as_bytes()).and_then(|()| out.sync_all()))
            .and_then(|()| std::fs::rename(&temporary, &path));
        if let Err(source) = written {
            let _ = std::fs::remove_file(&temporary);
            return Err(LockingError::Write { path, source });
        }
    }
    Ok(())
}

/// Makes the locks anew and writes them into `folder` of the cache; the tracked files stay as they are.
pub fn relock_into(folder: &Path, reading: &Reading<'_>) -> Result<Locks, LockingError> {
    let locks = solve(reading)?;
    write(&locks, folder)?;
    Ok(locks)
}

/// A security update that a lock does not have.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Pending {
    /// The package.
    pub name: String,
    /// The locked version.
    pub locked: String,
    /// The version of the security suite.
    pub available: String,
    /// The update is not older than this: the latest Release file known that did not have it.
    #[serde(serialize_with = "as_text")]
    pub not_before: UnixTime,
}

fn as_text<S: serde::Serializer>(time: &UnixTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

/// The security updates that `fresh` has and `locked` has not. `seen` holds earlier findings.
pub fn pending(locked: &Lock, fresh: &Lock, seen: &[Pending], last_check: Option<UnixTime>) -> Vec<Pending> {
    let lock_date = locked
        .suites
        .iter()
        .filter(|suite| suite.archive == Archive::Security)
        .map(|suite| suite.date)
        .min()
        .unwrap_or(UnixTime(0));
    let mut all = Vec::new();
    for new in fresh.packages.iter().filter(|package| package.archive == Archive::Security) {
        let Some(old) = locked.get(&new.name) else { continue };
        if new.parsed_version() <= old.parsed_version() {
            continue;
        }
        let earlier = seen.iter().find(|p| p.name == new.name && p.available == new.version);
        let not_before = match (earlier, last_check) {
            (Some(earlier), _) => earlier.not_before,
            // It was not there at the last check, so it is not older than that.
            (None, Some(checked)) => checked.max(lock_date),
            (None, None) => lock_date,
        };
        all.push(Pending {
            name: new.name.clone(),
            locked: old.version.clone(),
            available: new.version.clone(),
            not_before,
        });
    }
    all
}

#[cfg(test)]
#[path = "locking_tests.rs"]
mod tests;
