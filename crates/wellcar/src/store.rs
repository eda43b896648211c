//! The cache: files by their SHA-256, fetched in parallel, resumed after any interruption.
//!
//! A file stands under its final name only when it is whole, verified and on the disk: it is written
//! under `partial/`, synced and renamed. So the cache can be stopped at any point and shared by
//! several processes (each partial file is locked while it is written).

use crate::mirror::Mirrors;
use crate::ui::{Transfer, Ui, mebibytes};
use compose::repo::LockedPackage;
use net::{Client, FetchError, Policy, Sink, Url, UrlError};
use sha2::{Digest as _, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use thiserror::Error;
use trust::Digest;

/// Names the cache's folder.
pub const CACHE_VARIABLE: &str = "WELLCAR_CACHE";
/// Connections at a time.
const CONNECTIONS: usize = 6;

/// Why a file is not in the cache.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No variable says where the cache is.
    #[error(
        "failed to find the cache: expected one of `{CACHE_VARIABLE}`, `XDG_CACHE_HOME`, `HOME` to be set"
    )]
    NoHome,
    /// The cache's file system is full.
    #[error("failed to write `{}`: the file system of the cache is full", .path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// A file of the cache cannot be read or written.
    #[error("failed to {action} `{}`", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A package's path does not make a URL.
    #[error("failed to make the URL of `{name}`")]
    Url {
        /// The file.
        name: String,
        /// Why.
        #[source]
        source: UrlError,
    },
    /// The network failed.
    #[error("failed to fetch `{name}`")]
    Fetch {
        /// The file.
        name: String,
        /// Why.
        #[source]
        source: FetchError,
    },
    /// The mirror gave other bytes than those that were asked for.
    #[error(
        "failed to verify `{name}` from `{url}`: expected {size} bytes with SHA-256 {expected}, found {found_size} bytes with {found}"
    )]
    Mismatch {
        /// The file.
        name: String,
        /// From where.
        url: Url,
        /// Bytes expected.
        size: u64,
        /// SHA-256 expected.
        expected: Digest,
        /// Bytes found.
        found_size: u64,
        /// SHA-256 found.
        found: Box<Digest>,
    },
    /// Pinned packages are no longer on the mirror.
    #[error("failed to fetch {} of the pinned packages: the mirror has them no more: {}", .names.len(), quoted(.names))]
    Vanished {
        /// Their names, each with its version.
        names: Vec<String>,
    },
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl StoreError {
    /// What the user can do, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Full { path } => Some(format!(
                "free some space there, or let `{CACHE_VARIABLE}` name a folder on another file system; \
                 what is fetched already is kept (`{}`)",
                path.display()
            )),
            Self::Vanished { .. } => Some(
                "a stable release replaces packages: pin the present ones with `wellcar image lock`".into(),
            ),
            Self::Mismatch { .. } => Some(
                "the mirror, or something on the way to it, changed the file: try another `--mirror`".into(),
            ),
            _ => None,
        }
    }
}

/// A file that is wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// What it is called in messages.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256.
    pub sha256: Digest,
    /// From where; each is tried when the one before has no such file.
    pub urls: Vec<Url>,
}

/// The cache's folder: `WELLCAR_CACHE`, else `wellcar` in `XDG_CACHE_HOME`, else in `~/.cache`.
pub fn cache_root(variable: impl Fn(&str) -> Option<String>) -> Result<PathBuf, StoreError> {
    let get = |name: &str| variable(name).filter(|value| value.starts_with('/')).map(PathBuf::from);
    get(CACHE_VARIABLE)
        .or_else(|| get("XDG_CACHE_HOME").map(|home| home.join("wellcar")))
        .or_else(|| get("HOME").map(|home| home.join(".cache/wellcar")))
        .ok_or(StoreError::NoHome)
}

/// The cache.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    client: Client,
    policy: Policy,
}

/// A partial file: what was written counts into its hash.
struct Partial<'a> {
    file: File,
    hash: Sha256,
    length: u64,
    shown: &'a Transfer,
}

impl Write for Partial<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hash.update(bytes.get(..count).unwrap_or_default());
        self.length += count as u64;
        self.shown.add(count as u64);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Sink for Partial<'_> {
    fn position(&self) -> u64 {
        self.length
    }

    fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.hash = Sha256::new();
        self.shown.back(self.length);
        self.length = 0;
        Ok(())
    }
}

