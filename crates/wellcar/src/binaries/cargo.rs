//! Runs cargo so that the same source gives the same bytes: flags and environment are chosen here, and nothing
//! of the builder's folders, user or settings is left in the result.

use super::{BinariesContext, BinariesError, file_error, sources};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use sys::process::Cmd;

/// The one target: the image is x86-64 with glibc.
pub const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Changes whenever the way of building does, so that no older result is taken for a newer one.
pub const RECIPE: &str = "wellcar binaries 1";

/// A build that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(90 * 60);

/// What of the environment a build may see: where the toolchain and the registry are, and how to reach it.
/// Everything else (flags, wrappers, profiles, locale, time zone) would get into the result.
const KEPT: [&str; 20] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "CARGO_HOME",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "GIT_SSL_CAINFO",
    "CARGO_NET_OFFLINE",
];

/// Families of variables that may be seen too: registries, their mirrors, and how cargo talks to them.
const KEPT_FAMILIES: [&str; 4] = ["CARGO_HTTP_", "CARGO_REGISTRIES_", "CARGO_REGISTRY_", "CARGO_SOURCE_"];

/// The compiler that builds, and the folders that must not be seen in what it builds.
#[derive(Debug, Clone)]
pub struct Toolchain {
    /// What `rustc -vV` says.
    pub version: String,
    /// The folder in which cargo and rustc are run: it decides on a pinned toolchain.
    pub workspace: PathBuf,
    /// `$CARGO_HOME`, or `~/.cargo`.
    pub cargo_home: PathBuf,
    /// The compiler's own folder.
    sysroot: PathBuf,
}

/// One build.
#[derive(Debug)]
pub struct Job<'a> {
    /// What is built, as shown to the user.
    pub what: &'a str,
    /// The arguments of cargo.
    pub args: Vec<OsString>,
    /// Flags of rustc beside the remapping.
    pub flags: &'a [&'a str],
    /// Cargo's target folder.
    pub target_dir: &'a Path,
    /// Further variables of the environment.
    pub env: Vec<(&'a str, OsString)>,
}

impl Toolchain {
    /// Asks rustc who and where it is, as seen from the checkout.
    ///
    /// # Errors
    /// No rustc in `PATH`, or one that fails.
    pub fn find(workspace: &Path) -> Result<Self, BinariesError> {
        let ask = |args: &[&str]| {
            let rustc = clean("rustc").args(args).cwd(workspace).timeout(Duration::from_secs(120));
            rustc.run().map_err(|source| BinariesError::Build { what: "rustc".into(), source })
        };
        let version = ask(&["-vV"])?.stdout_text();
        let sysroot = PathBuf::from(ask(&["--print", "sysroot"])?.stdout_text());
        let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"));
        let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(home).unwrap_or_default();
        Ok(Self { version, workspace: workspace.to_owned(), cargo_home, sysroot })
    }

    /// Downloads the dependencies of the checkout: only then is it known which folders are to be remapped.
    ///
    /// # Errors
    /// Cargo cannot be run, or the registry cannot be reached.
    fn fetch(&self) -> Result<(), BinariesError> {
        let cmd = clean("cargo")
            .args(["fetch", "--locked", "--target", TARGET])
            .cwd(&self.workspace)
            .timeout(LIMIT);
        cmd.run().map(drop).map_err(|source| BinariesError::Build { what: "the dependencies".into(), source })
    }

