//! Unpacks the packages of a closure into one folder of the cache: contents only. Owners, setuid bits and
//! times are left out, maintainer scripts are not looked at, documentation stays away. The folder appears
//! whole under its name or not at all.

use compose::repo::LockedPackage;
use formats::deb::{self, Deb, Entry, Kind, Limits};
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufReader, BufWriter, Read, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Changes whenever unpacking does, so that no older folder is taken for a newer one.
const RECIPE: &str = "wellcar tools 1";

/// What no program needs to run.
const LEFT_OUT: [&str; 7] = [
    "usr/share/doc/",
    "usr/share/man/",
    "usr/share/locale/",
    "usr/share/info/",
    "usr/share/lintian/",
    "usr/share/bug/",
    "usr/share/bash-completion/",
];

/// Why a package could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// A file of the cache.
    #[error("failed to {action} `{}`", .path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The package is damaged or not one.
    #[error("failed to read package `{}`", .path.display())]
    Package {
        /// The package.
        path: PathBuf,
        /// Why not.
        #[source]
        source: deb::Error,
    },
    /// An entry would be written, or points, outside of the folder.
    #[error("failed to unpack `{entry}` of `{}`: expected a place inside of the folder, found `{found}`", .package.display())]
    Outside {
        /// The package.
        package: PathBuf,
        /// The entry.
        entry: String,
        /// Where it leads.
        found: String,
    },
}

/// What goes wrong with one entry, before its package is known.
#[derive(Debug)]
enum EntryError {
    Deb(deb::Error),
    File { action: &'static str, path: PathBuf, source: io::Error },
    Outside { entry: String, found: String },
}

impl From<deb::Error> for EntryError {
    fn from(error: deb::Error) -> Self {
        Self::Deb(error)
    }
}

impl EntryError {
    fn of(self, package: &Path) -> UnpackError {
        match self {
            Self::Deb(source) => UnpackError::Package { path: package.to_owned(), source },
            Self::File { action, path, source } => UnpackError::File { action, path, source },
            Self::Outside { entry, found } => {
                UnpackError::Outside { package: package.to_owned(), entry, found }
            }
        }
    }
}

/// Gives an I/O error its file.
fn file_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> EntryError {
    move |source| EntryError::File { action, path: path.to_owned(), source }
}

/// What identifies these packages' unpacked folder: the first 80 bits, in hex, of the hash of their names and
/// checksums.
pub fn key(packages: &[LockedPackage]) -> String {
    let mut hash = Sha256::new();
    hash.update(RECIPE);
    for package in packages {
        hash.update(format!("\n{} {}", package.name, package.sha256));
    }
    crate::binaries::hex(hash.finalize().get(..10).unwrap_or_default())
}

/// Unpacks the packages' files to `home`.
///
/// # Errors
/// [`UnpackError`]; nothing is left under the name `home` then.
pub fn unpack(packages: &[PathBuf], home: &Path) -> Result<(), UnpackError> {
    let above = home.parent().unwrap_or(home);
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |source| UnpackError::File { action, path, source }
    };
    fs::create_dir_all(above).map_err(failed("make", above))?;
    let partial =
        tempfile::Builder::new().prefix(".partial-").tempdir_in(above).map_err(failed("make", above))?;
    fs::set_permissions(partial.path(), Permissions::from_mode(0o755))
        .map_err(failed("make", partial.path()))?;
    in_parallel(packages, partial.path())?;
    let partial = partial.keep();
    match fs::rename(&partial, home) {
        // Another process was faster; its folder is as good.
        Err(_) if home.is_dir() => fs::remove_dir_all(&partial).map_err(failed("remove", &partial)),
        other => other.map_err(failed("make", home)),
    }
}

/// Unpacks several packages at a time; the first error ends it.
fn in_parallel(packages: &[PathBuf], root: &Path) -> Result<(), UnpackError> {
    let next = AtomicUsize::new(0);
    let first_error = Mutex::new(None);
    let workers = std::thread::available_parallelism().map_or(2, std::num::NonZero::get).min(8);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(package) = packages.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = one(package, root) {
                        next.store(packages.len(), Ordering::Relaxed);
                        first_error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    }
                }
            });
        }
    });
    first_error.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// Unpacks one package.
