//! Outside programs: mkfs.erofs, mke2fs, QEMU with its firmware, ssh, and the tests' oracles.
//!
//! A program is taken from `PATH` when its version is good enough; otherwise the pinned packages of
//! `os/tools.lock` are downloaded, unpacked into the cache and run by their own loader with their own
//! libraries, so that neither root nor anything but the Rust toolchain is needed (design D2). What makes the
//! image must be of exactly the locked version: the same inputs give the same bytes on any machine.
//!
//! Not here: which packages there are (`os/tools.toml`), and downloading: [`ToolContext::download`] does it.

mod oracles;
mod unpack;
mod version;

use compose::repo::{Lock, LockedPackage};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;
use sys::process::{Cmd, find_program};

pub use oracles::write_wrappers;
pub use unpack::UnpackError;
use version::{Rule, number};

/// Where libraries lie in an unpacked closure, and their loader.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
const LOADER: &str = "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2";

/// Where the ROMs of QEMU lie in an unpacked closure.
const QEMU_DATA: [&str; 2] = ["usr/share/qemu", "usr/share/seabios"];

/// Where distributions put OVMF: the code without System Management Mode, and fresh variables.
const FIRMWARE: [(&str, &str); 4] = [
    ("usr/share/OVMF/OVMF_CODE_4M.fd", "usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("usr/share/edk2/x64/OVMF_CODE.4m.fd", "usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    ("usr/share/edk2/ovmf/OVMF_CODE.fd", "usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("usr/share/edk2-ovmf/OVMF_CODE.fd", "usr/share/edk2-ovmf/OVMF_VARS.fd"),
];

/// How long a program may take to say its version.
const ASK: Duration = Duration::from_secs(20);

/// Makes packages available: gives the verified file of each package, in order. Boxed errors, since this is
/// the seam to the package store.
pub type Download<'a> =
    &'a (dyn Fn(&[LockedPackage]) -> Result<Vec<PathBuf>, Box<dyn std::error::Error + Send + Sync>> + Sync);

/// What finding tools depends on.
#[derive(Clone, Copy)]
pub struct ToolContext<'a> {
    /// The cache directory of Wellcar; closures are unpacked in `tools` below it.
    pub cache: &'a Path,
    /// `os/tools.lock`.
    pub lock: &'a Lock,
    /// Makes packages available.
    pub download: Download<'a>,
    /// The host's `PATH`; empty to use pinned packages only.
    pub path: &'a OsStr,
}

impl std::fmt::Debug for ToolContext<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ToolContext")
            .field("cache", &self.cache)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// A set of packages of `os/tools.toml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Closure {
    /// mkfs.erofs and mke2fs.
    Mkfs,
    /// QEMU, its ROMs, OVMF.
    Qemu,
    /// What the OCI runtime is linked against.
    Runtime,
    /// ssh.
    Ssh,
    /// What tests compare our results with.
    Oracles,
}

impl Closure {
    /// Its name in `os/tools.toml`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mkfs => "mkfs",
            Self::Qemu => "qemu",
            Self::Runtime => "runtime",
            Self::Ssh => "ssh",
            Self::Oracles => "oracles",
        }
    }
}

/// A program that Wellcar runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tool {
    /// Makes the image of /usr.
    MkfsErofs,
    /// Makes the OEM partition.
    Mke2fs,
    /// The virtual machine, with its firmware.
    QemuSystem,
    /// Logs in to a machine.
    Ssh,
}

impl Tool {
    /// The program's name in `PATH`.
    fn program(self) -> &'static str {
        match self {
            Self::MkfsErofs => "mkfs.erofs",
            Self::Mke2fs => "mke2fs",
            Self::QemuSystem => "qemu-system-x86_64",
            Self::Ssh => "ssh",
        }
    }

    /// Where it lies in its closure.
    fn packaged(self) -> (Closure, &'static str) {
        match self {
            Self::MkfsErofs => (Closure::Mkfs, "usr/bin/mkfs.erofs"),
            Self::Mke2fs => (Closure::Mkfs, "usr/sbin/mke2fs"),
            Self::QemuSystem => (Closure::Qemu, "usr/bin/qemu-system-x86_64"),
            Self::Ssh => (Closure::Ssh, "usr/bin/ssh"),
        }
    }

    /// Which versions of the host's program will do, and how it is asked.
    fn rule(self) -> Rule {
        match self {
            Self::MkfsErofs => Rule::Locked { package: "erofs-utils", ask: "--version" },
            Self::Mke2fs => Rule::Locked { package: "e2fsprogs", ask: "-V" },
            Self::QemuSystem => Rule::AtLeast { version: &[8, 2], ask: "--version" },
            Self::Ssh => Rule::AtLeast { version: &[8, 0], ask: "-V" },
        }
    }

    /// The environment it needs wherever it comes from. mke2fs reads the host's defaults otherwise, and the
    /// image would depend on them; a file that is not there makes it use its own.
    fn env(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Mke2fs => &[("MKE2FS_CONFIG", "/nonexistent/mke2fs.conf")],
            Self::MkfsErofs | Self::QemuSystem | Self::Ssh => &[],
        }
    }
}

