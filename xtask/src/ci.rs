//! `cargo xtask ci`: everything that must hold, fast to slow. It installs nothing on the machine: programs to
//! compare with are pinned packages, unpacked in the cache.

use anyhow::Context as _;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Arguments of `cargo xtask ci`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Leave the tests in machines out.
    #[arg(long)]
    no_vm: bool,
}

/// Runs every step.
pub fn run(root: &Path, args: &Args) -> anyhow::Result<()> {
    let start = Instant::now();
    step(root, "format", cargo(["fmt", "--all", "--check"]))?;
    crate::layers::run(root)?;
    step(
        root,
        "lints",
        cargo(["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]),
    )?;
    step(root, "build", cargo(["build", "--workspace", "--quiet"]))?;
    let oracles = oracles(root)?;
    let mut tests = cargo(["test", "--workspace", "--exclude", "wellcar-tests", "--quiet"]);
    demand(root, &oracles, &mut tests);
    step(root, "unit and golden tests", tests)?;
    if !args.no_vm {
        let mut tests = cargo(["test", "-p", "wellcar-tests", "--", "--nocapture", "--test-threads=1"]);
        tests.env("WELLCAR_TEST_IMAGE", image(root)?);
        demand(root, &oracles, &mut tests);
        step(root, "tests in machines", tests)?;
    }
    crate::say(&format!("ci: everything holds, {} s", start.elapsed().as_secs()));
    Ok(())
}

/// Runs the tests in machines that are marked as long.
pub fn vm_full(root: &Path) -> anyhow::Result<()> {
    let mut tests =
        cargo(["test", "-p", "wellcar-tests", "--", "--nocapture", "--test-threads=1", "--include-ignored"]);
    tests.env("WELLCAR_TEST_IMAGE", image(root)?);
    demand(root, &oracles(root)?, &mut tests);
    step(root, "all tests in machines", tests)
}

/// The environment that tests read: where the oracles are, and that neither they nor the cases may be missing
/// where this checkout stands beside them.
fn demand(root: &Path, oracles: &Path, tests: &mut Command) {
    tests.env("WELLCAR_ORACLES", oracles).env("WELLCAR_REQUIRE_ORACLES", "1");
    if root.join("../shared/cases").is_dir() {
        tests.env("WELLCAR_REQUIRE_CASES", "1");
    }
}

/// A cargo call with the cargo that runs us.
pub fn cargo<const N: usize>(args: [&str; N]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.args(args);
    command
}

/// The `wellcar` of this build.
pub fn wellcar(root: &Path) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    target.join("debug/wellcar")
}

/// Unpacks the oracles and gives the folder of their wrappers.
fn oracles(root: &Path) -> anyhow::Result<PathBuf> {
    let folder = wellcar(root).with_file_name("oracles");
    let mut command = Command::new(wellcar(root));
    command.args(["image", "oracles"]).arg(&folder);
    step(root, "oracles", command)?;
    Ok(folder)
}

/// Builds the image of this checkout and gives its raw disk.
pub fn image(root: &Path) -> anyhow::Result<PathBuf> {
    let folder = wellcar(root).with_file_name("image");
    let mut command = Command::new(wellcar(root));
    command.args(["image", "build", "--os"]).arg(root.join("os")).arg("-o").arg(&folder);
    step(root, "image", command)?;
    let entries = std::fs::read_dir(&folder)?;
    entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|end| end == "raw"))
        .with_context(|| format!("failed to find the image in `{}`", folder.display()))
}

/// Runs a command from the root, with its wall time.
pub fn step(root: &Path, name: &str, mut command: Command) -> anyhow::Result<()> {
    crate::say(&format!("== {name}"));
    let start = Instant::now();
    let status =
        command.current_dir(root).status().with_context(|| format!("failed to start {command:?}"))?;
    anyhow::ensure!(status.success(), "{name} failed: {status}");
    crate::say(&format!("== {name}: {:.1} s", start.elapsed().as_secs_f64()));
    Ok(())
}