fn one(package: &Path, root: &Path) -> Result<(), UnpackError> {
    let open = |package: &Path| {
        let file = File::open(package).map_err(file_error("open", package))?;
        Ok::<_, EntryError>(Deb::read(BufReader::with_capacity(1 << 18, file), &Limits::default())?)
    };
    let visit = |deb: Deb<_>| deb.visit(|entry, content| place(root, entry, content)).map(drop);
    open(package).and_then(visit).map_err(|error| error.of(package))
}

/// Writes one entry below `root`.
fn place(root: &Path, entry: Entry, content: &mut dyn Read) -> Result<(), EntryError> {
    let Entry { path: name, kind, mode, .. } = entry;
    if name.is_empty() || LEFT_OUT.iter().any(|prefix| name.starts_with(prefix)) {
        return Ok(());
    }
    let path = root.join(&name);
    match kind {
        Kind::Dir => make_dirs(root, &name, &name),
        Kind::File { .. } => {
            make_dirs(root, parent(&name), &name)?;
            // Nobody but the loader runs what is here, and nobody is to be given rights by it.
            let bits = if mode & 0o111 == 0 { 0o644 } else { 0o755 };
            let file = OpenOptions::new().write(true).create_new(true).mode(bits).open(&path);
            let mut file = BufWriter::with_capacity(1 << 16, file.map_err(file_error("make", &path))?);
            io::copy(content, &mut file).and_then(|_| file.flush()).map_err(file_error("write", &path))
        }
        Kind::Symlink { target } => {
            make_dirs(root, parent(&name), &name)?;
            let target = inside(&name, &target).ok_or(EntryError::Outside { entry: name, found: target })?;
            symlink(target, &path).map_err(file_error("make", &path))
        }
        Kind::Hardlink { target } => {
            make_dirs(root, parent(&name), &name)?;
            make_dirs(root, parent(&target), &name)?;
            let target = root.join(target);
            let kind = fs::symlink_metadata(&target).map_err(file_error("look at", &target))?.file_type();
            if !kind.is_file() {
                return Err(EntryError::Outside { entry: name, found: target.display().to_string() });
            }
            fs::hard_link(&target, &path).map_err(file_error("make", &path))
        }
    }
}

/// The folder that a normalised path lies in.
fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// Makes the folder `dir` with all above it. A symlink on the way would lead elsewhere: refused.
fn make_dirs(root: &Path, dir: &str, entry: &str) -> Result<(), EntryError> {
    let mut path = root.to_owned();
    for part in Path::new(dir).components() {
        let Component::Normal(part) = part else {
            return Err(EntryError::Outside { entry: entry.to_owned(), found: dir.to_owned() });
        };
        path.push(part);
        match fs::create_dir(&path) {
            Ok(()) => fs::set_permissions(&path, Permissions::from_mode(0o755))
                .map_err(file_error("make", &path))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let found = fs::symlink_metadata(&path).map_err(file_error("look at", &path))?;
                if !found.is_dir() {
                    return Err(EntryError::Outside {
                        entry: entry.to_owned(),
                        found: path.display().to_string(),
                    });
                }
            }
            Err(error) => return Err(file_error("make", &path)(error)),
        }
    }
    Ok(())
}

