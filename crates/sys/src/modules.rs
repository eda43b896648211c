//! Loading kernel modules: single files, and by name with their dependencies from a module folder
//! (`modules.dep`, `modules.builtin` of depmod).

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::io;
use std::path::{Path, PathBuf};

/// Flag of finit_module(2): the kernel decompresses the file itself.
const MODULE_INIT_COMPRESSED_FILE: i32 = 4;
/// Largest index file read (Debian's cloud kernel: 90 KiB; its full kernel: 500 KiB).
const INDEX_LIMIT: u64 = 8 << 20;

/// A module that could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// The module file could not be opened.
    #[error("failed to open module `{path}`")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel refused the module.
    #[error("failed to load module `{path}` with parameters `{params}`")]
    Load {
        /// The file.
        path: PathBuf,
        /// Its parameters.
        params: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A parameter reads back differently from what was given.
    #[error("failed to set parameter `{param}` of module `{module}`: expected `{expected}`, found `{found}`")]
    Parameter {
        /// The module.
        module: String,
        /// The parameter.
        param: String,
        /// What was asked for.
        expected: String,
        /// What the kernel says.
        found: String,
    },
    /// An index of the module folder could not be read.
    #[error("failed to read module index `{path}`")]
    Index {
        /// The index file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No such module.
    #[error("failed to find module `{name}` in `{dir}`")]
    Unknown {
        /// The module asked for.
        name: String,
        /// The module folder.
        dir: PathBuf,
    },
}

/// What loading did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loaded {
    /// The module was loaded now.
    Now,
    /// It was there already, or is built in.
    Already,
    /// Its hardware is not there.
    NoHardware,
}

/// Loads one module file (`.ko`, or compressed as the kernel can read it: `.ko.xz`, `.ko.zst`,
/// `.ko.gz`) with parameters (`name=value`, parted by spaces). Given parameters are read back where
/// the kernel shows them.
///
/// # Errors
/// When the file is missing, the kernel refuses it, or a parameter did not take.
pub fn load(path: &Path, params: &str) -> Result<Loaded, ModuleError> {
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| ModuleError::Open { path: path.to_owned(), source: errno.into() })?;
    let refused =
        |source: io::Error| ModuleError::Load { path: path.to_owned(), params: params.to_owned(), source };
    let text = CString::new(params).map_err(|e| refused(e.into()))?;
    let flags = if path.extension().is_some_and(|e| e == "ko") { 0 } else { MODULE_INIT_COMPRESSED_FILE };
    let loaded = match rustix::system::finit_module(&file, &text, flags) {
        Ok(()) => Loaded::Now,
        Err(Errno::EXIST) => Loaded::Already,
        Err(Errno::NODEV) => return Ok(Loaded::NoHardware),
        Err(errno) => return Err(refused(errno.into())),
    };
    read_back(Path::new("/sys"), &module_name(path), params)?;
    Ok(loaded)
}

/// Compares the parameters given with those the kernel shows under `sys`.
fn read_back(sys: &Path, module: &str, params: &str) -> Result<(), ModuleError> {
    for (name, expected) in params.split_ascii_whitespace().filter_map(|word| word.split_once('=')) {
        let path = sys.join("module").join(module).join("parameters").join(name);
        let Ok(found) = std::fs::read_to_string(path) else { continue };
        if fold(found.trim()) != fold(expected) {
            return Err(ModuleError::Parameter {
                module: module.to_owned(),
                param: name.to_owned(),
                expected: expected.to_owned(),
                found: found.trim().to_owned(),
            });
        }
    }
    Ok(())
}

/// The kernel shows switches as Y and N, whatever they were set with.
fn fold(value: &str) -> &str {
    match value {
        "1" | "y" | "Y" | "on" => "1",
        "0" | "n" | "N" | "off" => "0",
        other => other,
    }
}

/// The module's name from its file name: no folder, no extension, `_` for `-`.
#[must_use]
pub fn module_name(path: &Path) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let name = file.find(".ko").map_or(&*file, |at| &file[..at]);
    name.replace('-', "_")
}

/// The modules of one kernel: a folder with depmod's indexes.
#[derive(Debug, Clone)]
pub struct ModuleDir {
    dir: PathBuf,
    /// Name → path and paths of what it needs (nearest first, as depmod writes them).
    modules: BTreeMap<String, (String, Vec<String>)>,
    builtin: BTreeSet<String>,
}

