//! `wellcar config`.
use crate::failure::Failure;

/// The `wellcar config` commands.
#[derive(Debug, clap::Subcommand)]
pub enum Command {}

/// Runs the command.
pub fn run(_command: &Command) -> Result<(), Failure> {
    Err(Failure::Usage("not here yet".into()))
}