/// The target of the symlink `name` as a relative path that stays inside of the folder; `None` where it does
/// not. An absolute target is meant from the folder's own top.
fn inside(name: &str, target: &str) -> Option<PathBuf> {
    let depth = name.matches('/').count();
    let (mut level, mut path) = (depth, PathBuf::new());
    if target.starts_with('/') {
        level = 0;
        path.extend(std::iter::repeat_n("..", depth));
    }
    for part in Path::new(target).components() {
        match part {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(part) => {
                level += 1;
                path.push(part);
            }
            Component::ParentDir => {
                level = level.checked_sub(1)?;
                path.push("..");
            }
            Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(path: &str, kind: Kind) -> Entry {
        Entry {
            path: path.into(),
            kind,
            mode: 0o4755,
            uid: 0,
            gid: 0,
            uname: "root".into(),
            gname: "root".into(),
            mtime: 0,
        }
    }

    fn link(target: &str) -> Kind {
        Kind::Symlink { target: target.into() }
    }

    #[test]
    fn contents_are_written_without_rights_and_documentation() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        place(root, entry("", Kind::Dir), &mut io::empty()).unwrap();
        place(root, entry("usr/bin/tool", Kind::File { size: 3 }), &mut &b"abc"[..]).unwrap();
        place(root, entry("usr/share/doc/tool/NEWS", Kind::File { size: 3 }), &mut &b"abc"[..]).unwrap();
        place(root, entry("usr/bin/alias", link("tool")), &mut io::empty()).unwrap();
        place(
            root,
            entry("usr/bin/same", Kind::Hardlink { target: "usr/bin/tool".into() }),
            &mut io::empty(),
        )
        .unwrap();
        let found = fs::metadata(root.join("usr/bin/tool")).unwrap();
        assert_eq!(found.permissions().mode() & 0o7022, 0, "neither setuid nor writable by others");
        assert_eq!(fs::read(root.join("usr/bin/alias")).unwrap(), b"abc");
        assert_eq!(fs::read(root.join("usr/bin/same")).unwrap(), b"abc");
        assert!(!root.join("usr/share/doc").exists());
    }

    #[test]
    fn nothing_is_written_through_a_symlink_of_another_package() {
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
        fs::create_dir_all(root.join("usr")).unwrap();
        fs::create_dir(&outside).unwrap();
        symlink(&outside, root.join("usr/lib")).unwrap();
        for kind in [Kind::Dir, Kind::File { size: 0 }, link("x"), Kind::Hardlink { target: "usr/y".into() }]
        {
            let error = place(&root, entry("usr/lib/x", kind), &mut io::empty()).unwrap_err();
            assert!(matches!(error, EntryError::Outside { .. }), "{error:?}");
        }
        let through = Kind::Hardlink { target: "usr/lib/secret".into() };
        assert!(place(&root, entry("usr/x", through), &mut io::empty()).is_err());
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    }

    #[test]
    fn symlinks_stay_inside() {
        let target = |name, target| inside(name, target).map(|path| path.display().to_string());
        assert_eq!(
            target("usr/bin/vi", "/etc/alternatives/vi").as_deref(),
            Some("../../etc/alternatives/vi")
        );
        assert_eq!(target("usr/lib/x.so", "../lib/y.so").as_deref(), Some("../lib/y.so"));
        assert_eq!(target("usr/lib/x.so", "../../../etc/passwd"), None);
        assert_eq!(target("x", "a/../../y"), None);
    }

    #[test]
    fn a_second_file_of_one_name_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        place(dir.path(), entry("a", Kind::File { size: 0 }), &mut io::empty()).unwrap();
        assert!(place(dir.path(), entry("a", Kind::File { size: 0 }), &mut io::empty()).is_err());
    }

    #[test]
    fn a_broken_package_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let package = dir.path().join("broken.deb");
        fs::write(&package, b"!<arch>\nnot a package").unwrap();
        let home = dir.path().join("tools/set-0");
        assert!(matches!(unpack(&[package], &home), Err(UnpackError::Package { .. })));
        assert!(!home.exists());
        assert_eq!(fs::read_dir(dir.path().join("tools")).unwrap().count(), 0);
    }

    proptest! {
        #[test]
        fn a_kept_symlink_never_leaves(name in "[a-c]{1,2}(/[a-c]){0,3}", target in "/?([a-c./]{0,12})") {
            if let Some(path) = inside(&name, &target) {
                let mut level = i64::try_from(name.matches('/').count()).unwrap();
                for part in path.components() {
                    level += if part == Component::ParentDir { -1 } else { 1 };
                    prop_assert!(level >= 0, "{name} -> {target} became {}", path.display());
                }
                prop_assert!(path.is_relative());
            }
        }
    }
}