    /// Runs one build.
    ///
    /// # Errors
    /// Cargo cannot be run, or fails: the error holds the end of what it wrote.
    pub fn run(&self, job: Job<'_>) -> Result<(), BinariesError> {
        let remaps = self.remaps(job.target_dir);
        let mut flags: Vec<OsString> = job.flags.iter().map(OsString::from).collect();
        flags.push("-Clink-arg=-Wl,--build-id=none".into());
        flags.extend(remaps.iter().map(|(from, to)| remap("--remap-path-prefix=", from, to)));
        let c_flags =
            remaps.iter().map(|(from, to)| remap("-ffile-prefix-map=", from, to)).collect::<Vec<_>>();
        let mut cmd = clean("cargo").args(job.args).cwd(&self.workspace).timeout(LIMIT);
        cmd = cmd
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join(OsStr::new("\u{1f}")))
            .env("CFLAGS", c_flags.join(OsStr::new(" ")))
            .env("CARGO_TARGET_DIR", job.target_dir)
            .env("CARGO_INCREMENTAL", "0")
            .env("CARGO_TERM_COLOR", "never")
            .env("SOURCE_DATE_EPOCH", "0")
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC");
        for (name, value) in job.env {
            cmd = cmd.env(name, value);
        }
        cmd.run().map(drop).map_err(|source| BinariesError::Build { what: job.what.to_owned(), source })
    }

    /// Which folders are shown as what. Of two that fit, the compiler takes the later one.
    fn remaps(&self, target_dir: &Path) -> Vec<(PathBuf, String)> {
        let mut remaps = vec![(self.cargo_home.clone(), "/cargo".to_owned())];
        // Cargo names a registry's folder by its URL, which a mirror changes. Sources may not be unpacked yet:
        // the folders of what was downloaded have the same names.
        let registry = self.cargo_home.join("registry");
        let mut indexes: Vec<_> =
            fs::read_dir(registry.join("cache")).into_iter().flatten().flatten().collect();
        indexes.sort_by_key(fs::DirEntry::file_name);
        let shown = |index: &fs::DirEntry| registry.join("src").join(index.file_name());
        remaps.extend(indexes.iter().map(|index| (shown(index), "/cargo/registry".to_owned())));
        let commit =
            self.version.lines().find_map(|line| line.strip_prefix("commit-hash: ")).unwrap_or("unknown");
        remaps.push((self.sysroot.join("lib/rustlib/src/rust"), format!("/rustc/{commit}")));
        remaps.push((self.workspace.clone(), "/wellcar".to_owned()));
        remaps.push((target_dir.to_owned(), "/target".to_owned()));
        remaps
    }
}

/// One flag that shows the folder `from` as `to`.
fn remap(flag: &str, from: &Path, to: &str) -> OsString {
    let mut text = OsString::from(flag);
    text.push(from);
    text.push("=");
    text.push(to);
    text
}

/// A command with the chosen environment only.
pub fn clean(program: &str) -> Cmd {
    let kept = std::env::vars_os().filter(|(name, _)| {
        name.to_str().is_some_and(|name| {
            KEPT.contains(&name) || KEPT_FAMILIES.iter().any(|family| name.starts_with(family))
        })
    });
    kept.fold(Cmd::new(program).env_clear(), |cmd, (name, value)| cmd.env(name, value))
}

/// Arguments of cargo that set keys of its configuration.
pub fn config(keys: &[(&str, String)]) -> Vec<OsString> {
    keys.iter().flat_map(|(key, value)| ["--config".into(), format!("{key}={value}").into()]).collect()
}