/// UEFI firmware for a virtual machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firmware {
    /// The code; only read.
    pub code: PathBuf,
    /// Fresh variables: a machine gets its own copy.
    pub vars: PathBuf,
}

/// How to run a program: itself and what comes before the caller's arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCommand {
    /// The file to execute: the program, or the loader of its closure.
    pub program: PathBuf,
    /// Arguments that come before the caller's.
    pub args: Vec<OsString>,
    /// Variables of the environment to set.
    pub env: Vec<(OsString, OsString)>,
}

impl ToolCommand {
    /// A program of the host.
    fn host(program: PathBuf) -> Self {
        Self { program, args: Vec::new(), env: Vec::new() }
    }

    /// The program `path` of the closure unpacked in `root`, run by the closure's loader under its own name.
    fn packaged(root: &Path, path: &str) -> Self {
        let name = path.rsplit('/').next().unwrap_or(path);
        let args = [
            "--inhibit-cache".into(),
            "--library-path".into(),
            root.join(LIBRARIES).into(),
            "--argv0".into(),
            name.into(),
            root.join(path).into(),
        ];
        Self { program: root.join(LOADER), args: args.into(), env: Vec::new() }
    }

    /// A command to which the caller adds its arguments.
    pub fn cmd(&self) -> Cmd {
        let cmd = Cmd::new(&self.program).args(&self.args);
        self.env.iter().fold(cmd, |cmd, (name, value)| cmd.env(name, value))
    }

    /// The program and the arguments that come before the caller's, as one list.
    pub fn argv(&self) -> Vec<OsString> {
        std::iter::once(self.program.clone().into()).chain(self.args.iter().cloned()).collect()
    }
}

