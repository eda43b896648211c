//! `wellcar image lock`.
use crate::failure::Failure;

/// Arguments of `wellcar image lock`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: &Args) -> Result<(), Failure> {
    Err(Failure::Usage("not here yet".into()))
}
