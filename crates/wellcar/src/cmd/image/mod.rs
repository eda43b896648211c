//! `wellcar image`.
pub mod build;
pub mod lock;

use crate::failure::Failure;

/// The `wellcar image` commands.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Pin every package of the image, or measure how far the lock is behind (`--check`).
    Lock(lock::Args),
    /// Build the image from the lock.
    Build(build::Args),
}

/// Runs the command.
pub fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Lock(args) => lock::run(args),
        Command::Build(args) => build::run(args),
    }
}
