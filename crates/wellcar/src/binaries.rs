//! Our own binaries of the image: stage 1 (`/init`, static), `wellcar-node` (dynamic) and the OCI runtime.
//!
//! An installed Wellcar carries the three beside itself. In a checkout they are built here, so that the same
//! source gives the same bytes from any folder and for any user: paths are remapped, the environment is
//! chosen, nothing of the host's configuration of cargo's flags gets in. What was built is kept by the hash of
//! everything that can change it (sources, `Cargo.lock`, compiler, flags), and is not built again.
//!
//! Not here: what the binaries do, and where they stand in the image.

mod cargo;
mod runtime;
mod sources;

use crate::tools::{ToolContext, ToolError};
use std::path::{Path, PathBuf};
use sys::process::ProcessError;

pub use sources::hex;

/// The files of an installed Wellcar, beside the program or in `../lib/wellcar`: stage 1, node, runtime.
const INSTALLED: [&str; 3] = ["wellcar-init", "wellcar-node", "wellcar-runtime"];

/// What finding or building the binaries depends on.
#[derive(Clone, Copy)]
pub struct BinariesContext<'a> {
    /// The cache directory of Wellcar; builds live in `binaries` and `build` below it.
    pub cache: &'a Path,
    /// How pinned packages are had: the libraries that the runtime is linked against.
    pub tools: &'a ToolContext<'a>,
    /// Told in one line what is being done, whenever it takes more than a moment.
    pub say: &'a (dyn Fn(&str) + Sync),
}

impl std::fmt::Debug for BinariesContext<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BinariesContext").field("cache", &self.cache).finish_non_exhaustive()
    }
}

/// Where the three binaries are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// Stage 1, linked statically: `/init` of the initramfs.
    pub init: PathBuf,
    /// `wellcar-node` for the image's userland, linked dynamically.
    pub node: PathBuf,
    /// The OCI runtime, linked dynamically.
    pub runtime: PathBuf,
}

/// Why the binaries could not be had.
#[derive(Debug, thiserror::Error)]
pub enum BinariesError {
    /// Neither files beside the program, nor a checkout.
    #[error(
        "failed to find `wellcar-init`, `wellcar-node` and `wellcar-runtime` beside `{}` or a checkout of Wellcar",
        .program.display()
    )]
    NotFound {
        /// The running program.
        program: PathBuf,
    },
    /// Reading or writing a file.
    #[error("failed to {action} `{}`", .path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A manifest or a data file that is not as it must be.
    #[error("failed to read `{}`: {reason}", .path.display())]
    Data {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A compiler or cargo could not be run, or failed.
    #[error("failed to build `{what}`")]
    Build {
        /// What was built.
        what: String,
        /// How the command ended, with the end of what it wrote.
        #[source]
        source: ProcessError,
    },
    /// The registry gave another file than the pinned one.
    #[error("failed to verify `{name}`: expected the SHA-256 {expected}, found {found}")]
    Checksum {
        /// The crate's file.
        name: String,
        /// The pinned checksum.
        expected: String,
        /// What was found in cargo's cache.
        found: String,
    },
    /// The libraries that the runtime is linked against.
    #[error("failed to get the libraries of the OCI runtime")]
    Libraries(#[source] Box<ToolError>),
}

/// Gives an I/O error its file.
fn file_error(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> BinariesError {
    move |source| BinariesError::File { action, path: path.to_owned(), source }
}

impl Binaries {
    /// Finds the binaries beside the running program, or builds them from the checkout that it came from.
    /// Building takes minutes on a fresh machine; a second call takes milliseconds.
    ///
    /// # Errors
    /// [`BinariesError`]: neither files nor a checkout, a build that fails, a registry that gives other bytes.
    pub fn ensure(context: &BinariesContext<'_>) -> Result<Self, BinariesError> {
        let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("wellcar"));
        if let Some(found) = installed_beside(&program) {
            return Ok(found);
        }
        let workspace = checkout_of(&program, option_env!("CARGO_MANIFEST_DIR").map(Path::new))
            .ok_or(BinariesError::NotFound { program })?;
        Self::build(&workspace, context)
    }

    /// Builds the binaries from the checkout `workspace`, or takes what an earlier call built.
    ///
    /// # Errors
    /// As [`Binaries::ensure`].
    pub fn build(workspace: &Path, context: &BinariesContext<'_>) -> Result<Self, BinariesError> {
        let toolchain = cargo::Toolchain::find(workspace)?;
        let (init, node) = cargo::node_binaries(workspace, &toolchain, context)?;
        let runtime = runtime::build(&toolchain, context)?;
        Ok(Self { init, node, runtime })
    }
}

/// The three files of an installed Wellcar, where all of them are there.
fn installed_beside(program: &Path) -> Option<Binaries> {
    let beside = program.parent()?;
    [beside.to_owned(), beside.join("../lib/wellcar")].into_iter().find_map(|dir| {
        let [init, node, runtime] = INSTALLED.map(|name| dir.join(name));
        (init.is_file() && node.is_file() && runtime.is_file()).then_some(Binaries { init, node, runtime })
    })
}

/// The checkout that `program` came from: a folder above it, or the one that it was compiled in.
fn checkout_of(program: &Path, compiled_in: Option<&Path>) -> Option<PathBuf> {
    let above = program.ancestors().skip(1).take(8);
    above
        .chain(compiled_in.into_iter().flat_map(|dir| dir.ancestors().take(3)))
        .find(|dir| dir.join("Cargo.lock").is_file() && dir.join("crates/wellcar-node/Cargo.toml").is_file())
        .map(Path::to_path_buf)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn an_installed_program_uses_the_files_beside_it_only_when_all_are_there() {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("bin");
        let lib = dir.path().join("lib/wellcar");
        fs::create_dir_all(&bin).unwrap();
        fs::create_dir_all(&lib).unwrap();
        let program = bin.join("wellcar");
        fs::write(bin.join("wellcar-node"), "").unwrap();
        assert_eq!(
            installed_beside(&program),
            None,
            "a lone wellcar-node is a build product of somebody else"
        );
        for name in INSTALLED {
            fs::write(lib.join(name), "").unwrap();
        }
        assert_eq!(installed_beside(&program).unwrap().node, bin.join("../lib/wellcar/wellcar-node"));
    }

    #[test]
    fn a_checkout_is_found_above_the_program_or_where_it_was_compiled() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("checkout");
        fs::create_dir_all(root.join("crates/wellcar-node")).unwrap();
        fs::create_dir_all(root.join("crates/wellcar")).unwrap();
        fs::write(root.join("crates/wellcar-node/Cargo.toml"), "").unwrap();
        fs::write(root.join("Cargo.lock"), "").unwrap();
        let inside = root.join("target/debug/wellcar");
        assert_eq!(checkout_of(&inside, None), Some(root.clone()));
        let outside = dir.path().join("elsewhere/wellcar");
        assert_eq!(checkout_of(&outside, None), None);
        assert_eq!(checkout_of(&outside, Some(&root.join("crates/wellcar"))), Some(root));
    }
}
