//! `wellcar run`.
use crate::failure::Failure;

/// Arguments of `wellcar run`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: &Args) -> Result<(), Failure> {
    Err(Failure::Usage("not here yet".into()))
}
