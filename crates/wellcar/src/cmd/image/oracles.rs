//! `wellcar image oracles`, for the tests: the independent programs that our results are compared with.

use super::build;
use crate::failure::Failure;
use crate::ui::Ui;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Arguments of `wellcar image oracles`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder that gets one script for each program: give it to the tests as `WELLCAR_ORACLES`.
    dir: PathBuf,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<(), Failure> {
    let dir: &Path = &args.dir;
    let names = build::ensure_oracles(dir, Ui::detect())?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{} programs in {}", names.len(), dir.display())?;
    Ok(())
}
