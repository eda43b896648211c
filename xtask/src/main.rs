//! Project tasks: `cargo xtask ci` is what CI runs; the rest are its parts and the measurements.

mod bench;
mod ci;
mod layers;

use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Tasks of the Wellcar workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run every check and test: format, lints, layers, unit and golden tests, then the tests in machines.
    Ci(ci::Args),
    /// Run the tests in machines that are too long for `ci`.
    VmFull,
    /// Check that crates depend only downwards (design section 3) and that no file is too long.
    Layers,
    /// Measure boot and build; prints a table.
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let root = root();
    let result = match Cli::parse().task {
        Task::Ci(args) => ci::run(&root, &args),
        Task::VmFull => ci::vm_full(&root),
        Task::Layers => layers::run(&root),
        Task::Bench(args) => bench::run(&root, &args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// The workspace's folder.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

#[expect(clippy::print_stderr, reason = "the one place where tasks speak")]
fn say(line: &str) {
    eprintln!("{line}");
}