impl Store {
    /// The cache in `root`, filled by `client`. `policy` says how often and how long to try; the size
    /// limit is each file's own.
    pub fn open(root: &Path, client: Client, policy: Policy) -> Result<Self, StoreError> {
        let store = Self { root: root.to_owned(), client, policy };
        for folder in [store.root.join("partial"), store.root.join("sha256")] {
            fs::create_dir_all(&folder).map_err(|source| io_error("create", &folder, source))?;
        }
        Ok(store)
    }

    /// The cache's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What fetches for this cache.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// How it fetches.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Where a file of this SHA-256 lies when it is here.
    pub fn path(&self, sha256: &Digest) -> PathBuf {
        let hex = sha256.to_string();
        self.root.join("sha256").join(hex.get(..2).unwrap_or_default()).join(&hex)
    }

    /// Fetches packages that are not here yet; gives the path of each, in their order. Every file is
    /// verified, those that were here already too.
    pub fn fetch_all(
        &self,
        packages: &[LockedPackage],
        mirrors: &Mirrors,
        ui: Ui,
    ) -> Result<Vec<PathBuf>, StoreError> {
        let wanted = packages
            .iter()
            .map(|package| {
                let url = mirrors
                    .base(package.archive)
                    .join(&package.path)
                    .map_err(|source| StoreError::Url { name: package.name.clone(), source })?;
                let name = format!("{} {}", package.name, package.version);
                Ok(Wanted { name, size: package.size, sha256: package.sha256, urls: vec![url] })
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        self.fetch(&wanted, "packages", ui)
    }

    /// Fetches files that are not here yet; gives the path of each, in their order.
    pub fn fetch(&self, wanted: &[Wanted], label: &str, ui: Ui) -> Result<Vec<PathBuf>, StoreError> {
        let present = self.in_parallel(wanted, |wanted| self.is_whole(wanted))?;
        let missing: Vec<&Wanted> =
            wanted.iter().zip(present).filter_map(|(wanted, present)| (!present).then_some(wanted)).collect();
        if !missing.is_empty() {
            let total = missing.iter().map(|wanted| wanted.size).sum();
            if ui != Ui::Quiet {
                ui.say(&format!("fetching {} {label}, {}", missing.len(), mebibytes(total)));
            }
            let shown = ui.transfer(label, total);
            let vanished = Mutex::new(Vec::new());
            self.in_parallel(&missing, |wanted| match self.fetch_one(wanted, &shown) {
                Err(StoreError::Fetch { source, .. }) if source.is_missing() => {
                    vanished.lock().unwrap_or_else(PoisonError::into_inner).push(wanted.name.clone());
                    Ok(())
                }
                other => other,
            })?;
            let mut names = vanished.into_inner().unwrap_or_else(PoisonError::into_inner);
            if !names.is_empty() {
                names.sort();
                return Err(StoreError::Vanished { names });
            }
        }
        Ok(wanted.iter().map(|wanted| self.path(&wanted.sha256)).collect())
    }

    /// Runs `work` on each item, several at a time; stops at the first error.
    fn in_parallel<T: Sync, R: Send>(
        &self,
        items: &[T],
        work: impl Fn(&T) -> Result<R, StoreError> + Sync,
    ) -> Result<Vec<R>, StoreError> {
        let next = AtomicUsize::new(0);
        let failed = AtomicBool::new(false);
        let run = || {
            let mut results = Vec::new();
            while !failed.load(Ordering::Relaxed) {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.get(index) else { break };
                let result = work(item);
                failed.fetch_or(result.is_err(), Ordering::Relaxed);
                results.push((index, result));
            }
            results
        };
        let mut results = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..CONNECTIONS.min(items.len())).map(|_| scope.spawn(run)).collect();
            workers
                .into_iter()
                .flat_map(|worker| match worker.join() {
                    Ok(results) => results,
                    Err(panic) => std::panic::resume_unwind(panic),
                })
                .collect::<Vec<_>>()
        });
        results.sort_by_key(|(index, _)| *index);
        results.into_iter().map(|(_, result)| result).collect()
    }

    /// Whether a file is here with the right bytes; one with wrong bytes is removed.
    fn is_whole(&self, wanted: &Wanted) -> Result<bool, StoreError> {
        let path = self.path(&wanted.sha256);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(io_error("open", &path, source)),
        };
        let (length, hash) = hash_all(&mut file).map_err(|source| io_error("read", &path, source))?;
        if length == wanted.size && digest(hash) == wanted.sha256 {
            return Ok(true);
        }
        fs::remove_file(&path).map_err(|source| io_error("remove", &path, source))?;
        Ok(false)
    }

    fn fetch_one(&self, wanted: &Wanted, shown: &Transfer) -> Result<(), StoreError> {
        let path = self.path(&wanted.sha256);
        let partial_path = self.root.join("partial").join(wanted.sha256.to_string());
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&partial_path)
            .map_err(|source| io_error("create", &partial_path, source))?;
        file.lock().map_err(|source| io_error("lock", &partial_path, source))?;
        if path.exists() {
            // Another process finished it while this one waited for the lock.
            shown.add(wanted.size);
            return Ok(());
        }
        let mut partial = Partial { file, hash: Sha256::new(), length: 0, shown };
        let (length, hash) =
            hash_all(&mut partial.file).map_err(|source| io_error("read", &partial_path, source))?;
        (partial.length, partial.hash) = (length, hash);
        shown.add(length);
        let resumed = length > 0;
        if length > wanted.size {
            partial.restart().map_err(|source| io_error("truncate", &partial_path, source))?;
        }
        let url = if partial.length == wanted.size && wanted.size > 0 {
            wanted.urls.first().cloned()
        } else {
            Some(self.transfer(wanted, &mut partial, &partial_path)?)
        };
        let mut found = digest(partial.hash.clone());
        if resumed && (found != wanted.sha256 || partial.length != wanted.size) {
            // What an earlier run left was wrong: once more from the start.
            partial.restart().map_err(|source| io_error("truncate", &partial_path, source))?;
            self.transfer(wanted, &mut partial, &partial_path)?;
            found = digest(partial.hash.clone());
        }
        if found != wanted.sha256 || partial.length != wanted.size {
            // Emptied, not removed: another process may hold it open, waiting for the lock.
            let _ = partial.file.set_len(0);
            let Some(url) = url else {
                return Err(StoreError::Vanished { names: vec![wanted.name.clone()] });
            };
            return Err(StoreError::Mismatch {
                name: wanted.name.clone(),
                url,
                size: wanted.size,
                expected: wanted.sha256,
                found_size: partial.length,
                found: Box::new(found),
            });
        }
        partial.file.sync_all().map_err(|source| io_error("sync", &partial_path, source))?;
        let folder = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder).map_err(|source| io_error("create", folder, source))?;
        fs::rename(&partial_path, &path).map_err(|source| io_error("rename", &partial_path, source))?;
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|source| io_error("sync", folder, source))
    }

    fn transfer(&self, wanted: &Wanted, partial: &mut Partial<'_>, path: &Path) -> Result<Url, StoreError> {
        let policy = Policy { max_bytes: wanted.size, ..self.policy.clone() };
        let mut last = None;
        for url in &wanted.urls {
            match self.client.fetch_to(url, &policy, partial, &mut |_| {}) {
                Ok(()) => return Ok(url.clone()),
                Err(FetchError::Sink { source, .. }) => return Err(io_error("write", path, source)),
                Err(FetchError::TooLarge { .. }) => {
                    let found_size = partial.length.max(wanted.size + 1);
                    let found = Box::new(digest(partial.hash.clone()));
                    let _ = partial.restart();
                    return Err(StoreError::Mismatch {
                        name: wanted.name.clone(),
                        url: url.clone(),
                        size: wanted.size,
                        expected: wanted.sha256,
                        found_size,
                        found,
                    });
                }
                Err(error) => {
                    let again = error.is_missing();
                    last = Some(error);
                    if !again {
                        break;
                    }
                }
            }
        }
        match last {
            Some(source) => Err(StoreError::Fetch { name: wanted.name.clone(), source }),
            None => Err(StoreError::Vanished { names: vec![wanted.name.clone()] }),
        }
    }
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> StoreError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            StoreError::Full { path: path.to_owned() }
        }
        _ => StoreError::Io { action, path: path.to_owned(), source },
    }
}

fn digest(hash: Sha256) -> Digest {
    Digest(hash.finalize().into())
}

/// The length and hash of a file, from its start to the end that it has now, where it is left.
fn hash_all(file: &mut File) -> io::Result<(u64, Sha256)> {
    file.seek(SeekFrom::Start(0))?;
    let mut hash = Sha256::new();
    let mut length = 0;
    let mut buffer = vec![0; 256 << 10];
    let mut whole = (&*file).take(file.metadata()?.len());
    loop {
        let count = match whole.read(&mut buffer) {
            Ok(0) => return Ok((length, hash)),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hash.update(buffer.get(..count).unwrap_or_default());
        length += count as u64;
    }
}
