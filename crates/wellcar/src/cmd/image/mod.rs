//! `wellcar image`.
pub mod build;
pub mod inspect;
pub mod lock;
pub mod oracles;

use crate::failure::Failure;

/// The `wellcar image` commands.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Pin every package of the image, or measure how far the lock is behind (`--check`).
    Lock(lock::Args),
    /// Build the image from the lock.
    Build(build::Args),
    /// Say what an image is made of and what takes the space.
    Inspect(inspect::Args),
    /// Make the tests' oracles (sgdisk, veritysetup, fsck.fat, …) callable from a folder, from pinned packages.
    #[command(hide = true)]
    Oracles(oracles::Args),
}

/// Runs the command.
pub fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Lock(args) => lock::run(args),
        Command::Build(args) => build::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Oracles(args) => oracles::run(args),
    }
}