/// A string as TOML.
pub fn toml_string(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Builds `wellcar-node` twice: static with stage 1 alone, dynamic with everything.
///
/// # Errors
/// Sources that cannot be read, a build that fails.
pub fn node_binaries(
    workspace: &Path,
    toolchain: &Toolchain,
    context: &BinariesContext<'_>,
) -> Result<(PathBuf, PathBuf), BinariesError> {
    let key = sources::hash(workspace, "wellcar-node", &[RECIPE, &toolchain.version])?;
    let home = context.cache.join("binaries").join(format!("node-{key}"));
    let (init, node) = (home.join("wellcar-init"), home.join("wellcar-node"));
    if init.is_file() && node.is_file() {
        return Ok((init, node));
    }
    toolchain.fetch()?;
    let small = [
        ("profile.release.opt-level", "\"s\"".to_owned()),
        ("profile.release.lto", "\"fat\"".to_owned()),
        ("profile.release.codegen-units", "1".to_owned()),
    ];
    let static_only = ["--no-default-features", "--features", "stage1"].map(OsString::from).to_vec();
    let static_build = node_build(
        toolchain,
        context,
        "wellcar-node (static)",
        &["-Ctarget-feature=+crt-static"],
        [static_only, config(&small)].concat(),
    )?;
    let dynamic_build = node_build(toolchain, context, "wellcar-node", &[], config(&small[..1]))?;
    keep(&home, &[(&static_build, "wellcar-init"), (&dynamic_build, "wellcar-node")])?;
    Ok((init, node))
}

/// One of the two builds of `wellcar-node`; its result is still in the target folder.
fn node_build(
    toolchain: &Toolchain,
    context: &BinariesContext<'_>,
    what: &str,
    flags: &[&str],
    more: Vec<OsString>,
) -> Result<PathBuf, BinariesError> {
    (context.say)(&format!("building {what} …"));
    let folder = what.replace([' ', '(', ')'], "");
    let target_dir = target_dir(context.cache, &folder)?;
    let mut args: Vec<OsString> =
        ["build", "--release", "--locked", "--package", "wellcar-node", "--target", TARGET]
            .map(OsString::from)
            .into();
    args.extend(more);
    toolchain.run(Job { what, args, flags, target_dir: &target_dir, env: Vec::new() })?;
    Ok(target_dir.join(TARGET).join("release/wellcar-node"))
}

/// A target folder of our own below the cache: never the user's, so that no other build waits for ours.
///
/// # Errors
/// The folder cannot be made.
pub fn target_dir(cache: &Path, name: &str) -> Result<PathBuf, BinariesError> {
    let dir = cache.join("build").join(name);
    fs::create_dir_all(&dir).map_err(file_error("make", &dir))?;
    dir.canonicalize().map_err(file_error("resolve", &dir))
}

/// Copies build results into `home`, which appears whole or not at all.
///
/// # Errors
/// A copy that fails. That another process was faster is none.
pub fn keep(home: &Path, files: &[(&Path, &str)]) -> Result<(), BinariesError> {
    let above = home.parent().unwrap_or(home);
    fs::create_dir_all(above).map_err(file_error("make", above))?;
    let partial =
        tempfile::Builder::new().prefix(".partial-").tempdir_in(above).map_err(file_error("make", above))?;
    for (from, name) in files {
        let to = partial.path().join(name);
        fs::copy(from, &to).map_err(file_error("copy", from))?;
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).map_err(file_error("copy", from))?;
        fs::File::open(&to).and_then(|file| file.sync_all()).map_err(file_error("flush", &to))?;
    }
    let partial = partial.keep();
    match fs::rename(&partial, home) {
        Err(_) if home.is_dir() => fs::remove_dir_all(&partial).map_err(file_error("remove", &partial)),
        other => other.map_err(file_error("make", home)),
    }
}

#[cfg(test)]
impl Toolchain {
    /// A toolchain with its registry in `cargo_home`.
    pub fn for_tests(cargo_home: &Path) -> Self {
        Self {
            version: "rustc 1.0.0\ncommit-hash: abc\n".into(),
            workspace: "/home/u/wellcar".into(),
            cargo_home: cargo_home.to_owned(),
            sysroot: "/home/u/.rustup/toolchains/t".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_more_exact_is_remapped_later() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join("registry/cache/mirror-1")).unwrap();
        let toolchain = Toolchain::for_tests(home.path());
        let remaps = toolchain.remaps(Path::new("/home/u/wellcar/cache/build"));
        let to: Vec<_> = remaps.iter().map(|(_, to)| to.as_str()).collect();
        assert_eq!(remaps[1].0, home.path().join("registry/src/mirror-1"));
        assert_eq!(to, ["/cargo", "/cargo/registry", "/rustc/abc", "/wellcar", "/target"]);
        assert_eq!(remap("-x=", Path::new("/a"), "/b"), "-x=/a=/b");
    }

    #[test]
    fn a_result_appears_whole_and_a_second_one_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let built = dir.path().join("built");
        fs::write(&built, "one").unwrap();
        let home = dir.path().join("binaries/key");
        keep(&home, &[(&built, "a")]).unwrap();
        fs::write(&built, "two").unwrap();
        keep(&home, &[(&built, "a")]).unwrap();
        assert_eq!(fs::read_to_string(home.join("a")).unwrap(), "one");
        assert_eq!(fs::read_dir(dir.path().join("binaries")).unwrap().count(), 1, "no leftovers");
        assert!(keep(&dir.path().join("binaries/other"), &[(Path::new("/none"), "a")]).is_err());
        assert!(!dir.path().join("binaries/other").exists());
    }
}