/// Why a tool could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The lock has no such closure.
    #[error("failed to find the closure `{closure}` in `os/tools.lock`")]
    NotLocked {
        /// The closure.
        closure: &'static str,
    },
    /// The packages could not be downloaded.
    #[error("failed to download the packages of `{closure}`")]
    Download {
        /// The closure.
        closure: &'static str,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The packages could not be unpacked.
    #[error("failed to unpack the packages of `{closure}`")]
    Unpack {
        /// The closure.
        closure: &'static str,
        /// Why not.
        #[source]
        source: UnpackError,
    },
    /// A closure does not hold what it is for.
    #[error("failed to find `{path}` in the closure `{closure}`")]
    Incomplete {
        /// The closure.
        closure: &'static str,
        /// The file that is missing.
        path: String,
    },
    /// A wrapper could not be written.
    #[error("failed to write `{}`", .path.display())]
    Wrapper {
        /// The wrapper.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// The tools that were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    commands: Vec<(Tool, ToolCommand)>,
    firmware: Option<Firmware>,
}

impl Tools {
    /// Finds the wanted tools in `PATH`, or unpacks the pinned packages that have them.
    ///
    /// # Errors
    /// [`ToolError`]: a tool that is neither on the host nor to be had from the packages.
    pub fn ensure(wanted: &[Tool], context: &ToolContext<'_>) -> Result<Self, ToolError> {
        let mut tools = Self { commands: Vec::new(), firmware: None };
        for &tool in wanted {
            let firmware = if tool == Tool::QemuSystem { firmware_in(Path::new("/")) } else { None };
            // QEMU of the host without firmware of the host is of no use.
            let usable = tool != Tool::QemuSystem || firmware.is_some();
            let mut command = match usable.then(|| on_host(tool, context)).flatten() {
                Some(command) => {
                    tools.firmware = tools.firmware.or(firmware);
                    command
                }
                None => tools.packaged(tool, context)?,
            };
            command.env.extend(tool.env().iter().map(|(name, value)| (name.into(), value.into())));
            tools.commands.push((tool, command));
        }
        Ok(tools)
    }

    /// How to run one of the tools that were asked for; `None` for another one.
    pub fn command(&self, tool: Tool) -> Option<&ToolCommand> {
        self.commands.iter().find(|(have, _)| *have == tool).map(|(_, command)| command)
    }

    /// QEMU and its firmware in the words of the crate `vm`, where QEMU was asked for.
    pub fn qemu(&self) -> Option<(vm::Qemu, vm::Firmware)> {
        let command = self.command(Tool::QemuSystem)?;
        let firmware = self.firmware.clone()?;
        let qemu = vm::Qemu { command: command.argv(), env: command.env.clone(), data: None };
        Some((qemu, vm::Firmware { code: firmware.code, vars: firmware.vars, smm: false }))
    }

    /// A tool from its closure.
    fn packaged(&mut self, tool: Tool, context: &ToolContext<'_>) -> Result<ToolCommand, ToolError> {
        let (closure, path) = tool.packaged();
        let root = Self::unpack(closure, context)?;
        let missing = |path: &str| ToolError::Incomplete { closure: closure.name(), path: path.to_owned() };
        if !root.join(path).is_file() {
            return Err(missing(path));
        }
        let mut command = ToolCommand::packaged(&root, path);
        if tool == Tool::QemuSystem {
            for data in QEMU_DATA {
                command.args.extend(["-L".into(), root.join(data).into()]);
            }
            // None of its modules is in the closure, and those of the host are not made for it.
            command.env.push(("QEMU_MODULE_DIR".into(), root.join("no-modules").into()));
            self.firmware = Some(firmware_in(&root).ok_or_else(|| missing(FIRMWARE[0].0))?);
        }
        Ok(command)
    }

    /// What identifies the packages of a closure: changes whenever one of them does.
    ///
    /// # Errors
    /// The lock has no such closure.
    pub fn closure_key(closure: Closure, context: &ToolContext<'_>) -> Result<String, ToolError> {
        locked(closure, context).map(|packages| unpack::key(&packages))
    }

    /// The folder with the unpacked packages of a closure; downloads and unpacks them where they are not in
    /// the cache.
    ///
    /// # Errors
    /// As [`Tools::ensure`].
    pub fn unpack(closure: Closure, context: &ToolContext<'_>) -> Result<PathBuf, ToolError> {
        let packages = locked(closure, context)?;
        let name = closure.name();
        let home = context.cache.join("tools").join(format!("{name}-{}", unpack::key(&packages)));
        if home.is_dir() {
            return Ok(home);
        }
        let files =
            (context.download)(&packages).map_err(|source| ToolError::Download { closure: name, source })?;
        unpack::unpack(&files, &home).map_err(|source| ToolError::Unpack { closure: name, source })?;
        Ok(home)
    }
}

/// The packages of a closure.
fn locked(closure: Closure, context: &ToolContext<'_>) -> Result<Vec<LockedPackage>, ToolError> {
    let packages = context.lock.set(closure.name());
    if packages.is_empty() { Err(ToolError::NotLocked { closure: closure.name() }) } else { Ok(packages) }
}

/// The firmware below `root`, where both of its files are there.
fn firmware_in(root: &Path) -> Option<Firmware> {
    FIRMWARE
        .iter()
        .map(|(code, vars)| Firmware { code: root.join(code), vars: root.join(vars) })
        .find(|firmware| firmware.code.is_file() && firmware.vars.is_file())
}

/// A tool of the host, where it has one in a version that will do.
fn on_host(tool: Tool, context: &ToolContext<'_>) -> Option<ToolCommand> {
    let program = find_program(tool.program(), context.path)?;
    let rule = tool.rule();
    let output = Cmd::new(&program).arg(rule.ask()).timeout(ASK).output_limit(64 << 10).run_any().ok()?;
    // mke2fs and ssh say their version on standard error.
    let said = [output.stdout, output.stderr].concat();
    let found = number(&String::from_utf8_lossy(&said))?;
    let locked =
        rule.package().and_then(|package| context.lock.get(package)).map(|package| package.version.as_str());
    rule.accepts(&found, locked).then(|| ToolCommand::host(program))
}

#[cfg(test)]
mod tests;