impl ModuleDir {
    /// Reads the indexes of `dir` (`/usr/lib/modules/VERSION`).
    ///
    /// # Errors
    /// When `modules.dep` cannot be read; a missing `modules.builtin` is no error.
    pub fn open(dir: &Path) -> Result<Self, ModuleError> {
        let path = dir.join("modules.dep");
        let dep = crate::file::read_text(&path, INDEX_LIMIT)
            .map_err(|source| ModuleError::Index { path, source })?;
        let builtin = crate::file::read_text(&dir.join("modules.builtin"), INDEX_LIMIT).unwrap_or_default();
        Ok(Self::parse(dir, &dep, &builtin))
    }

    /// The same from the indexes' texts.
    #[must_use]
    pub fn parse(dir: &Path, dep: &str, builtin: &str) -> Self {
        let modules = dep.lines().filter_map(|line| {
            let (path, needs) = line.split_once(':')?;
            let needs = needs.split_ascii_whitespace().map(str::to_owned).collect();
            Some((module_name(Path::new(path)), (path.to_owned(), needs)))
        });
        let builtin = builtin.lines().map(|line| module_name(Path::new(line)));
        Self { dir: dir.to_owned(), modules: modules.collect(), builtin: builtin.collect() }
    }

    /// The files to load for a module, in order; empty when it is built in.
    ///
    /// # Errors
    /// When there is no such module.
    pub fn plan(&self, name: &str) -> Result<Vec<PathBuf>, ModuleError> {
        let name = name.replace('-', "_");
        match self.modules.get(&name) {
            Some((path, needs)) => {
                Ok(needs.iter().rev().chain(std::iter::once(path)).map(|p| self.dir.join(p)).collect())
            }
            None if self.builtin.contains(&name) => Ok(Vec::new()),
            None => Err(ModuleError::Unknown { name, dir: self.dir.clone() }),
        }
    }

    /// Loads a module and what it needs.
    ///
    /// # Errors
    /// When there is no such module, or the kernel refuses one of the files.
    pub fn load(&self, name: &str, params: &str) -> Result<Loaded, ModuleError> {
        let files = self.plan(name)?;
        let Some((last, needs)) = files.split_last() else { return Ok(Loaded::Already) };
        for file in needs {
            let _ = load(file, "")?;
        }
        load(last, params)
    }
}

#[cfg(test)]
mod tests {
    use super::{ModuleDir, ModuleError, module_name, read_back};
    use std::path::{Path, PathBuf};

    const DEP: &str = "kernel/drivers/md/dm-mod.ko:\n\
        kernel/drivers/md/dm-bufio.ko.xz: kernel/drivers/md/dm-mod.ko\n\
        kernel/drivers/md/dm-verity.ko: kernel/lib/rs.ko kernel/drivers/md/dm-bufio.ko.xz kernel/drivers/md/dm-mod.ko\n";

    #[test]
    fn dependencies_come_first() {
        let dir = ModuleDir::parse(Path::new("/m"), DEP, "kernel/fs/ext4/ext4.ko\n");
        let plan = dir.plan("dm-verity").unwrap();
        let names: Vec<String> = plan.iter().map(|p| module_name(p)).collect();
        assert_eq!(names, ["dm_mod", "dm_bufio", "rs", "dm_verity"]);
        assert_eq!(dir.plan("dm_mod").unwrap(), [PathBuf::from("/m/kernel/drivers/md/dm-mod.ko")]);
        assert!(dir.plan("ext4").unwrap().is_empty());
        let error = dir.plan("none").unwrap_err();
        assert_eq!(error.to_string(), "failed to find module `none` in `/m`");
    }

    #[test]
    fn a_parameter_that_did_not_take_is_an_error() {
        let sys = tempfile::tempdir().unwrap();
        let params = sys.path().join("module/dm_verity/parameters");
        std::fs::create_dir_all(&params).unwrap();
        std::fs::write(params.join("require_signatures"), "Y\n").unwrap();
        read_back(sys.path(), "dm_verity", "require_signatures=1 unseen=3").unwrap();
        std::fs::write(params.join("require_signatures"), "N\n").unwrap();
        let error = read_back(sys.path(), "dm_verity", "require_signatures=1").unwrap_err();
        assert!(matches!(error, ModuleError::Parameter { ref found, .. } if found == "N"), "{error}");
    }
}
